"""Solved messages: training outcomes weighed so that neighbours that say the same are not heard twice."""

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.models._outcomes import Outcomes
from gnnvcell.ops import aggregate, edge_scores

RIDGE = 0.1  # of a perturbation's effect, what no relation of the graph shares with another perturbation
NOISE = 1.0  # of a measurement, in units of the readout side's own and shared variance
OWN_SHARE = 2.0  # of a gene's effect, what it shares with no other gene
RANK = 128  # of the similarity of readout genes
POWER_STEPS = 2  # of the subspace iteration that finds it
MAX_STEPS, TOLERANCE = 40, 1e-2  # of conjugate gradients; the tolerance is relative to the residuals
_LARGEST_EIGEN = 400  # genes up to which the similarity is decomposed exactly
_SMALLEST = 1e-6
_FEW_PAIRS = 0.02  # of all products of two perturbations and a gene: up to here only those of measured pairs are made


def readout_factors(similarity: Float[Tensor, "genes genes"], *, seed: int = 0) -> Float[Tensor, "genes rank"]:
    """U with ``U U^T`` close to the similarity, of at most ``RANK`` columns.

    Of many genes by a randomised subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011).

    Args:
        similarity: symmetric; directions of negative eigenvalues are left out.
        seed: of the random start.
    """
    if len(similarity) <= max(RANK, _LARGEST_EIGEN):
        value, vector = torch.linalg.eigh(similarity)
        value, vector = value[-RANK:], vector[:, -RANK:]
        kept = value > _SMALLEST
        return vector[:, kept] * value[kept].sqrt()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, value, right = torch.svd_lowrank(similarity, q=RANK, niter=POWER_STEPS)
    kept = (value > _SMALLEST) & ((left * right).sum(dim=0) > 0)
    return left[:, kept] * value[kept].sqrt()


@dataclass(frozen=True, eq=False)
class SolvedMessages:
    """Training outcomes as messages that need no further division by evidence.

    Args:
        own: (train, genes) what a training perturbation says of the gene itself.
        graph: (train, genes) what it says of the gene through the genes that are like it.
    """

    own: Tensor
    graph: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls, outcomes: Outcomes, kernel: Float[Tensor, "train train"], factors: Float[Tensor, "genes rank"]
    ) -> "SolvedMessages":
        """Kernel regression on the product of the perturbation side and the readout side.

        The residuals r of the measured pairs are taken as a draw of a Gaussian process with covariance
        ``C = (K + .1 I) (x) (.5 I + U U^T) + noise I``; with ``a = C^-1 r`` (conjugate gradients, on measured pairs
        only), the mean of an unseen perturbation q is ``sum_p K[q, p] (.5 a[p, g] + (a U U^T)[p, g])``: the two
        messages of p. ``kernel`` has ones on its diagonal.
        """
        covariance = _Covariance(outcomes, kernel, factors)
        solved = covariance.table(_conjugate_gradients(covariance, covariance.at_pairs(outcomes.residual)))
        return cls(OWN_SHARE * solved, (solved @ factors) @ factors.T)


class _Covariance:
    """Products of C with values of the measured pairs."""

    def __init__(self, outcomes: Outcomes, kernel: Tensor, factors: Tensor) -> None:
        self.outcomes, self.shape = outcomes, outcomes.measured.shape
        self.row, self.gene = outcomes.pairs
        self.kernel, self.factors = kernel + RIDGE * torch.eye(len(kernel)), factors
        own = OWN_SHARE + factors.square().sum(dim=1)[self.gene]
        self.diagonal = self.kernel.diagonal()[self.row] * own + NOISE
        count = np.bincount(self.gene.numpy(), minlength=self.shape[1]).astype(np.float64)
        few = float(count @ count) <= _FEW_PAIRS * self.shape[0] ** 2 * self.shape[1]
        self._by_gene = torch.argsort(self.gene, stable=True) if few else None
        self._first = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)

    def at_pairs(self, table: Tensor) -> Tensor:
        """(pairs,) entries of a (train, genes) table."""
        return table[self.row, self.gene]

    def table(self, values: Tensor) -> Tensor:
        """(train, genes) with the values of the pairs, 0 elsewhere."""
        out = values.new_zeros(self.shape)
        out[self.row, self.gene] = values
        return out

    def __matmul__(self, values: Tensor) -> Tensor:
        told = self.kernel @ aggregate(self.outcomes.from_genes, self.factors, values)
        shared = edge_scores(self.outcomes.to_genes, told, self.factors)
        if self._by_gene is not None:
            row, said = self.row[self._by_gene].numpy(), values[self._by_gene].numpy()
            heard = np.empty_like(said)
            _same_gene(self._first, row, self.kernel.numpy(), said, heard)
            own = torch.empty_like(values)
            own[self._by_gene] = torch.from_numpy(heard)
        else:
            own = self.at_pairs(self.kernel @ self.table(values))
        return OWN_SHARE * own + shared + NOISE * values


# ``no_type_check`` keeps the run-time type check of the tests from wrapping the kernel: numba compiles no wrappers.
@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _same_gene(first, row, kernel, values, out):  # type: ignore[no-untyped-def]
    """``out[i] = sum_j kernel[row_i, row_j] * values[j]`` over the pairs j of i's gene; pairs are sorted by gene."""
    for gene in range(len(first) - 1):
        rows, said = row[first[gene] : first[gene + 1]], values[first[gene] : first[gene + 1]]
        for i in range(len(rows)):
            weights, total = kernel[rows[i]], np.float32(0)
            for j in range(len(rows)):
                total += weights[rows[j]] * said[j]
            out[first[gene] + i] = total


def _conjugate_gradients(covariance: _Covariance, residual: Tensor) -> Tensor:
    """(pairs,) a with ``C a = residual``, preconditioned by the diagonal of C."""
    solution, left = torch.zeros_like(residual), residual.clone()
    enough = TOLERANCE**2 * float(residual @ residual)
    scaled = left / covariance.diagonal
    step, energy = scaled.clone(), float(left @ scaled)
    for _ in range(MAX_STEPS):
        if float(left @ left) <= enough:
            break
        product = covariance @ step
        length = energy / float(step @ product)
        solution += length * step
        left -= length * product
        scaled = left / covariance.diagonal
        before, energy = energy, float(left @ scaled)
        step = scaled + (energy / before) * step
    return solution
