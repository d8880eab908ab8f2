"""Effective rank: how many directions samples really use."""

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.nn.losses.vicreg import pooled_covariance


@torch.no_grad()
def effective_rank(x: Float[Tensor, "samples *groups d"]) -> Float[Tensor, ""]:
    """``exp(-sum_i p_i log p_i)`` for the eigenvalues of the covariance, scaled to sum to 1 (Roy and Vetterli 2007).

    d where all directions vary alike, 1 where one does, and 0 where nothing varies.

    Args:
        x: samples along the first dimension; groups (tokens) between are each centred by themselves.

    Raises:
        ModelError: fewer than two samples.

    Example:
        >>> effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
        tensor(2.0000)
    """
    # On the CPU in double precision: a few hundred rows, and LAPACK's answer everywhere.
    values = torch.linalg.eigvalsh(pooled_covariance(x).double().cpu()).clamp_min(0)
    total = values.sum()
    if total <= 0:
        return x.new_zeros(())
    share = values / total
    return torch.exp(-torch.xlogy(share, share).sum()).to(x)
