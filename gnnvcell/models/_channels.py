"""Message channels: what reaches a (perturbation, gene) pair over the perturbation side and the readout-gene side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.models._outcomes import Outcomes
from gnnvcell.models._solved_messages import SolvedMessages
from gnnvcell.ops.channel_readout import MessageSums
from gnnvcell.ops.pair_products import pair_products

READOUT_SIDES = ("own", "graph", "data", "overall")
_ROWS_SUMMED = 96  # of a matrix of genes
_ROWS_AT_ONCE = 512  # of a matrix of genes
SHRINKAGE = 0.3  # of the median evidence
SMALLEST_NORM = 1e-6


@dataclass(frozen=True, eq=False)
class Messages:
    """Training outcomes after one pass over the readout-gene side.

    Args:
        outcomes: what was measured.
        own: (train, genes) what each says of the gene itself, such as its residual; 0 where not measured.
        graph: (train, genes) the same of the gene's neighbours in the graph, weighted.
        data: (train, genes) the same of the genes whose residuals correlate with its own, weighted.
        overall: (train,) the same of all genes, summed.
        expected: (3, genes) evidence that a typical perturbation brings over the graph, data and overall side.
        averaged: whether sums are divided by their evidence; not so of solved messages, which expect none.
    """

    outcomes: Outcomes
    own: Tensor
    graph: Tensor
    data: Tensor
    overall: Tensor
    expected: Tensor
    averaged: bool = True


def pass_over_readouts(outcomes: Outcomes, graph_operator: Tensor, correlation: Tensor) -> Messages:
    """Pass residuals between readout genes of the same perturbation.

    Args:
        outcomes: of the training perturbations.
        graph_operator: (genes, genes), from ``readout_operator``.
        correlation: (genes, genes), from ``residual_correlation``.
    """
    residual, rate = outcomes.residual, outcomes.measured.mean(dim=0)
    expected = torch.stack([rate @ graph_operator, _column_sums(correlation, rate), rate.sum().expand(len(rate))])
    graph, data = (outcomes.over_genes(residual, operator) for operator in (graph_operator, correlation))
    return Messages(outcomes, residual, graph, data, residual.sum(dim=1), expected)


def pass_solved(outcomes: Outcomes, solved: SolvedMessages, correlation: Tensor) -> Messages:
    """Solved messages, and what they say of genes whose residuals correlate with the gene's own."""
    data = outcomes.over_genes(solved.own, correlation)
    nothing = solved.own.new_zeros(3, solved.own.shape[1])
    return Messages(outcomes, solved.own, solved.graph, data, solved.own.sum(dim=1), nothing, averaged=False)


def residual_correlation(smooth: Tensor) -> Tensor:
    """(genes, genes) third power of the cosine between columns, zero diagonal, over its median column sum.

    Args:
        smooth: (train, genes) residuals smoothed over like perturbations.
    """
    unit = smooth / smooth.norm(dim=0).clamp_min(SMALLEST_NORM)
    genes = unit.shape[1]
    correlation = unit.new_empty(genes, genes)
    for start in range(0, genes, _ROWS_AT_ONCE):  # what is above the diagonal; the rest is the same
        rows = slice(start, start + _ROWS_AT_ONCE)
        cosine = unit[:, rows].T @ unit[:, start:]
        correlation[rows, start:] = cosine.mul_(cosine.square())
        correlation[start:, rows] = cosine.T
    correlation.fill_diagonal_(0)
    sums = _column_sums(correlation, correlation.new_ones(len(correlation)))
    present = sums[sums > 0]
    return correlation.div_(present.median() if len(present) else 1.0)


def _column_sums(matrix: Tensor, weight: Tensor) -> Tensor:
    """(columns,) weighted sums of absolute values, without a second matrix."""
    total = matrix.new_zeros(matrix.shape[1])
    for part, of_part in zip(matrix.split(_ROWS_SUMMED), weight.split(_ROWS_SUMMED), strict=True):
        total += of_part @ part.abs()
    return total


