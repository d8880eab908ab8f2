"""CrossAttention: tokens of one sequence look at those of another."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnvcell.nn.attention import in_heads, require_heads


class CrossAttention(nn.Module):
    """Multi-head attention of tokens x to others y::

        out = concat_h[ softmax(Q_h K_h^T / sqrt(d_h)) V_h ] W_o,    Q = x W_q,    [K, V] = y W

    The softmax is over y. Of a single token y its weight is 1 whatever x is: every token of x gets the same vector.

    Args:
        width: d of a token of either sequence.
        heads: number of heads, a divisor of the width.
        dropout: of attention weights, while training.

    Shapes: x (batch, length, d); y (batch, others, d); mask (batch, others), True for tokens y that are there; result
        as x.

    Raises:
        ConfigError: a width that heads do not divide.

    Example:
        >>> import torch
        >>> CrossAttention(8, 2)(torch.rand(1, 3, 8), torch.rand(1, 5, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        require_heads(width, heads)
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width, bias=False)
        self.project = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch length d"],
        y: Float[Tensor, "batch others d"],
        mask: Bool[Tensor, "batch others"] | None = None,
    ) -> Float[Tensor, "batch length d"]:
        """Attend; a sequence y of which nothing is there gives zeros before the last projection."""
        (query,) = in_heads(self.query(x), 1, self.heads)
        key, value = in_heads(self.project(y), 2, self.heads)
        found = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(found.transpose(1, 2).reshape(x.shape))
