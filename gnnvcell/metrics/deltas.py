"""Scores of predicted expression changes, perturbation by perturbation.

All functions take (perturbations, genes) deltas: mean log1p expression under a perturbation minus that of its matched
controls, in natural log units. ``scored`` says which entries count: leave a perturbation's own target out, which any
model gets right by definition.
"""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.perturbation import Perturbation


def targets_left_out(perturbations: NDArray, genes: NDArray) -> NDArray[np.bool_]:
    """Which (perturbation, gene) pairs are scored: all but a perturbation's own targets.

    Args:
        perturbations: (perturbations,) names, "A+B" for several targets; mode and dose may follow ("A+B|CRISPRi@80%").
        genes: (genes,) names of the readout genes.

    Returns:
        (perturbations, genes) bool.

    Raises:
        PerturbationError: a name cannot be read.
    """
    position = {str(gene): i for i, gene in enumerate(genes)}
    scored = np.ones((len(perturbations), len(genes)), dtype=bool)
    for row, name in zip(scored, perturbations, strict=True):
        row[[position[target] for target in Perturbation.parse(str(name)).targets if target in position]] = False
    return scored


def namesakes_left_out(perturbations: NDArray, genes: NDArray) -> NDArray[np.bool_]:
    """Which pairs cell-eval 0.8 ranks by: all but the gene that is named exactly as the perturbation.

    The targets of "A+B" stay in: prefer ``targets_left_out``.

    Args:
        perturbations: (perturbations,) names.
        genes: (genes,) names of the readout genes.

    Returns:
        (perturbations, genes) bool.
    """
    return np.asarray(perturbations, dtype=str)[:, None] != np.asarray(genes, dtype=str)[None, :]


def pearson_delta(
    predicted: NDArray, true: NDArray, scored: NDArray | None = None, *, centre: NDArray | None = None
) -> NDArray[np.float64]:
    """Pearson correlation over genes of predicted and true delta.

    Args:
        predicted: (perturbations, genes).
        true: (perturbations, genes).
        scored: (perturbations, genes) bool; all when left out.
        centre: (genes,) subtracted from both first, the mean training delta: what a perturbation does beyond what
            perturbations do ("centred Pearson delta").

    Returns:
        (perturbations,); NaN where fewer than two genes are scored or one side does not vary.

    Raises:
        DataError: shapes disagree or a scored value is not finite.
    """
    x, y, inside = checked(predicted, true, scored)
    if centre is not None:
        x, y = x - centre, y - centre
    count = inside.sum(axis=1)
    x, y = (np.where(inside, v - _mean(v, inside)[:, None], 0.0) for v in (x, y))
    norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    out = np.full(len(x), np.nan)
    return np.divide((x * y).sum(axis=1), norm, out=out, where=(norm > 0) & (count > 1))


def mse_delta(predicted: NDArray, true: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """(perturbations,) mean squared error over scored genes; arguments and errors as of ``pearson_delta``."""
    x, y, inside = checked(predicted, true, scored)
    return _mean((x - y) ** 2, inside)


def mae_delta(predicted: NDArray, true: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """(perturbations,) mean absolute error over scored genes; arguments and errors as of ``pearson_delta``."""
    x, y, inside = checked(predicted, true, scored)
    return _mean(np.abs(x - y), inside)


def amplitude_ratio(predicted: NDArray, true: NDArray, scored: NDArray | None = None) -> NDArray[np.float64]:
    """(perturbations,) Euclidean length of the predicted delta over that of the true one; infinite where that is 0.

    Stands beside every rank-based score: ranks by L1 and L2 distance reward inflated predictions.
    """
    x, y, inside = checked(predicted, true, scored)
    lengths = [np.sqrt(np.where(inside, v * v, 0.0).sum(axis=1)) for v in (x, y)]
    return np.divide(lengths[0], lengths[1], out=np.full(len(x), np.inf), where=lengths[1] > 0)


def _mean(values: NDArray, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = inside.sum(axis=1)
    total = np.where(inside, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def checked(
    predicted: NDArray, true: NDArray, scored: NDArray | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both sides as float64 with zeros where nothing is scored, and what is scored.

    Raises:
        DataError: shapes disagree or a scored value is not finite.
    """
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    inside = np.ones(x.shape, dtype=bool) if scored is None else np.asarray(scored, dtype=bool)
    if x.ndim != 2 or not x.shape == y.shape == inside.shape:
        raise DataError(
            "deltas do not fit each other",
            expected="(perturbations, genes) of one shape",
            found=f"predicted {x.shape}, true {y.shape}, scored {inside.shape}",
        )
    for name, values in (("predicted", x), ("true", y)):
        bad = int((~np.isfinite(values[inside])).sum())
        if bad:
            raise DataError(
                f"{bad} scored {name} deltas are not finite",
                remedy="leave pairs out that were not measured (scored=), or repair the prediction",
            )
    return np.where(inside, x, 0.0), np.where(inside, y, 0.0), inside
