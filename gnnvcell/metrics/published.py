"""Scores as bio-JEPA publishes them (v0.2 to v0.4): of pairs of a perturbed cell and a control cell.

They flatter. A pair differs mostly by what makes any two cells differ, so that whoever turns the control cell of each
pair into the mean control cell, and says nothing of the perturbation, has a high "Pearson top-20", a low error and a
large shift. They stand here for comparison; ``gnnvcell.metrics.pearson_delta`` with a centre says what was learned.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.metrics.deltas import pearson_delta
from gnnvcell.metrics.means import most_changed, r2
from gnnvcell.metrics.pseudobulk import group_sums

PUBLISHED = ("pair_mse", "pair_pearson_top20", "pair_shift", "r2_all", "r2_top50")


@dataclass(frozen=True, eq=False)
class CellPairs:
    """Perturbed cells, each with a control cell, and what was predicted of it from that control cell.

    Args:
        predicted: (pairs, genes) log1p expression.
        perturbed: (pairs, genes) that of the cell that was measured.
        control: (pairs, genes) that of the control cell, of the same batch.
        perturbation: (pairs,) name.
    """

    predicted: NDArray
    perturbed: NDArray
    control: NDArray
    perturbation: NDArray

    def __post_init__(self) -> None:
        shapes = {np.shape(one) for one in (self.predicted, self.perturbed, self.control)}
        if len(shapes) > 1 or len(self.perturbation) != len(self.perturbed) or np.ndim(self.perturbed) != 2:
            raise DataError(
                "predicted, perturbed and control cells are not pairs",
                expected="(pairs, genes) of one shape, and a name for each pair",
                found=f"{', '.join(map(str, sorted(shapes)))}, {len(self.perturbation)} names",
            )


def published_scores(pairs: CellPairs) -> pd.DataFrame:
    """Scores of pairs, gathered by perturbation.

    Let x be the measured cell, c the control cell and y the predicted cell of a pair; predicted cells below 0 count
    as 0 in means, as published. By pair, here averaged over the pairs of a perturbation:

    - ``pair_mse``: mean over genes of (y - x)^2 ("global MSE");
    - ``pair_pearson_top20``: Pearson correlation of y - c and x - c over the pair's 20 genes of largest |x - c|, 0
      where one of them does not vary ("Pearson R, top 20");
    - ``pair_shift``: mean over genes of |y - c| ("mean predicted shift magnitude"; its formula is not published, this
      one has the published size).

    By perturbation, of the mean cells over its pairs: ``r2_all``, the coefficient of determination of the mean of y
    over all genes, and ``r2_top50``, the same over the 50 genes of largest difference between the means of x and c.

    Returns:
        Index perturbation, in the order of first appearance; columns ``PUBLISHED`` and ``pairs``, their number.

    Raises:
        DataError: a value is not finite.
    """
    y, x, c = (np.asarray(one, dtype=np.float64) for one in (pairs.predicted, pairs.perturbed, pairs.control))
    names, code = _grouped(pairs.perturbation)
    count = np.bincount(code, minlength=len(names))
    correlation = np.nan_to_num(pearson_delta(y - c, x - c, most_changed(x - c, 20)))
    by_pair = {
        "pair_mse": np.square(y - x).mean(axis=1),
        "pair_pearson_top20": correlation,
        "pair_shift": np.abs(y - c).mean(axis=1),
    }
    columns = {name: np.bincount(code, value, len(names)) / count for name, value in by_pair.items()}
    mean_y, mean_x, mean_c = (
        group_sums(one, code, len(names)) / count[:, None] for one in (np.maximum(y, 0.0), x, c)
    )
    columns["r2_all"] = r2(mean_y, mean_x)
    columns["r2_top50"] = r2(mean_y, mean_x, most_changed(mean_x - mean_c, 50))
    return pd.DataFrame({**columns, "pairs": count}, index=pd.Index(names, name="perturbation"))


def published_summary(scores: pd.DataFrame) -> dict[str, float]:
    """The figures that are published, from ``published_scores``.

    ``pair_`` scores are means over all pairs; both R2 have a mean and a median over perturbations.
    """
    weight = scores["pairs"] / scores["pairs"].sum()
    found = {name: float((scores[name] * weight).sum()) for name in PUBLISHED if name.startswith("pair_")}
    for name in ("r2_all", "r2_top50"):
        found |= {f"{name}_mean": float(scores[name].mean()), f"{name}_median": float(scores[name].median())}
    return found


def _grouped(perturbation: NDArray) -> tuple[NDArray, NDArray[np.int64]]:
    names, first, code = np.unique(np.asarray(perturbation, dtype=str), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return names[order], place[code]
