"""ExpressionTokens: a cell as tokens of its genes, each made of which gene it is and how much of it there is."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_SLOPE = 2.0  # standard deviation of w_1 at the start
_HIGHEST = 4.0  # log1p expression of a highly expressed gene, where the last kink begins
_DEPTH = 0.01  # standard deviation of W at the start: log total counts are near 9


class ExpressionTokens(nn.Module):
    """Value times identity, and the depth of the cell added to all::

        t_cg = u_g * (1 + a(x_cg)) + b(x_cg) + W n_c,    [a, b] = W_2 gelu(w_1 x_cg + b_1) + b_2

    for the expression x_cg (log1p), the vector u_g of gene g, and the log total count n_c of the cell. The kinks -b_1 /
    w_1 begin spread over the values of log1p expression, so that a and b tell values apart from the start. A hidden
    value (pre-training) has a learned vector in place of a and b: the token still says which gene it is of.

    Args:
        width: d of a token.
        hidden: width between the value and a, b.

    Shapes: expression (cells, genes); log_total (cells,); genes (genes, d); hidden (cells, genes), True where the value
        is not to be seen; result (cells, genes, d).

    Example:
        >>> tokens = ExpressionTokens(8)
        >>> tokens(torch.rand(2, 5), torch.rand(2), torch.rand(5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        first = nn.Linear(1, hidden)
        nn.init.normal_(first.weight, std=_SLOPE)
        with torch.no_grad():
            first.bias.copy_(-first.weight[:, 0] * torch.linspace(0.0, _HIGHEST, hidden))
        self.value = nn.Sequential(first, nn.GELU(), nn.Linear(hidden, 2 * width))
        self.unseen = nn.Parameter(torch.zeros(2 * width))
        self.depth = nn.Linear(1, width, bias=False)
        nn.init.normal_(self.depth.weight, std=_DEPTH)

    def forward(
        self,
        expression: Float[Tensor, "cells genes"],
        log_total: Float[Tensor, " cells"],
        genes: Float[Tensor, "genes d"],
        hidden: Bool[Tensor, "cells genes"] | None = None,
    ) -> Float[Tensor, "cells genes d"]:
        """Tokens of cells; what is hidden may hold anything."""
        if hidden is not None:
            expression = expression.masked_fill(hidden, 0.0)
        value = self.value(expression[..., None])
        if hidden is not None:
            value = torch.where(hidden[..., None], self.unseen.to(value.dtype), value)
        scale, shift = value.chunk(2, dim=2)
        return torch.addcmul(genes + shift, genes, scale) + self.depth(log_total[:, None])[:, None]
