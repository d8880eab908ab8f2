"""RelationMixture: learned weights of several similarities of the same pairs, several heads at once."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_FLOOR = 1e-6  # of a similarity: the power's gradient is finite there


class RelationMixture(nn.Module):
    """Turns similarities per relation into attention-free message weights.

    ``K_h = (sum_r softmax(a_h)_r S_r)^p_h``, with learned relation logits a and exponents p > 0, one set per head h.
    Exponents start spread over ``[1.5, 4]``, so that heads listen to wide and to narrow neighbourhoods.

    Args:
        relations: number of relations.
        heads: number of heads.

    Shapes: similarity (relations, left, right) in [0, 1]; result (heads, left, right).

    Example:
        >>> mixture = RelationMixture(relations=3, heads=2)
        >>> mixture(torch.rand(3, 4, 5)).shape
        torch.Size([2, 4, 5])
    """

    def __init__(self, relations: int, heads: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(heads, relations))
        start = torch.linspace(1.5, 4.0, heads) if heads > 1 else torch.tensor([2.5])
        self.log_power = nn.Parameter(start.log())

    @property
    def weights(self) -> Float[Tensor, "heads relations"]:
        """Share of each relation, summing to 1 per head."""
        return self.logits.softmax(dim=1)

    def forward(self, similarity: Float[Tensor, "relations left right"]) -> Float[Tensor, "heads left right"]:
        """The message weights of every head."""
        mixed = torch.einsum("hr,rab->hab", self.weights, similarity)
        return mixed.clamp_min(_FLOOR) ** self.log_power.exp()[:, None, None]
