"""Where a token is in its sequence: sinusoids that are added, or rotations of queries and keys."""

import torch
from jaxtyping import Float
from torch import Tensor

_BASE = 10_000.0


def _angles(length: int, width: int, like: Tensor) -> Tensor:
    """(length, width / 2) position times frequency, frequencies falling geometrically from 1 to 1 / 10,000."""
    frequency = _BASE ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    return torch.arange(length, device=like.device, dtype=torch.float32)[:, None] * frequency


def sinusoids(length: int, width: int, like: Tensor) -> Float[Tensor, "length width"]:
    """The position code of "Attention is all you need" (Vaswani et al. 2017), sines first and then cosines.

    Args:
        length: number of positions.
        width: of a token, even.
        like: a tensor with the device and type of the result.
    """
    angle = _angles(length, width, like)
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(like.dtype)


def rotate(
    x: Float[Tensor, "batch heads length head_width"],
) -> Float[Tensor, "batch heads length head_width"]:
    """Rotary positions (RoFormer, Su et al. 2021): pairs (i, i + half) turn by position times frequency, so that the
    product of a query and a key depends on how far apart they are.
    """
    angle = _angles(x.shape[2], x.shape[3], x)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, dim=3)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=3)
