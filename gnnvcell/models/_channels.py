"""Message channels: what reaches a (perturbation, gene) pair over the perturbation side and the readout-gene side."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.models._outcomes import Outcomes
from gnnvcell.ops import Adjacency, aggregate
from gnnvcell.ops.channel_readout import MessageSums
from gnnvcell.ops.pair_products import pair_products

READOUT_SIDES = ("own", "graph", "data", "overall")
_GROUP = 96  # columns that are aggregated together
SHRINKAGE = 0.3  # of the median evidence
SMALLEST_NORM = 1e-6
DENSE_SHARE = 0.25  # of pairs measured: from here on the product of whole matrices is faster than that of what is there


@dataclass(frozen=True, eq=False)
class Messages:
    """Training outcomes after one pass over the readout-gene side.

    Args:
        own: (train, genes) residuals, 0 where not measured.
        measured: (train, genes) 1 where measured.
        graph: (train, genes) residuals of the gene's neighbours in the graph, weighted.
        data: (train, genes) residuals of the genes whose residuals correlate with its own, weighted.
        overall: (train,) sum of the perturbation's residuals.
        expected: (3, genes) evidence that a typical perturbation brings over the graph, data and overall side.
    """

    own: Tensor
    measured: Tensor
    graph: Tensor
    data: Tensor
    overall: Tensor
    expected: Tensor


def pass_over_readouts(outcomes: Outcomes, graph_operator: Tensor, near: Tensor) -> Messages:
    """Pass residuals between readout genes of the same perturbation.

    Args:
        outcomes: of the training perturbations.
        graph_operator: (genes, genes), from ``readout_operator``.
        near: (train, train) similarity of perturbations; residuals are smoothed by it before they are correlated.
    """
    residual, measured = outcomes.residual, outcomes.measured
    genes = residual.shape[1]
    correlation = _residual_correlation(near @ residual)
    rate = measured.mean(dim=0)
    expected = torch.stack([rate @ graph_operator, _column_sums(correlation, rate), rate.sum().expand(len(rate))])
    if measured.mean() >= DENSE_SHARE:
        graph, data = residual @ graph_operator, residual @ correlation
    else:
        perturbation, gene = measured.nonzero(as_tuple=True)
        heard, value = Adjacency(gene, perturbation, genes, len(residual)), residual[perturbation, gene]
        graph, data = (_aggregate_wide(heard, operator, value) for operator in (graph_operator, correlation))
    return Messages(residual, measured, graph, data, residual.sum(dim=1), expected)


def _aggregate_wide(adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:
    """``aggregate`` of features too wide for the cache, group of columns by group."""
    return torch.cat([aggregate(adjacency, part.contiguous(), weight) for part in feat.split(_GROUP, dim=1)], dim=1)


def _residual_correlation(smooth: Tensor) -> Tensor:
    """(genes, genes) third power of the cosine between columns, zero diagonal, over its median column sum."""
    unit = smooth / smooth.norm(dim=0).clamp_min(SMALLEST_NORM)
    correlation = unit.T @ unit
    correlation.fill_diagonal_(0)
    for part in correlation.split(_GROUP):  # in place, because it may take gigabytes
        part.mul_(part.square())
    sums = _column_sums(correlation, correlation.new_ones(len(correlation)))
    present = sums[sums > 0]
    return correlation.div_(present.median() if len(present) else 1.0)


def _column_sums(matrix: Tensor, weight: Tensor) -> Tensor:
    """(columns,) weighted sums of absolute values, without a second matrix."""
    total = matrix.new_zeros(matrix.shape[1])
    for part, of_part in zip(matrix.split(_GROUP), weight.split(_GROUP), strict=True):
        total += of_part @ part.abs()
    return total


class ChannelMaker:
    """Sums messages over the perturbation side: one channel per (kernel, readout side).

    ``at`` makes the channels of some pairs; ``sums`` is what ``ops.channel_readout`` makes those of all pairs from.

    ``x = sum_p' K[p, p'] B[p', g] / (E[p, g] + lambda)``, B the messages of a side. The evidence E is
    ``sum_p' K[p, p'] M[p', g]`` for the own side and ``sum_p' K[p, p'] * expected_g`` for the others; lambda is
    ``SHRINKAGE`` times the median evidence of the perturbations that the maker was made with.

    Args:
        messages: of the training perturbations.
        kernels: (kernels, rows, train) of the perturbations that set lambda.
    """

    def __init__(self, messages: Messages, kernels: Float[Tensor, "kernels rows train"]) -> None:
        self.messages = messages
        self._dense = bool(messages.measured.mean() >= DENSE_SHARE)
        if not self._dense:
            row, gene = messages.measured.nonzero(as_tuple=True)
            self._hears = Adjacency(row, gene, *messages.measured.shape)
            self._own = messages.own[row, gene]
        self._incomplete = (messages.measured == 0).any(dim=0)
        typical = torch.cat([messages.measured.mean(dim=0)[None], messages.expected]).mean(dim=1)
        reach = kernels.sum(dim=2)
        middle = torch.stack([row[row > 0].median() if (row > 0).any() else row.new_tensor(1.0) for row in reach])
        self.halfway = (SHRINKAGE * middle[:, None] * typical).clamp_min(SMALLEST_NORM)  # (kernels, sides)

    @property
    def incomplete(self) -> Int[Tensor, " genes"]:
        """Which of the genes that some training perturbation lacks each one is; -1 for genes that all have."""
        return torch.where(self._incomplete, self._incomplete.cumsum(dim=0) - 1, -1)

    def sums(self, kernels: Float[Tensor, "kernels rows train"]) -> MessageSums:
        """What reaches some perturbations; kernels that bring one nothing have no line."""
        m = self.messages
        present = (kernels != 0).any(dim=2).T
        row, kernel = present.nonzero(as_tuple=True)
        weight = kernels[kernel, row]
        if self._dense:
            own, measured = weight @ m.own, weight @ m.measured[:, self._incomplete]
        else:
            own = _aggregate_wide(self._hears, weight.T, self._own).T
            measured = _aggregate_wide(self._hears, weight.T, None).T[:, self._incomplete]
        start = torch.cat([row.new_zeros(1), present.sum(dim=1).cumsum(dim=0)])
        parts = (own, weight @ m.graph, weight @ m.data, weight @ m.overall, weight.sum(dim=1), measured)
        return MessageSums(start.numpy(), kernel.numpy(), *(part.contiguous().numpy() for part in parts))

    def at(
        self, kernels: Float[Tensor, "kernels rows train"], row: Int[Tensor, " pairs"], gene: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs channels"]:
        """Channels of some pairs, without making the others; no gradient."""
        m = self.messages
        by_gene = torch.stack([m.own, m.measured, m.graph, m.data], dim=2).transpose(0, 1)
        by_row = kernels.permute(1, 2, 0)
        sums = pair_products(by_row, by_gene, row, gene)
        reach, overall = by_row.sum(dim=1)[row], torch.einsum("rtk,t->rk", by_row, m.overall)[row]
        value = torch.cat([sums[:, :, [0, 2, 3]], overall[:, :, None]], dim=2)
        evidence = torch.cat([sums[:, :, 1:2], reach[:, :, None] * m.expected.T[gene][:, None, :]], dim=2)
        return (value / (evidence + self.halfway)).flatten(1)


def gene_features(outcomes: Outcomes, kind: str) -> Tensor:
    """(genes, 2) half the prior and the log number of measurements, both about 0."""
    prior = outcomes.prior(kind)
    if kind == "delta":
        prior = prior / prior.std().clamp_min(1e-6)
    return torch.stack([prior / 2, torch.log1p(outcomes.gene_count) - np.log1p(30.0)], dim=1).float()
