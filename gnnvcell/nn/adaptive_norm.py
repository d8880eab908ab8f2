"""AdaptiveNorm: a normalisation whose shift and scale, and a gate of what follows it, are made from a condition."""

from jaxtyping import Float
from torch import Tensor, nn


class AdaptiveNorm(nn.Module):
    """adaLN-Zero of DiT (Peebles and Xie 2023)::

        y = LayerNorm(x) (1 + s) + b,    [b, s, g] = W SiLU(c) + w

    for a condition c, with a LayerNorm that has no parameters of its own. The gate g is returned beside y; a block is
    ``x + g f(y)``. W and w begin at zero: every block begins as the identity, and the condition without effect.

    Args:
        width: d of a token.
        condition: width of c.

    Shapes: x (batch, length, d); c (batch, condition); result (batch, length, d) and g (batch, 1, d).

    Example:
        >>> import torch
        >>> y, gate = AdaptiveNorm(8, 4)(torch.rand(2, 3, 8), torch.rand(2, 4))
        >>> y.shape, float(gate.abs().max())
        (torch.Size([2, 3, 8]), 0.0)
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(condition, 3 * width))
        nn.init.zeros_(self.modulation[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.modulation[1].bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "batch length d"], condition: Float[Tensor, "batch condition"]
    ) -> tuple[Float[Tensor, "batch length d"], Float[Tensor, "batch 1 d"]]:
        """The normalised tokens, and the gate."""
        shift, scale, gate = self.modulation(condition)[:, None].chunk(3, dim=2)
        return self.norm(x) * (1 + scale) + shift, gate
