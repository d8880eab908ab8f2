"""Gaussian negative log-likelihood with a bounded log-variance."""

import torch
from jaxtyping import Float
from torch import Tensor

LOG_VARIANCE = (-10.0, 2.0)  # bounds of what a network says


def bounded_log_variance(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """What a network says, clamped to [-10, 2]."""
    return raw.clamp(*LOG_VARIANCE)


def gaussian_nll(
    mean: Float[Tensor, "*shape"], log_variance: Float[Tensor, "*shape"], observed: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """``(v + (y - m)^2 exp(-v)) / 2`` for the log-variance v; the constant log(2 pi) / 2 is left out.

    Args:
        mean: m.
        log_variance: v, bounded (``bounded_log_variance``).
        observed: y.

    Example:
        >>> gaussian_nll(torch.zeros(1), torch.zeros(1), torch.full((1,), 2.0))
        tensor([2.])
    """
    return 0.5 * (log_variance + (observed - mean).square() * torch.exp(-log_variance))
