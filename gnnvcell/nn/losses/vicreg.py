"""VICReg's terms against collapse: variance and covariance of what a network makes of samples."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import ModelError

_FLOOR = 1e-4  # added to a variance: its root has a finite gradient at zero


def variance_hinge(x: Float[Tensor, "samples *rest"], *, target: float = 1.0) -> Float[Tensor, ""]:
    """``mean over coordinates of max(0, target - sqrt(var + 1e-4))`` (VICReg; Bardes et al., ICLR 2022).

    Args:
        x: samples along the first dimension, which the (unbiased) variance is over.
        target: standard deviation below which a coordinate pays.

    Raises:
        ModelError: fewer than two samples.

    Example:
        >>> variance_hinge(torch.tensor([[1.0], [1.0]]))
        tensor(0.9900)
    """
    _require_samples(x)
    return F.relu(target - (x.float().var(dim=0) + _FLOOR).sqrt()).mean()


def covariance_penalty(x: Float[Tensor, "samples *groups d"]) -> Float[Tensor, ""]:
    """``sum over i != j of C_ij^2 / d`` for the covariance C of the d coordinates.

    Args:
        x: samples along the first dimension. Groups (tokens) between are each centred by themselves, and their
            covariances averaged.

    Raises:
        ModelError: fewer than two samples.

    Example:
        >>> covariance_penalty(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
        tensor(4.)
    """
    covariance = pooled_covariance(x)
    away = covariance - torch.diag(covariance.diagonal())
    return away.square().sum() / len(covariance)


def pooled_covariance(x: Float[Tensor, "samples *groups d"]) -> Float[Tensor, "d d"]:
    """(d, d) covariance over samples, the mean over groups of the (unbiased) covariance in each.

    Raises:
        ModelError: fewer than two samples.
    """
    _require_samples(x)
    with torch.autocast(x.device.type, enabled=False):
        centred = (x.float() - x.float().mean(dim=0)).reshape(-1, x.shape[-1])
        groups = len(centred) // len(x)
        return centred.T @ centred / ((len(x) - 1) * groups)


def _require_samples(x: Tensor) -> None:
    if len(x) < 2:
        raise ModelError(
            "a variance needs two or more samples", found=str(len(x)), remedy="put more cells into a batch"
        )
