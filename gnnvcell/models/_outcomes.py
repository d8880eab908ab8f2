"""Outcomes: a training table as residuals to shrunken gene means, and the folds that hide a perturbation's own rows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.ops import Adjacency, aggregate

DENSE_SHARE = 0.25  # of pairs measured
MIN_PROBABILITY = 0.005
_GROUP = 96  # columns that are aggregated together
MEAN_PSEUDOCOUNT = 3.0  # measurements that a gene's mean is shrunk by towards the mean of all


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Observed effects as messages.

    Args:
        residual: (perturbations, genes) float32, effect minus the gene's mean; 0 where not measured.
        measured: (perturbations, genes) float32, 1 where measured.
        gene_mean: (genes,) float32, shrunken mean effect.
        gene_count: (genes,) float32, measurements of each gene.
    """

    residual: Tensor
    measured: Tensor
    gene_mean: Tensor
    gene_count: Tensor

    @cached_property
    def dense(self) -> bool:
        """Whether products of whole matrices are faster than those of what was measured."""
        return bool(self.measured.mean() >= DENSE_SHARE)

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """(pairs,) perturbation and (pairs,) gene of what was measured, perturbation by perturbation."""
        row, gene = self.measured.nonzero(as_tuple=True)
        return row, gene

    @cached_property
    def from_genes(self) -> Adjacency:
        """Edges from measured genes to perturbations, in the order of ``pairs``."""
        row, gene = self.pairs
        return Adjacency(gene, row, self.measured.shape[1], self.measured.shape[0])

    @cached_property
    def to_genes(self) -> Adjacency:
        """Edges from perturbations to measured genes, in the order of ``pairs``."""
        row, gene = self.pairs
        return Adjacency(row, gene, *self.measured.shape)

    @classmethod
    def of(cls, table: EffectTable, rows: NDArray | None = None) -> "Outcomes":
        """The outcomes of some perturbations of a table; ``mean_g = (sum_p y + 3 * mean) / (n_g + 3)``."""
        chosen = np.arange(table.shape[0]) if rows is None else rows
        values, measured = table.values[chosen], table.measured[chosen].astype(np.float32)
        count = measured.sum(axis=0)
        overall = float(values.sum() / max(measured.sum(), 1.0))
        mean = ((values.sum(axis=0) + MEAN_PSEUDOCOUNT * overall) / (count + MEAN_PSEUDOCOUNT)).astype(np.float32)
        residual = (values - mean) * measured
        return cls(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (residual, measured, mean, count)))

    def over_genes(self, values: Tensor, operator: Tensor) -> Tensor:
        """(perturbations, columns) ``values @ operator``, of values that are 0 where nothing was measured."""
        if self.dense:
            return values @ operator
        return _aggregate_wide(self.from_genes, operator, values[self.pairs])

    def over_perturbations(self, weight: Tensor, values: Tensor) -> Tensor:
        """(rows, genes) ``weight @ values``, of values that are 0 where nothing was measured."""
        if self.dense:
            return weight @ values
        return _aggregate_wide(self.to_genes, weight.T, values[self.pairs]).T

    def prior(self, kind: str) -> Tensor:
        """(genes,) what is predicted of a gene without evidence: the log odds of a label, or the mean effect."""
        if kind == "delta":
            return self.gene_mean
        return torch.logit(self.gene_mean.clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY))


def _aggregate_wide(adjacency: Adjacency, feat: Tensor, weight: Tensor) -> Tensor:
    """``aggregate`` of features too wide for the cache, group of columns by group."""
    return torch.cat([aggregate(adjacency, part.contiguous(), weight) for part in feat.split(_GROUP, dim=1)], dim=1)


def check_trainable(table: EffectTable, minimum: int = 1) -> None:
    """Refuse a table with nothing to learn from.

    Raises:
        ModelError: too few measured perturbations, or all measured effects are equal.
    """
    informative = int(table.measured.any(axis=1).sum())
    if informative < minimum:
        raise ModelError(
            "too few training perturbations", expected=f"at least {minimum}", found=f"{informative} with measured genes"
        )
    observed = table.values[table.measured]
    if observed.min() == observed.max():
        raise ModelError("all measured effects are equal, so there is nothing to learn", found=f"{observed[0]:g}")


def perturbation_folds(count: int, folds: int, seed: int) -> NDArray[np.int64]:
    """(count,) fold of each perturbation, in [0, folds), sizes differing by at most one."""
    order = np.random.default_rng(seed).permutation(count)
    fold = np.empty(count, dtype=np.int64)
    fold[order] = np.arange(count) % folds
    return fold
