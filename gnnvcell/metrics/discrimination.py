"""Is a prediction nearer to the perturbation it was made for than to the others?"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from gnnvcell.errors import ConfigError
from gnnvcell.metrics.deltas import checked

DISTANCES = ("l1", "l2", "cosine")


def perturbation_discrimination(
    predicted: NDArray,
    true: NDArray,
    scored: NDArray | None = None,
    *,
    distance: str = "cosine",
    centre: NDArray | None = None,
) -> NDArray[np.float64]:
    """Perturbation discrimination score (PDS) of the Virtual Cell Challenge, as cell-eval 0.8 computes it.

    ``1 - rank_p / N``, where rank_p is the number of true deltas that are nearer to the prediction for p than p's own,
    over p's scored genes; 1 is best, .5 chance (up to 1 / 2N). Distances by L1 and L2 reward inflated predictions:
    headline the cosine form, beside ``amplitude_ratio``. Without gene names the target cannot be left out, and a model
    that predicts the knock-down of the target alone gets nearly 1.

    Args:
        predicted: (perturbations, genes) deltas.
        true: (perturbations, genes) deltas.
        scored: (perturbations, genes) bool; ``targets_left_out``, or all when left out.
        distance: "l1", "l2" or "cosine" (a zero vector is at distance 1 from everything).
        centre: (genes,) subtracted from both sides first, the mean training delta; only the cosine notices.

    Returns:
        (perturbations,) scores. Ties count as nearer with chance one half.

    Raises:
        ConfigError: unknown distance.
        DataError: shapes disagree or a scored value is not finite.
    """
    if distance not in DISTANCES:
        raise ConfigError(f"unknown distance {distance!r}", expected=", ".join(DISTANCES))
    x, _, inside = checked(predicted, true, scored)
    x, y = _centred(x, true, inside, centre)
    return _share_farther(_distances(x, y, inside, distance))


def normalised_retrieval(
    predicted: NDArray, true: NDArray, scored: NDArray | None = None, *, centre: NDArray | None = None
) -> NDArray[np.float64]:
    """Rank of p when all true deltas are sorted by their Pearson correlation with the prediction for p, over N.

    1 is best, .5 chance; correlations are over p's scored genes.

    Args:
        predicted: (perturbations, genes) deltas.
        true: (perturbations, genes) deltas.
        scored: (perturbations, genes) bool; all when left out.
        centre: (genes,) subtracted from both sides first, the mean training delta.

    Returns:
        (perturbations,) scores.

    Raises:
        DataError: shapes disagree or a scored value is not finite.
    """
    x, _, inside = checked(predicted, true, scored)
    x, y = _centred(x, true, inside, centre)
    count = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    weight = inside.astype(np.float64)
    centred = np.where(inside, x - x.sum(axis=1, keepdims=True) / count, 0.0)
    covariance = centred @ y.T
    spread = np.maximum(weight @ (y * y).T - (weight @ y.T) ** 2 / count, 0.0)
    norm = np.linalg.norm(centred, axis=1)[:, None] * np.sqrt(spread)
    correlation = np.divide(covariance, norm, out=np.zeros_like(norm), where=norm > 0)
    return _share_farther(-correlation)


def _centred(
    x: NDArray[np.float64], true: NDArray, inside: NDArray[np.bool_], centre: NDArray | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sides less the centre; what another perturbation did where it was not measured counts as nothing."""
    shift = 0.0 if centre is None else np.asarray(centre, dtype=np.float64)
    return np.where(inside, x - shift, 0.0), np.nan_to_num(np.asarray(true, dtype=np.float64) - shift)


def _distances(x: NDArray, y: NDArray, inside: NDArray[np.bool_], distance: str) -> NDArray[np.float64]:
    """(predictions, truths) distances over each prediction's scored genes; x is zero outside of them.

    Only few genes are left out of each row, so that theirs are taken back from distances over all genes.
    """
    if distance == "l1":
        left_out = np.stack([np.abs(y[:, ~row]).sum(axis=1) for row in inside])
        return np.asarray(cdist(x, y, "cityblock") - left_out, dtype=np.float64)
    outside = (~inside).astype(np.float64) @ (y * y).T
    square = np.maximum((y * y).sum(axis=1)[None, :] - outside, 0.0)
    if distance == "l2":
        return np.sqrt(np.maximum((x * x).sum(axis=1)[:, None] + square - 2 * x @ y.T, 0.0))
    norm = np.linalg.norm(x, axis=1)[:, None] * np.sqrt(square)
    cosine = np.divide(x @ y.T, norm, out=np.zeros(norm.shape), where=norm > 0)
    return np.asarray(1 - cosine, dtype=np.float64)


def _share_farther(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    own = np.diagonal(distance)[:, None]
    tolerance = 1e-12 * np.abs(distance).max(initial=1.0)
    nearer = (distance < own - tolerance).sum(axis=1)
    tied = (np.abs(distance - own) <= tolerance).sum(axis=1) - 1
    return 1 - (nearer + tied / 2) / len(distance)
