"""LinearAttention: every token looks at every other, in time and memory that grow with their number only."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnvcell.nn.attention import in_heads, require_heads
from gnnvcell.nn.positions import rotate

_FLOOR = 1e-6  # of a sum of features, which are all positive: a sequence of which nothing is there


class LinearAttention(nn.Module):
    """Multi-head attention with a kernel in place of the softmax (Katharopoulos et al. 2020)::

        out_i = phi(q_i)^T S / phi(q_i)^T z,    S = sum_j phi(k_j) v_j^T,    z = sum_j phi(k_j),    phi(x) = elu(x) + 1

    for each head, with queries, keys and values x W, and a last projection. It is the quadratic form
    ``sum_j phi(q_i)^T phi(k_j) v_j / sum_j phi(q_i)^T phi(k_j)``, summed in another order: the weights of all pairs
    are never made. Rotary positions turn ``phi(q)`` and ``phi(k)`` in the numerator only, so that the denominator stays
    positive (RoFormer, Su et al. 2021). Sums are in float32, whatever the precision around them.

    Args:
        width: d of a token.
        heads: number of heads, a divisor of the width.
        positions: "rotary" turns queries and keys by their position; "none" makes the layer blind to order.
        dropout: of what is found, while training.
        bias: whether projections have one.

    Shapes: x (batch, length, d); mask (batch, length), True for tokens that are there; result as x.

    Raises:
        ConfigError: a width that heads do not divide, or heads of odd width with rotary positions.

    Example:
        >>> LinearAttention(8, 2)(torch.rand(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        positions: Literal["none", "rotary"] = "none",
        dropout: float = 0.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        require_heads(width, heads, positions)
        self.heads, self.positions = heads, positions
        self.project = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch length d"], mask: Bool[Tensor, "batch length"] | None = None
    ) -> Float[Tensor, "batch length d"]:
        """Attend; a sequence of which nothing is there gets zeros before the last projection."""
        query, key, value = self._features(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            query, key, value = query.float(), key.float(), value.float()
            total = (query @ key.sum(dim=2, keepdim=True).transpose(2, 3)).clamp_min(_FLOOR)
            query, key = self._turned(query), self._turned(key)
            found = query @ (key.transpose(2, 3) @ value) / total
        found = found.transpose(1, 2).reshape(x.shape)
        return self.out(self.dropout(found.to(x.dtype)))

    def weights(
        self,
        x: Float[Tensor, "batch length d"],
        rows: Int[Tensor, " rows"],
        mask: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch heads rows length"]:
        """The weights of the quadratic form for some queries; they sum to 1 over keys where there are no positions."""
        query, key, _ = self._features(x, mask)
        query, key = query[:, :, rows].float(), key.float()
        total = (query @ key.sum(dim=2, keepdim=True).transpose(2, 3)).clamp_min(_FLOOR)
        if self.positions == "rotary":
            query, key = rotate(query, rows), rotate(key)
        return query @ key.transpose(2, 3) / total

    def _features(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """phi of queries, phi of keys (zero for tokens that are not there) and values, (batch, heads, length, d_h)."""
        query, key, value = in_heads(self.project(x), 3, self.heads)
        query, key = F.elu(query) + 1, F.elu(key) + 1
        return query, key if mask is None else key * mask[:, None, :, None], value

    def _turned(self, x: Tensor) -> Tensor:
        return rotate(x) if self.positions == "rotary" else x
