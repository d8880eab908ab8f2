"""Where a token is in its sequence: sinusoids that are added, or rotations of queries and keys."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BASE = 10_000.0


def _angles(positions: Tensor, width: int) -> Tensor:
    """(positions, width / 2) position times frequency, frequencies falling geometrically from 1 to 1 / 10,000."""
    frequency = _BASE ** (-torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width)
    return positions.float()[:, None] * frequency


def sinusoids(length: int, width: int, like: Tensor) -> Float[Tensor, "length width"]:
    """The position code of "Attention is all you need" (Vaswani et al. 2017), sines first and then cosines.

    Args:
        length: number of positions.
        width: of a token, even.
        like: a tensor with the device and type of the result.
    """
    angle = _angles(torch.arange(length, device=like.device), width)
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(like.dtype)


def rotate(
    x: Float[Tensor, "batch heads length head_width"], positions: Int[Tensor, " length"] | None = None
) -> Float[Tensor, "batch heads length head_width"]:
    """Rotary positions (RoFormer, Su et al. 2021): pairs (i, i + half) turn by position times frequency, so that the
    product of a query and a key depends on how far apart they are.

    Args:
        x: queries or keys.
        positions: of the tokens; 0, 1, ... when left out.
    """
    if positions is None:
        positions = torch.arange(x.shape[2], device=x.device)
    angle = _angles(positions, x.shape[3])
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, dim=3)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=3)
