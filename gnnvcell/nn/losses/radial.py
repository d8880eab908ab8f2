"""Discrepancies between sets by a kernel of the distance: what the energy distance and every MMD have in common."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.nn.losses.distances import CentredSet, between, full_precision, slope_of, within
from gnnvcell.nn.losses.gradients import attach, wanted
from gnnvcell.nn.losses.sets import SetPair

# A kernel k(r): (distances, which may be overwritten; unit of distance (batch, 1, 1); whether slopes are wanted)
# -> k(r), and k'(r) / r where they are.
RadialKernel = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor | None]]
# The unit of distance of each set, (batch,): (sets; distances within the predicted, across, within the observed).
Scale = Callable[[SetPair, Tensor, Tensor, Tensor], Tensor]


def discrepancy(pair: SetPair, kernel: RadialKernel, scale: Scale | None = None) -> Float[Tensor, " batch"]:
    """``E k(x, x') + E k(y, y') - 2 E k(x, y)``: squared MMD as a V-statistic, so each cell is paired with itself too.

    Distances are made once and used for the value and for the gradient, which two small products per set give:
    ``grad_i = 2 sum_j w_ij (x_i - x_j) - 2 sum_j v_ij (x_i - y_j)``, with w and v the shares of both cells times
    ``k'(r) / r``. The expectations cancel, so they are summed with care. Rounding below 0 is lifted to 0.

    Args:
        pair: sets (``sets.paired``).
        kernel: conditionally positive definite.
        scale: unit of distance, held constant in the gradient; 1 when left out.
    """
    x, y, x_share, y_share = pair
    need_x, need_y = wanted(x), wanted(y)
    with torch.no_grad(), full_precision(x.device):
        left, right = CentredSet.of(x, x_share), CentredSet.of(y, y_share)
        xx, xy, yy = within(left), between(left, right), within(right)
        unit = (x.new_ones(len(x)) if scale is None else scale(pair, xx, xy, yy))[:, None, None]
        k_xy, w_xy = kernel(xy, unit, need_x or need_y)
        k_xx, w_xx = kernel(xx, unit, need_x)
        k_yy, w_yy = kernel(yy, unit, need_y)
        value = _mean(k_xx, x_share, x_share) + _mean(k_yy, y_share, y_share) - 2 * _mean(k_xy, x_share, y_share)
        x_slope = y_slope = None
        if w_xy is not None:
            across = _weighted(w_xy, x_share, y_share, -2.0)
            if w_xx is not None:
                x_slope = slope_of(left, right, _weighted(w_xx, x_share, x_share, 2.0), across)
            if w_yy is not None:
                y_slope = slope_of(right, left, _weighted(w_yy, y_share, y_share, 2.0), across.mT)
    return attach(value.clamp_min_(0).to(x.dtype), x, y, x_slope, y_slope)


def _mean(kernel: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Expectation over pairs; the sum over rows in float64."""
    rows = (kernel * right[:, None, :]).sum(dim=2)  # pairwise, which a product with a vector is not
    return (left.double() * rows).sum(dim=1)


def _weighted(slope: Tensor, left: Tensor, right: Tensor, factor: float) -> Tensor:
    """Slopes times the shares of both cells, in place."""
    return slope.mul_(factor * left[:, :, None]).mul_(right[:, None, :])