class ChannelMaker:
    """Sums messages over the perturbation side: one channel per (kernel, readout side).

    ``at`` makes the channels of some pairs; ``sums`` is what ``ops.channel_readout`` makes those of all pairs from.

    ``x = sum_p' K[p, p'] B[p', g] / (E[p, g] + lambda)``, B the messages of a side. The evidence E is
    ``sum_p' K[p, p'] M[p', g]`` for the own side and ``sum_p' K[p, p'] * expected_g`` for the others; lambda is
    ``SHRINKAGE`` times the median evidence of the perturbations that the maker was made with. Of solved messages the
    sum itself is the channel.

    Args:
        messages: of the training perturbations.
        kernels: (kernels, rows, train) of the perturbations that set lambda.
    """

    def __init__(self, messages: Messages, kernels: Float[Tensor, "kernels rows train"]) -> None:
        self.messages = messages
        measured = messages.outcomes.measured
        self._incomplete = (measured == 0).any(dim=0)
        if not messages.averaged:
            self.halfway = kernels.new_ones(len(kernels), len(READOUT_SIDES))
            return
        typical = torch.cat([measured.mean(dim=0)[None], messages.expected]).mean(dim=1)
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
        own = m.outcomes.over_perturbations(weight, m.own)
        if not m.averaged:
            reach, measured = weight.new_zeros(len(weight)), weight.new_zeros(len(weight), int(self._incomplete.sum()))
        else:
            reach, measured = weight.sum(dim=1), self._measured(weight)
        start = torch.cat([row.new_zeros(1), present.sum(dim=1).cumsum(dim=0)])
        parts = (own, weight @ m.graph, weight @ m.data, weight @ m.overall, reach, measured)
        return MessageSums(start.numpy(), kernel.numpy(), *(part.contiguous().numpy() for part in parts))

    def _measured(self, weight: Tensor) -> Tensor:
        """(lines, incomplete genes) weight of the perturbations under which a gene was measured."""
        outcomes = self.messages.outcomes
        if outcomes.dense:
            return weight @ outcomes.measured[:, self._incomplete]
        return outcomes.over_perturbations(weight, outcomes.measured)[:, self._incomplete]

    def at(
        self, kernels: Float[Tensor, "kernels rows train"], row: Int[Tensor, " pairs"], gene: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs channels"]:
        """Channels of some pairs, without making the others; no gradient."""
        m = self.messages
        sides = [m.own, m.graph, m.data] + ([m.outcomes.measured] if m.averaged else [])
        told = np.stack([side.numpy().T for side in sides], axis=1)  # torch takes three times as long
        sums = pair_products(kernels, torch.from_numpy(told), row, gene)
        overall = (kernels @ m.overall).T[row]
        value = torch.cat([sums[:, :, :3], overall[:, :, None]], dim=2)
        if not m.averaged:
            return value.flatten(1)
        reach = kernels.sum(dim=2).T[row]
        evidence = torch.cat([sums[:, :, 3:], reach[:, :, None] * m.expected.T[gene][:, None, :]], dim=2)
        return (value / (evidence + self.halfway)).flatten(1)


class Nearness:
    """How much was measured near a perturbation: as many channels as a kernel has, the same for all genes.

    The log of the sums of the mean similarity to the powers 2 and 4, the largest, and the log of the number of
    perturbations that are alike at all; all 0 for a perturbation that the graph links to none.

    Args:
        genes: of the table.
    """

    def __init__(self, genes: int) -> None:
        self.genes = genes

    def of_rows(self, squared: Float[Tensor, "rows train"], fourth: Float[Tensor, "rows train"]) -> Tensor:
        """(rows, 4) from the mean similarity to the powers 2 and 4."""
        nearest = fourth.max(dim=1).values ** 0.25
        reach = torch.stack([squared.sum(dim=1), fourth.sum(dim=1), (squared > 0).sum(dim=1)])
        wide, narrow, count = torch.log1p(reach)
        return torch.stack([wide, narrow, nearest, count], dim=1)

    def sums(self, values: Float[Tensor, "rows 4"], incomplete: int) -> MessageSums:
        """One line for each row."""
        own, graph, data = (column[:, None].expand(-1, self.genes).contiguous().numpy() for column in values.T[:3])
        count, nothing = len(values), np.zeros(len(values), dtype=np.float32)
        return MessageSums(
            np.arange(count + 1), np.zeros(count, np.int64), own, graph, data, values[:, 3].contiguous().numpy(),
            nothing, np.zeros((count, incomplete), np.float32),
        )  # fmt: skip


class PassedMessages:
    """All that training outcomes say: averages of what was measured, how much that was, and solved messages.

    Args:
        averages: channels of all kernels but the last, of which the last two are the mean similarity to the powers 2
            and 4.
        solved: those of the last kernel.
    """

    def __init__(self, averages: ChannelMaker, solved: ChannelMaker) -> None:
        self.averages, self.solved = averages, solved
        self.nearness = Nearness(averages.messages.own.shape[1])

    @classmethod
    def of(
        cls,
        outcomes: Outcomes,
        kernels: Float[Tensor, "kernels train train"],
        operator: Float[Tensor, "genes genes"],
        factors: Float[Tensor, "genes rank"],
    ) -> "PassedMessages":
        """Pass the outcomes of training perturbations.

        Args:
            outcomes: of the training perturbations.
            kernels: between them, zero diagonal, in the order of the class.
            operator: of the readout genes, for averages.
            factors: of the readout genes, for solved messages.
        """
        correlation = residual_correlation(outcomes.over_perturbations(kernels[-3], outcomes.residual))
        averages = ChannelMaker(pass_over_readouts(outcomes, operator, correlation), kernels[:-1])
        solved = SolvedMessages.of(outcomes, kernels[-1].clone().fill_diagonal_(1), factors)
        return cls(averages, ChannelMaker(pass_solved(outcomes, solved, correlation), kernels[-1:]))

    @property
    def halfway(self) -> Float[Tensor, "kernels sides"]:
        """Evidence at which a channel is half of what it would be."""
        return torch.cat([self.averages.halfway, self.solved.halfway, torch.ones_like(self.solved.halfway)])

    def at(
        self, kernels: Float[Tensor, "kernels rows train"], row: Int[Tensor, " pairs"], gene: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs channels"]:
        """Channels of some pairs, kernel by kernel, and how near they are."""
        averages, solved = self.averages.at(kernels[:-1], row, gene), self.solved.at(kernels[-1:], row, gene)
        return torch.cat([averages, solved, self.nearness.of_rows(kernels[-3], kernels[-2])[row]], dim=1)

    def sums(self, kernels: Float[Tensor, "kernels rows train"]) -> MessageSums:
        """What reaches some perturbations over all genes."""
        averages, solved = self.averages.sums(kernels[:-1]), self.solved.sums(kernels[-1:])
        near = self.nearness.sums(self.nearness.of_rows(kernels[-3], kernels[-2]), averages.measured.shape[1])
        return _joined([(averages, 0), (solved, len(kernels) - 1), (near, len(kernels))])


def _joined(parts: Sequence[tuple[MessageSums, int]]) -> MessageSums:
    """The lines of all, the kernels of each counted from a number on."""
    row = np.concatenate([np.repeat(np.arange(len(sums.start) - 1), np.diff(sums.start)) for sums, _ in parts])
    order = np.argsort(row, kind="stable")
    kernel = np.concatenate([sums.kernel + first for sums, first in parts])[order]
    names = ("own", "graph", "data", "overall", "reach", "measured")
    joined = (np.concatenate([getattr(sums, name) for sums, _ in parts])[order] for name in names)
    return MessageSums(np.sum([sums.start for sums, _ in parts], axis=0), kernel, *joined)


def gene_features(outcomes: Outcomes, kind: str) -> Tensor:
    """(genes, 2) half the prior log odds and the log number of measurements, both about 0."""
    return torch.stack([outcomes.prior(kind) / 2, torch.log1p(outcomes.gene_count) - np.log1p(30.0)], dim=1).float()
