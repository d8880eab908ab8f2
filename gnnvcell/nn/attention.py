"""SelfAttention: every token of a sequence looks at every other, through torch's fused kernels."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnvcell.errors import ConfigError
from gnnvcell.nn.positions import rotate


class SelfAttention(nn.Module):
    """Multi-head attention without causal order (Vaswani et al. 2017)::

        out = concat_h[ softmax(Q_h K_h^T / sqrt(d_h)) V_h ] W_o,    [Q, K, V] = x W

    by ``scaled_dot_product_attention``, which takes FlashAttention where the device has it and never keeps the matrix
    of weights. Tokens that the mask leaves out are looked at by nobody, whatever they hold that is finite.

    Args:
        width: d of a token.
        heads: number of heads, a divisor of the width.
        positions: "rotary" turns queries and keys by their position; "none" makes the layer blind to order.
        dropout: of attention weights, while training.
        bias: whether projections have one.

    Shapes: x (batch, length, d); mask (batch, length), True for tokens that are there; result as x.

    Raises:
        ConfigError: a width that heads do not divide, or heads of odd width with rotary positions.

    Example:
        >>> SelfAttention(8, 2)(torch.rand(1, 3, 8)).shape
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
        self.heads, self.positions, self.dropout = heads, positions, dropout
        self.project = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(
        self, x: Float[Tensor, "batch length d"], mask: Bool[Tensor, "batch length"] | None = None
    ) -> Float[Tensor, "batch length d"]:
        """Attend; a sequence of which nothing is there gets zeros before the last projection."""
        query, key, value = in_heads(self.project(x), 3, self.heads)
        if self.positions == "rotary":
            query, key = rotate(query), rotate(key)
        found = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(found.transpose(1, 2).reshape(x.shape))

    def weights(
        self,
        x: Float[Tensor, "batch length d"],
        rows: Int[Tensor, " rows"],
        mask: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch heads rows length"]:
        """The weights of some queries, summing to 1 over keys."""
        query, key, _ = in_heads(self.project(x), 3, self.heads)
        query = query[:, :, rows]
        if self.positions == "rotary":
            query, key = rotate(query, rows), rotate(key)
        score = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        if mask is not None:
            score = score.masked_fill(~mask[:, None, None, :], -torch.inf)
        return score.softmax(dim=3)


def in_heads(projected: Float[Tensor, "batch length all"], parts: int, heads: int) -> tuple[Tensor, ...]:
    """A projection of tokens cut into its parts, such as queries and keys, (batch, heads, length, d_h) each."""
    batch, length, width = projected.shape
    return projected.view(batch, length, parts, heads, width // (parts * heads)).permute(2, 0, 3, 1, 4).unbind(0)


def require_heads(width: int, heads: int, positions: str = "none") -> None:
    """Refuse heads that do not fit the width.

    Raises:
        ConfigError: a width that heads do not divide, or heads of odd width with rotary positions.
    """
    if width % heads:
        raise ConfigError(f"{heads} heads do not divide the width {width}", remedy="choose a divisor of the width")
    if positions == "rotary" and (width // heads) % 2:
        raise ConfigError(f"rotary positions need heads of even width, not {width // heads}")
