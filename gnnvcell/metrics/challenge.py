"""The composite score of the Virtual Cell Challenge 2025: each metric against what a mean scores."""

from collections.abc import Mapping

import numpy as np

_BEST_IS_ZERO = ("mae",)
_BEST_IS_ONE = ("pds_l1", "overlap_at_n")


def challenge_2025_score(scores: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """Mean over the challenge's three metrics of how far a prediction comes from the baseline to the best.

    ``(u - b) / (1 - b)`` for the discrimination score by L1 and the overlap of differentially expressed genes,
    ``1 - u / b`` for the mean absolute error; below the baseline counts as 0, as cell-eval's ``score_agg_metrics`` has
    it.

    Args:
        scores: of the prediction: ``mae``, ``pds_l1``, ``overlap_at_n``.
        baseline: the same of the mean of perturbation means.

    Returns:
        0 at the baseline, 1 at best; NaN where one of the six numbers is missing.
    """
    names = (*_BEST_IS_ZERO, *_BEST_IS_ONE)
    user, base = (np.array([values.get(name, np.nan) for name in names]) for values in (scores, baseline))
    if not (np.isfinite(user).all() and np.isfinite(base).all()):
        return float("nan")
    to_zero = np.arange(len(names)) < len(_BEST_IS_ZERO)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(to_zero, 1 - user / base, (user - base) / (1 - base))
    return float(np.clip(np.nan_to_num(parts, nan=0.0), 0, None).mean())
