"""DECalls: differential expression as scores read it, in arrays."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class DECalls:
    """What a differential expression test said of every perturbation and gene.

    Values are rounded to float32 as cell-eval does, so that both call the same genes and see the same ties.

    Args:
        log2_fold_change: (perturbations, genes); may be infinite.
        fdr: (perturbations, genes) adjusted p values in [0, 1]; NaN where a gene was not tested.
        alpha: a gene is significant where ``fdr < alpha``.

    Raises:
        DataError: shapes disagree, an fdr is outside of [0, 1], or a tested fold change is NaN.
    """

    log2_fold_change: NDArray[np.floating]
    fdr: NDArray[np.floating]
    alpha: float = 0.05

    def __post_init__(self) -> None:
        change, fdr = (np.asarray(v, dtype=np.float32) for v in (self.log2_fold_change, self.fdr))
        if change.ndim != 2 or change.shape != fdr.shape:
            raise DataError(
                "differential expression does not fit itself",
                expected="(perturbations, genes) of one shape",
                found=f"log2 fold changes {change.shape}, fdr {fdr.shape}",
            )
        tested = ~np.isnan(fdr)
        bad = tested & ~((fdr >= 0) & (fdr <= 1))
        if bad.any():
            raise DataError(f"{int(bad.sum())} fdr are not between 0 and 1", found=str(fdr[bad][0]))
        if np.isnan(change[tested]).any():
            raise DataError(
                f"{int(np.isnan(change[tested]).sum())} tested genes have no log2 fold change",
                remedy="a gene that neither side expresses has fold change 0",
            )
        object.__setattr__(self, "log2_fold_change", change)
        object.__setattr__(self, "fdr", fdr)

    @classmethod
    def of_table(cls, table: pd.DataFrame, perturbations: NDArray, genes: NDArray, alpha: float = 0.05) -> "DECalls":
        """From a table with one row per perturbation and gene, as ``pdex`` and this package write it.

        Args:
            table: columns ``target``, ``feature``, ``log2_fold_change``, ``fdr``; pairs it lacks were not tested, and
                other perturbations are left out.
            perturbations: (perturbations,) in the order of the result.
            genes: (genes,) in the order of the result.
            alpha: of the result.

        Raises:
            DataError: a column or a perturbation is missing, a gene is unknown or a pair comes twice.
        """
        missing = [name for name in ("target", "feature", "log2_fold_change", "fdr") if name not in table]
        if missing:
            raise DataError(
                f"the table of differential expression has no column {missing[0]!r}",
                remedy=did_you_mean(missing[0], map(str, table.columns)),
            )
        row, column = _codes(table["target"], perturbations), _codes(table["feature"], genes)
        _check_places(table, row, column, perturbations)
        change, fdr = np.full((2, len(perturbations), len(genes)), np.nan, dtype=np.float32)
        wanted = row >= 0
        for array, name in ((change, "log2_fold_change"), (fdr, "fdr")):
            array[row[wanted], column[wanted]] = table[name].to_numpy(dtype=np.float64)[wanted]
        return cls(change, fdr, alpha)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """(perturbations, genes) whether the gene was tested."""
        return ~np.isnan(self.fdr)

    @cached_property
    def significant(self) -> NDArray[np.bool_]:
        """(perturbations, genes) whether ``fdr < alpha``."""
        return self.fdr < np.float32(self.alpha)

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """(perturbations, genes) place among the significant genes of a perturbation by size of fold change, from 0.

        The number of genes where not significant. Equal sizes stand in the order of the genes; cell-eval leaves their
        order open.
        """
        rank = np.full(self.fdr.shape, self.fdr.shape[1], dtype=np.int32)
        row, column = np.nonzero(self.significant)
        order = np.lexsort((-np.abs(self.log2_fold_change[row, column]), row))
        count = self.significant.sum(axis=1)
        rank[row[order], column[order]] = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return rank

    def only(self, scored: NDArray) -> "DECalls":
        """The same, with pairs that are not ``scored``, (perturbations, genes) bool, taken as not tested."""
        return DECalls(self.log2_fold_change, np.where(scored, self.fdr, np.float32(np.nan)), self.alpha)

    def centred(self, centre: NDArray) -> "DECalls":
        """The same, with ``centre``, (genes,), taken from the fold changes: the mean fold change of training.

        Genes are then ranked by what a perturbation does beyond what perturbations do; calls stay as they are.
        """
        return DECalls(self.log2_fold_change - np.asarray(centre, dtype=np.float32), self.fdr, self.alpha)


def _check_places(table: pd.DataFrame, row: NDArray, column: NDArray, perturbations: NDArray) -> None:
    unknown = np.flatnonzero((column < 0) & (row >= 0))
    if len(unknown):
        raise DataError(
            f"{len(unknown):,} rows of the table are of genes that are not scored",
            found=str(table["feature"].iloc[int(unknown[0])]),
            remedy="test the same genes as are scored: false discovery rates depend on which were tested",
        )
    width = int(column.max(initial=0)) + 1
    seen = np.bincount(row[row >= 0] * width + column[row >= 0], minlength=width * len(perturbations))
    if seen.max(initial=0) > 1:
        raise DataError(
            f"{int((seen - (seen > 0)).sum()):,} rows of the table repeat a perturbation and gene",
            remedy="make one table per cell type",
        )
    untold = np.flatnonzero(seen.reshape(len(perturbations), width).sum(axis=1) == 0)
    if len(untold):
        raise DataError(
            f"the table of differential expression lacks {len(untold)} of {len(perturbations)} perturbations",
            found=f"nothing for {perturbations[untold[0]]}",
        )


def _codes(column: Any, names: NDArray) -> NDArray[np.int64]:
    """Place of each entry among the names, -1 where it is none of them."""
    labels = column.astype("category").cat
    place = pd.Index(np.asarray(names, dtype=str).astype(object)).get_indexer(labels.categories.astype(str))
    return np.asarray(place, dtype=np.int64)[labels.codes.to_numpy()]
