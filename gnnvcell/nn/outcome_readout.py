"""OutcomeReadout: a learned non-linear readout of message channels that is zero where no message came."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class OutcomeReadout(nn.Module):
    """Score of a (perturbation, gene) pair from the messages that reached it.

    ``score = scale * mean_b x_b + gate * (f([clip(x), z_g]) - f([0, z_g]))`` with f a one-hidden-layer SiLU network
    whose last layer starts at zero, x the channels, b the base channels and z_g features of the gene. The difference
    makes the score exactly 0 without messages, so that the answer goes back to the gene's mean. The gate (1 at first)
    is not trained: what fits it afterwards decides how much of f to believe. Several members with their own weights
    are averaged.

    Args:
        channels: number of message channels.
        gene_features: number of features per gene.
        base: indices of the channels that are averaged linearly.
        hidden: width of the hidden layer.
        members: networks that are averaged.
        clip: channels are cut at plus and minus this value, in standard deviations.

    Shapes: channels (pairs, channels), gene features (pairs, features); score (members, pairs).

    Example:
        >>> readout = OutcomeReadout(3, 2, base=torch.tensor([0]), hidden=4, members=2)
        >>> readout(torch.zeros(5, 3), torch.rand(5, 2)).abs().max().item()
        0.0
    """

    base: Tensor
    gate: Tensor

    def __init__(
        self,
        channels: int,
        gene_features: int,
        *,
        base: Int[Tensor, " base"],
        hidden: int = 32,
        members: int = 1,
        clip: float = 4.0,
    ) -> None:
        super().__init__()
        width = channels + gene_features
        self.register_buffer("base", base)
        self.register_buffer("gate", torch.ones(()))
        self.scale = nn.Parameter(torch.full((members,), 0.7))
        self.first = nn.Parameter(torch.empty(members, width, hidden).uniform_(-(width**-0.5), width**-0.5))
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.last = nn.Parameter(torch.zeros(members, hidden, 1))
        self.gene_features, self.clip = gene_features, clip

    @classmethod
    def joined(cls, readouts: "Sequence[OutcomeReadout]") -> "OutcomeReadout":
        """The members of several readouts of one shape as members of one, with an open gate."""
        first = readouts[0]
        members, width, hidden = torch.cat([one.first for one in readouts]).shape
        channels = width - (features := first.gene_features)
        joined = cls(channels, features, base=first.base, hidden=hidden, members=members, clip=first.clip)
        with torch.no_grad():
            for name, parameter in joined.named_parameters():
                parameter.copy_(torch.cat([one.get_parameter(name) for one in readouts]))
        return joined.eval()

    def parts(
        self, channels: Float[Tensor, "pairs channels"], gene_features: Float[Tensor, "pairs features"]
    ) -> tuple[Float[Tensor, "members pairs"], Float[Tensor, "members pairs"]]:
        """The linear part of every member's score, and what its network adds before the gate."""
        clipped = channels.clamp(-self.clip, self.clip)
        width = channels.shape[1]
        gene = gene_features @ self.first[:, width:] + self.first_bias
        change = F.silu(clipped @ self.first[:, :width] + gene) - F.silu(gene)
        linear = self.scale[:, None] * channels[:, self.base].mean(dim=1)
        return linear, (change @ self.last)[:, :, 0]

    def forward(
        self, channels: Float[Tensor, "pairs channels"], gene_features: Float[Tensor, "pairs features"]
    ) -> Float[Tensor, "members pairs"]:
        """Scores of every member."""
        linear, change = self.parts(channels, gene_features)
        return linear + self.gate * change
