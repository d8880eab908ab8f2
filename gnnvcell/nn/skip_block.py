"""SkipBlock: a feed-forward block around which its input goes as well."""

from jaxtyping import Float
from torch import Tensor, nn


class SkipBlock(nn.Module):
    """``y = x + W_2 SiLU(W_1 LayerNorm(x) + b_1) + b_2``.

    Args:
        width: d of input and output.
        hidden: width between the two; d when left out.

    Shapes: x (..., d); result (..., d).

    Example:
        >>> SkipBlock(8)(torch.ones(2, 3, 8)).shape
        torch.Size([2, 3, 8])
    """

    def __init__(self, width: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.inner = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width)
        )

    def forward(self, x: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape d"]:
        """The block's output."""
        return x + self.inner(x)
