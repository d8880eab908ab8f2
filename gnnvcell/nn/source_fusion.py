"""SourceFusion: one embedding per gene from those that several sources of knowledge gave it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, did_you_mean

FUSIONS = ("concat", "gated_sum", "attention", "mean")


class SourceFusion(nn.Module):
    """Fuses per-source embeddings.

    ``concat``: ``W [h_1; ...; h_S]``; ``gated_sum``: ``sum_s softmax_s(a_s . h_s + b_s) h_s`` per gene;
    ``attention``: multi-head attention of a learned query over the sources of a gene; ``mean``: their mean.

    Args:
        sources: number of sources S.
        width: d.
        how: a name of ``FUSIONS``.
        heads: of "attention"; divides d.

    Shapes: embeddings (sources, nodes, d); result (nodes, d).

    Raises:
        ConfigError: unknown fusion, or heads that do not divide the width.

    Example:
        >>> SourceFusion(2, 4, how="mean")(torch.stack([torch.zeros(3, 4), torch.ones(3, 4)]))[0]
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """

    def __init__(self, sources: int, width: int, *, how: str, heads: int = 4) -> None:
        super().__init__()
        if how not in FUSIONS:
            raise ConfigError(f"unknown fusion {how!r}", expected=", ".join(FUSIONS), remedy=did_you_mean(how, FUSIONS))
        if how == "attention" and width % heads:
            raise ConfigError("the heads do not divide the width", expected=f"a divisor of {width}", found=f"{heads}")
        self.how = how
        if how == "concat":
            self.project = nn.Linear(sources * width, width)
        elif how == "gated_sum":
            self.gate = nn.Parameter(torch.zeros(sources, width))
            self.gate_bias = nn.Parameter(torch.zeros(sources))
        elif how == "attention":
            self.query = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, embeddings: Float[Tensor, "sources nodes d"]) -> Float[Tensor, "nodes d"]:
        """Fuse."""
        if self.how == "mean":
            return embeddings.mean(dim=0)
        if self.how == "concat":
            return self.project(torch.cat(embeddings.unbind(), dim=1))
        by_node = embeddings.transpose(0, 1)
        if self.how == "gated_sum":
            share = ((by_node * self.gate).sum(dim=2) + self.gate_bias).softmax(dim=1)
            return (share.unsqueeze(2) * by_node).sum(dim=1)
        query = self.query.expand(len(by_node), -1, -1)
        return self.attention(query, by_node, by_node, need_weights=False)[0].squeeze(1)
