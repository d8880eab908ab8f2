"""The scores of predicted expression changes, perturbation by perturbation, in one table."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.metrics import (
    amplitude_ratio,
    mae_delta,
    mse_delta,
    normalised_retrieval,
    pearson_delta,
    perturbation_discrimination,
)

# Names of correlations, by which split halves are corrected to whole samples.
CORRELATIONS = ("pearson_delta", "centred_pearson_delta")
ERRORS = {"mae": 0.5, "mse": 1.0}  # how an error falls with the number of cells: n ** -power


def score_deltas(
    predicted: NDArray, true: NDArray, scored: NDArray, *, centre: NDArray, contexts: NDArray
) -> pd.DataFrame:
    """Scores of deltas by row; the targets of a perturbation are left out by ``scored``.

    Args:
        predicted: (rows, genes) deltas, natural log units.
        true: (rows, genes) deltas.
        scored: (rows, genes) bool.
        centre: (rows, genes) or (genes,), the mean effect that the centred score takes from both sides; NaN where
            there is none.
        contexts: (rows,) cell types; a perturbation is told from the others of its own cell type.

    Returns:
        One row per row, with ``centred_pearson_delta``, ``pearson_delta``, ``pds_cosine``, ``pds_l1``, ``amplitude``
        (length of the predicted over that of the true delta) and ``normalised_retrieval``. A score that is not defined
        is NaN: a correlation with a prediction that does not vary, a rank among one.

    Raises:
        DataError: shapes disagree or a scored value is not finite.
    """
    centre = np.broadcast_to(centre, true.shape)
    table = pd.DataFrame(
        {
            "centred_pearson_delta": _centred(predicted, true, scored, centre),
            "pearson_delta": pearson_delta(predicted, true, scored),
            "pds_cosine": np.nan,
            "pds_l1": np.nan,
            "amplitude": amplitude_ratio(predicted, true, scored),
            "normalised_retrieval": np.nan,
        }
    )
    for rows in _by_context(contexts):
        if len(rows) < 2:
            continue
        parts = predicted[rows], true[rows], scored[rows]
        table.loc[rows, "pds_cosine"] = perturbation_discrimination(*parts)
        table.loc[rows, "pds_l1"] = perturbation_discrimination(*parts, distance="l1")
        table.loc[rows, "normalised_retrieval"] = normalised_retrieval(*parts)
    return table


def score_means(predicted: NDArray, true: NDArray) -> pd.DataFrame:
    """``mae`` and ``mse`` of (rows, genes) mean expression over all genes, as cell-eval has them."""
    return pd.DataFrame({"mae": mae_delta(predicted, true), "mse": mse_delta(predicted, true)})


def leave_one_out_mean(deltas: NDArray, contexts: NDArray) -> NDArray[np.float64]:
    """(rows, genes) mean of the other rows of a row's cell type; NaN where it is alone."""
    means = np.full(deltas.shape, np.nan)
    for rows in _by_context(contexts):
        if len(rows) > 1:
            means[rows] = (deltas[rows].sum(axis=0) - deltas[rows]) / (len(rows) - 1)
    return means


def _centred(predicted: NDArray, true: NDArray, scored: NDArray, centre: NDArray) -> NDArray[np.float64]:
    out = np.full(len(true), np.nan)
    known = np.isfinite(centre).all(axis=1)
    if known.any():
        out[known] = pearson_delta((predicted - centre)[known], (true - centre)[known], scored[known])
    return out


def _by_context(contexts: NDArray) -> Iterator[NDArray[np.int64]]:
    for context in dict.fromkeys(np.asarray(contexts).tolist()):
        yield np.flatnonzero(np.asarray(contexts) == context)
