"""The score of the Virtual Cell Challenge 2025: metrics relative to those of a baseline."""

from collections.abc import Mapping, Sequence

import numpy as np

from gnnvcell.errors import ConfigError, DataError, did_you_mean
from gnnvcell.metrics.ceiling import RELIABILITIES

VCC2025 = ("mae", "discrimination_score_l1", "overlap_at_N")
_BEST_AT_ZERO = ("mae", "mse", "mae_delta", "mse_delta")


def vcc2025_score(
    scores: Mapping[str, float], baseline: Mapping[str, float], metrics: Sequence[str] = VCC2025
) -> dict[str, float]:
    """Each metric relative to the baseline's, and their mean, as ``score_agg_metrics`` of cell-eval 0.8.

    With u the score and b the baseline's: ``(u - b) / (1 - b)`` where 1 is best, ``1 - u / b`` where 0 is best; NaN
    counts as 0 and values below 0 as 0. The challenge's baseline is the mean of perturbation means.

    Args:
        scores: metric to its mean over perturbations.
        baseline: metric to its mean over perturbations.
        metrics: names; the challenge's three when left out.

    Returns:
        Metric to relative score, and ``avg_score``. Relative scores are not multiplied by 100.

    Raises:
        ConfigError: a metric has no best value of 0 or 1.
        DataError: a metric is missing on one side.
    """
    found: dict[str, float] = {}
    for name in metrics:
        if name not in RELIABILITIES and name not in _BEST_AT_ZERO:
            raise ConfigError(
                f"the challenge does not score {name!r}", remedy=did_you_mean(name, [*RELIABILITIES, *_BEST_AT_ZERO])
            )
        absent = "score" if name not in scores else "baseline" if name not in baseline else ""
        if absent:
            raise DataError(f"there is no {absent} of {name!r}", remedy="compute it for both sides")
        found[name] = _relative(scores[name], baseline[name], zero_is_best=name in _BEST_AT_ZERO)
    return {**found, "avg_score": float(np.mean(list(found.values())))}


def _relative(user: float, base: float, *, zero_is_best: bool) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = 1 - np.divide(user, base) if zero_is_best else np.divide(user - base, 1 - base)
    return 0.0 if np.isnan(relative) else max(0.0, float(relative))
