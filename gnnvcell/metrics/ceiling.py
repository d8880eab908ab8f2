"""Between which bounds can a score be? Floors, split-half ceilings, and scores on the scale between them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import DataError

# Reliabilities, which the Spearman-Brown formula maps from half to full depth: cell-eval's choice, under its names, and
# ours of the same kind.
RELIABILITIES = frozenset(
    {
        "pearson_delta",
        "centred_pearson_delta",
        "pearson_top20",
        "normalised_retrieval",
        "centred_normalised_retrieval",
        "discrimination_score_l1",
        "discrimination_score_l2",
        "discrimination_score_cosine",
        "centred_discrimination_score_cosine",
        *(f"{kind}_at_{k}" for kind in ("overlap", "precision") for k in ("N", 50, 100, 200, 500)),
        "centred_overlap_at_N",
        "centred_precision_at_N",
        "de_spearman_sig",
        "de_spearman_lfc_sig",
        "centred_de_spearman_lfc_sig",
        "de_direction_match",
        "de_sig_genes_recall",
        "pr_auc",
        "roc_auc",
    }
)
# Sampling errors of two samples of n cells: squared ones fall with n, absolute ones with its root.
ERRORS = {"mse": 0.5, "mse_delta": 0.5, "mae": 0.5**0.5, "mae_delta": 0.5**0.5}


def spearman_brown(half_correlation: NDArray) -> NDArray[np.float64]:
    """Reliability of a whole from the correlation r of its halves, ``2 r / (1 + r)``: the ceiling of a prediction.

    [Spearman 1910; Brown 1910.] With split-half deltas it says how well even the true effect can be predicted.

    Args:
        half_correlation: (perturbations,) in (-1, 1].
    """
    r = np.asarray(half_correlation, dtype=np.float64)
    return 2 * r / (1 + r)


def disjoint_halves(labels: NDArray, *, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two disjoint sets of cells with half of the cells of every label, controls included.

    Of an odd number one cell is left out; a label with one cell is in neither. The same seed gives the halves of
    cell-eval 0.8.2's ceiling where labels are in alphabetical order.

    Args:
        labels: (cells,) perturbation of each cell.
        seed: of the split.

    Returns:
        Indices of the cells of the first and of the second half, by label.

    Raises:
        DataError: no label has two cells.
    """
    rng = np.random.default_rng(seed)
    group = np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1]
    cells = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    shuffled = [rng.permutation(part) for part in cells]
    first, second = (
        np.concatenate([part[i * (len(part) // 2) : (i + 1) * (len(part) // 2)] for part in shuffled]) for i in (0, 1)
    )
    if not len(first):
        raise DataError("cells cannot be halved", expected="a perturbation with at least two cells")
    return first, second


def ceilings(half_scores: pd.DataFrame) -> dict[str, float]:
    """What a replicate of the experiment would score, from what one half of its cells scores against the other.

    The mean over perturbations of a reliability r becomes ``2 r / (1 + r)``, NaN where r <= 0 (the halves do not agree,
    and there is no ceiling), as in cell-eval 0.8.2; that of an error is scaled to twice as many cells.

    Args:
        half_scores: of ``score_all`` on two disjoint halves.

    Returns:
        Metric to ceiling, for metrics that have one.
    """
    found: dict[str, float] = {}
    for name in map(str, half_scores.columns):
        mean = float(half_scores[name].mean())
        if name in RELIABILITIES:
            found[name] = 2 * mean / (1 + mean) if mean > 0 else float("nan")
        elif name in ERRORS:
            found[name] = mean * ERRORS[name]
    return found


def rescaled(
    scores: Mapping[str, float], floor: Mapping[str, float], ceiling: Mapping[str, float]
) -> dict[str, float]:
    """Scores with 0 at the floor and 1 at the ceiling, ``(score - floor) / (ceiling - floor)``, not clipped.

    The form of the 2026 challenge: the floor is a baseline that needs no model, the ceiling a replicate. It serves
    scores that rise and errors that fall alike.

    Args:
        scores: metric to value.
        floor: metric to value.
        ceiling: metric to value.

    Returns:
        Metric to rescaled value, for metrics that have both bounds; NaN where these are equal.
    """
    spans = {name: ceiling[name] - floor[name] for name in scores if name in floor and name in ceiling}
    return {name: (scores[name] - floor[name]) / span if span else float("nan") for name, span in spans.items()}
