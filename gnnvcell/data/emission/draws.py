"""Counts with a wanted mean log1p: molecules of the templates are thinned, or new ones are added.

Every molecule, of a template or added, has a uniform number; it stays where that is below its gene's threshold. The
number of molecules and with it the mean log1p is then monotone in the threshold, which bisection finds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_HALVINGS = 14
_ROUNDS = 3  # totals of cells change with their molecules, and the mean log1p with the totals
_MORE = 4.0  # molecules on offer, in multiples of what the mean seems to need
_LEAST = 0.05  # of what is on offer to a cell of average depth, in counts


@dataclass(frozen=True, eq=False)
class Molecules:
    """Molecules on offer, in the order of their genes.

    Args:
        cell, gene: (molecules,) int64.
        draw: (molecules,) uniform numbers.
    """

    cell: NDArray[np.int64]
    gene: NDArray[np.int64]
    draw: NDArray[np.float64]

    @classmethod
    def of(cls, counts: Any, rng: np.random.Generator) -> "Molecules":
        """The molecules of a (cells, genes) matrix of counts."""
        matrix = sp.coo_array(counts)
        times = matrix.data.astype(np.int64)
        cell, gene = np.repeat(matrix.row, times).astype(np.int64), np.repeat(matrix.col, times).astype(np.int64)
        return cls(cell, gene, rng.random(len(cell)))

    def below(self, threshold: NDArray, shape: tuple[int, int]) -> Any:
        """(cells, genes) float64 CSR of the molecules that stay under (genes,) thresholds."""
        kept = self.draw < threshold[self.gene]
        ones = np.ones(int(kept.sum()))
        matrix = sp.coo_array((ones, (self.cell[kept], self.gene[kept])), shape=shape).tocsr()
        matrix.sum_duplicates()
        return matrix


def draw_counts(
    templates: Any,
    total: NDArray,
    wanted: NDArray,
    dispersion: NDArray,
    target_sum: float,
    rng: np.random.Generator,
) -> sp.csr_array:
    """Counts whose mean log1p over the cells is as wanted, gene by gene.

    Args:
        templates: (cells, genes) counts.
        total: (cells,) their sums.
        wanted: (genes,) mean log1p of counts per ``target_sum``, >= 0.
        dispersion: (genes,) of added molecules, which are negative-binomial.
        target_sum: of the normalisation.
        rng: of all draws.

    Returns:
        (cells, genes) float32 CSR of whole numbers.
    """
    shape = templates.shape
    own = Molecules.of(templates, rng)
    present = mean_log1p(templates, total, target_sum)
    # The linear mean that goes with a mean log1p lies above expm1 of it; what is on offer leaves room for that.
    lacking = np.maximum(np.expm1(wanted) - np.expm1(present), 0.0) * (1 + dispersion)
    rate = _MORE * lacking / target_sum + np.where(wanted > present, _LEAST / total.mean(), 0.0)
    added = Molecules.of(_negative_binomial(rate, total, dispersion, rng), rng)
    depth, counts = total, templates
    for _ in range(_ROUNDS):
        low, high = np.zeros(shape[1]), np.full(shape[1], 2.0)  # below 1: thinning; above: adding
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            counts = _at(own, added, middle, shape)
            less = mean_log1p(counts, depth, target_sum) < wanted
            low, high = np.where(less, middle, low), np.where(less, high, middle)
        counts = _at(own, added, high, shape)
        depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    return sp.csr_array(counts, dtype=np.float32)


def mean_log1p(counts: Any, total: NDArray, target_sum: float) -> NDArray[np.float64]:
    """(genes,) mean log1p of counts per ``target_sum``."""
    logged = np.log1p(counts.data * np.repeat(target_sum / total, np.diff(counts.indptr)))
    return np.bincount(counts.indices, weights=logged, minlength=counts.shape[1]) / counts.shape[0]


def _at(own: Molecules, added: Molecules, level: NDArray, shape: tuple[int, int]) -> Any:
    """Counts at a level of each gene: up to 1 that share of the template's molecules, up to 2 all and more."""
    return sp.csr_array(own.below(np.minimum(level, 1.0), shape) + added.below(np.maximum(level - 1.0, 0.0), shape))


def _negative_binomial(
    rate: NDArray, total: NDArray, dispersion: NDArray, rng: np.random.Generator
) -> sp.csr_array:
    """(cells, genes) counts of mean ``rate * total``, drawn for the genes that have a rate."""
    genes = np.flatnonzero(rate > 0)
    if not len(genes):
        return sp.csr_array((len(total), len(rate)))
    mean = total[:, None] * rate[genes]
    shape = 1 / dispersion[genes]
    drawn = rng.poisson(rng.gamma(shape, 1 / shape, mean.shape) * mean)
    cell, place = np.nonzero(drawn)
    return sp.csr_array((drawn[cell, place].astype(np.float64), (cell, genes[place])), shape=(len(total), len(rate)))
