"""Message channels: what reaches a (perturbation, gene) pair over the perturbation side and the readout-gene side."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.models._outcomes import Outcomes

READOUT_SIDES = ("own", "graph", "data", "all")
SHRINKAGE = 0.3  # of the median evidence
DATA_POWER = 3.0  # of the correlation between readout genes


@dataclass(frozen=True, eq=False)
class Messages:
    """Training outcomes after one pass over the readout-gene side.

    Args:
        value: per side (training perturbations, genes or 1) sums of residuals.
        evidence: per side the same shape, sums of the weights of what was measured.
        outcomes: where they come from.
    """

    value: dict[str, Tensor]
    evidence: dict[str, Tensor]
    outcomes: Outcomes


def pass_over_readouts(outcomes: Outcomes, graph_operator: Tensor, near: Tensor) -> Messages:
    """Sides ``own`` (the gene itself), ``graph`` (its neighbours in the graph), ``data`` (genes whose training residuals,
    smoothed over the perturbation graph, correlate with its own), ``all`` (the perturbation's mean residual).

    Args:
        outcomes: of the training perturbations.
        graph_operator: (genes, genes), from ``readout_operator``.
        near: (training perturbations, training perturbations) similarity with zero diagonal, for the smoothing.
    """
    residual, measured = outcomes.residual, outcomes.measured
    sparse_residual, sparse_measured = residual.to_sparse_csr(), measured.to_sparse_csr()
    correlation = _residual_correlation(residual, near)
    absolute = correlation.abs()
    value = {
        "own": residual,
        "graph": sparse_residual @ graph_operator,
        "data": sparse_residual @ correlation,
        "all": residual.sum(dim=1, keepdim=True),
    }
    evidence = {
        "own": measured,
        "graph": sparse_measured @ graph_operator,
        "data": sparse_measured @ absolute,
        "all": measured.sum(dim=1, keepdim=True),
    }
    return Messages(value, evidence, outcomes)


def _residual_correlation(residual: Tensor, near: Tensor) -> Tensor:
    smooth = near @ residual
    smooth = smooth / smooth.norm(dim=0).clamp_min(1e-6)
    correlation = smooth.T @ smooth
    correlation.fill_diagonal_(0)
    raised = correlation.sign() * correlation.abs() ** DATA_POWER
    sums = raised.abs().sum(dim=0)
    typical = sums[sums > 0].median() if (sums > 0).any() else sums.new_tensor(1.0)
    return raised / typical


class ChannelMaker:
    """Sums messages over the perturbation side: one channel per (kernel, readout side).

    ``x = sum_p' K[p, p'] B[p', g] / (sum_p' K[p, p'] N[p', g] + lambda)``, B and N the value and evidence of a side, lambda
    ``SHRINKAGE`` times the median evidence of the first rows that were made.

    Args:
        messages: of the training perturbations.
    """

    def __init__(self, messages: Messages) -> None:
        self.messages = messages

    def names(self, kernels: int) -> list[tuple[int, str]]:
        """(kernel, side) of each channel, in order."""
        return [(k, side) for k in range(kernels) for side in READOUT_SIDES]

    def halfway(self, kernels: Float[Tensor, "kernels rows train"]) -> Tensor:
        """(kernels, sides) half-way evidence: the same for all rows that are predicted later."""
        out = torch.zeros(len(kernels), len(READOUT_SIDES))
        for j, side in enumerate(READOUT_SIDES):
            typical = self.messages.evidence[side].mean(dim=1)
            for k, kernel in enumerate(kernels):
                evidence = kernel @ typical
                present = evidence[evidence > 0]
                out[k, j] = SHRINKAGE * present.median() if len(present) else 1.0
        return out

    def at(
        self, kernels: Float[Tensor, "kernels rows train"], halfway: Tensor, row: Tensor | None, gene: Tensor | None
    ) -> Tensor:
        """(pairs, channels) at (row, gene), or (rows, genes, channels) of all pairs where both are None."""
        genes = self.messages.value["own"].shape[1]
        channels = []
        for k, kernel in enumerate(kernels):
            for j, side in enumerate(READOUT_SIDES):
                value, evidence = kernel @ self.messages.value[side], kernel @ self.messages.evidence[side]
                x = value / (evidence + halfway[k, j])
                x = x.expand(-1, genes)
                channels.append(x if row is None else x[row, gene])
        return torch.stack(channels, dim=-1)


def gene_features(outcomes: Outcomes, kind: str) -> Tensor:
    """(genes, 2) half the prior and the log number of measurements, both about 0."""
    prior = outcomes.prior(kind)
    if kind == "delta":
        prior = prior / prior.std().clamp_min(1e-6)
    return torch.stack([prior / 2, torch.log1p(outcomes.gene_count) - np.log1p(30.0)], dim=1).float()
