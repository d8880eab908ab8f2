"""Control cells as counts: the templates that predicted cells are made from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cell_sets.planning import deal_controls
from gnnvcell.data.cells import Cells
from gnnvcell.data.values import ValueKind
from gnnvcell.errors import DataError

_NOT_WHOLE = 0.05  # largest distance from a whole number of what should be a count
_COUNTED_WELL = 0.1  # mean count from which a gene's own dispersion is trusted
_DISPERSIONS = (0.01, 10.0)


@dataclass(frozen=True, eq=False)
class Templates:
    """Control cells.

    Args:
        counts: (cells, genes) whole numbers, float32 CSR.
        total: (cells,) counts of a cell.
        batch: (cells,) int64.
        mean: (genes,) mean log1p of counts per ``target_sum``.
        dispersion: (genes,) negative-binomial: variance = mean + dispersion * mean^2.
    """

    counts: Any
    total: NDArray[np.float64]
    batch: NDArray[np.int64]
    mean: NDArray[np.float64]
    dispersion: NDArray[np.float64]

    @classmethod
    def of(cls, controls: Cells, target_sum: float) -> "Templates":
        """Take the control cells of a file.

        Raises:
            DataError: no controls, or values that are neither counts nor log1p of counts.
        """
        controls.require_controls()
        rows = np.flatnonzero(controls.is_control)
        counts: Any = controls.take(rows)
        if controls.values is ValueKind.LOG1P:
            counts = counts_of_log1p(counts)
        elif controls.values is not ValueKind.COUNTS:
            raise DataError(
                "control cells are templates of counts, and these are none",
                expected="counts, or log1p of counts scaled to one total",
                found=f"{controls.values.value} values",
            )
        total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        kept = total > 0
        if not kept.any():
            raise DataError("no control cell has counts", found=f"{len(total)} empty cells")
        counts, total = sp.csr_array(counts[np.flatnonzero(kept)]), total[kept]
        logged = counts.copy().astype(np.float64)
        logged.data = np.log1p(logged.data * np.repeat(target_sum / total, np.diff(logged.indptr)))
        mean = np.asarray(logged.mean(axis=0)).ravel()
        batch = controls.batch_code[rows][kept].astype(np.int64)
        return cls(counts, total, batch, mean, _dispersion(counts, total))

    def deal(self, cells: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(cells,) templates, spread over batches as the controls are; each once before any comes again."""
        return deal_controls(np.zeros(1, dtype=np.int64), {0: np.arange(len(self.total))}, cells, rng)[0]


def counts_of_log1p(values: Any) -> sp.csr_array:
    """The counts that log1p values were made from, taking the smallest value of each cell for one count.

    Raises:
        DataError: that does not give whole numbers.
    """
    values = sp.csr_array(values, dtype=np.float64)
    linear = np.expm1(values.data)
    start, size = values.indptr[:-1], np.diff(values.indptr)
    one = np.ones(len(size))
    filled = size > 0
    one[filled] = np.minimum.reduceat(linear, start[filled]) if filled.any() else 1.0
    counts = linear / np.repeat(one, size)
    whole = np.round(counts)
    off = np.abs(counts - whole) > _NOT_WHOLE * np.maximum(1, whole / 20)
    if off.mean() > 0.01:
        raise DataError(
            "the log1p values of the controls cannot be turned back into counts",
            expected="log1p of counts scaled by one number in each cell",
            found=f"{off.mean():.0%} of the values are no multiple of the cell's smallest",
            remedy="give control cells with raw counts (--layer counts)",
        )
    return sp.csr_array((whole.astype(np.float32), values.indices, values.indptr), shape=values.shape)


def _dispersion(counts: Any, total: NDArray) -> NDArray[np.float64]:
    """Moments of counts at the mean depth; genes that are hardly seen get the median of the others."""
    scaled = sp.csr_array(counts, dtype=np.float64, copy=True)
    scaled.data *= np.repeat(total.mean() / total, np.diff(scaled.indptr))
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    scaled.data **= 2
    variance = np.asarray(scaled.mean(axis=0)).ravel() - mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (variance - mean) / mean**2
    good = (mean >= _COUNTED_WELL) & np.isfinite(found)
    typical = float(np.median(found[good])) if good.any() else 0.1
    return np.clip(np.where(good, found, typical), *_DISPERSIONS)
