"""Maximum mean discrepancy between sets of cells, by one or several kernels."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.nn.losses.distances import safe_reciprocal
from gnnvcell.nn.losses.radial import discrepancy
from gnnvcell.nn.losses.sets import GeneWeights, SetPair, paired
from gnnvcell.ops.eager import eager

KernelName = Literal["energy", "gaussian", "laplacian", "rational_quadratic"]
KERNELS: tuple[str, ...] = get_args(KernelName)
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


@eager
def mmd(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    kernels: Sequence[str] = ("gaussian",),
    bandwidths: Sequence[float] = BANDWIDTHS,
    median_heuristic: bool = True,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """Squared MMD ``E k(x, x') + E k(y, y') - 2 E k(x, y)``, summed over kernels and bandwidths; 0 or more.

    Kernels of the distance r with bandwidth h: ``gaussian`` exp(-r^2 / 2h^2), ``laplacian`` exp(-r / h),
    ``rational_quadratic`` 1 / (1 + r^2 / 2h^2), and ``energy`` -r, which has no bandwidth and counts once. The
    estimate is the biased one (a V-statistic), which is 0 where sets are equal.

    Args:
        predicted: predicted cells.
        observed: observed cells.
        kernels: names, at least one.
        bandwidths: h of every kernel that has one.
        median_heuristic: bandwidths are multiples of the median distance between the real cells of both sets, which is
            held constant in the gradient; else they are distances.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, of genes, for all sets or for each.

    Shapes: result (batch,).

    Raises:
        ConfigError: an unknown kernel, none, or bandwidths that are missing or not positive.
        ModelError: shapes that do not go together.
        DataError: a set without cells, or a weight below 0.

    Source: Gretton et al. 2012, "A kernel two-sample test".

    Example:
        >>> x = torch.zeros(1, 1, 1)
        >>> mmd(x, x + 2, kernels=["laplacian"], bandwidths=[1.0], median_heuristic=False)  # 2 - 2 exp(-2)
        tensor([1.7293])
    """
    require_kernels(kernels, bandwidths)
    pair = paired(
        predicted, observed, predicted_mask=predicted_mask, observed_mask=observed_mask, gene_weights=gene_weights
    )
    kernel = partial(_summed, tuple(kernels), tuple(bandwidths))
    return discrepancy(pair, kernel, median_distance if median_heuristic else None)


def require_kernels(kernels: Sequence[str], bandwidths: Sequence[float]) -> None:
    """Refuse what ``mmd`` cannot use."""
    for name in kernels:
        if name not in KERNELS:
            raise ConfigError(f"unknown kernel {name!r}", remedy=did_you_mean(name, KERNELS))
    if not kernels:
        raise ConfigError("an MMD needs a kernel", expected=f"some of {', '.join(KERNELS)}", found="none")
    if set(kernels) != {"energy"} and not (bandwidths and all(h > 0 for h in bandwidths)):
        raise ConfigError("bandwidths are not positive", expected="one or more above 0", found=str(list(bandwidths)))


def median_distance(pair: SetPair, xx: Tensor, xy: Tensor, yy: Tensor) -> Float[Tensor, " batch"]:
    """Median over all pairs of different real cells of both sets; 1 where it is 0, for then any unit is as good."""
    x, y = pair.predicted_share > 0, pair.observed_share > 0
    distances = [_of_pairs(xx, x, x), _of_pairs(xy, x, y), _of_pairs(yy, y, y)]
    for square in (distances[0], distances[2]):  # has every pair twice, and cells with themselves
        below = torch.ones(square.shape[1:], dtype=torch.bool, device=square.device).tril()
        square.masked_fill_(below, torch.nan)
    median = torch.cat([part.flatten(1) for part in distances], dim=1).nanmedian(dim=1).values
    return median.masked_fill(median == 0, 1)


def _of_pairs(distance: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Distances of real cells; NaN elsewhere."""
    return distance.masked_fill(~(left[:, :, None] & right[:, None, :]), torch.nan)


def _summed(
    kernels: tuple[str, ...], bandwidths: tuple[float, ...], distance: Tensor, scale: Tensor, slope: bool
) -> tuple[Tensor, Tensor | None]:
    """Sum of kernels, and of their slopes over distance."""
    value = torch.zeros_like(distance)
    total = torch.zeros_like(distance) if slope else None
    inverse = safe_reciprocal(distance) if slope else distance
    for name in kernels:
        for bandwidth in (1.0,) if name == "energy" else bandwidths:
            k, over = _KERNELS[name](distance, inverse, scale * bandwidth)
            value += k
            if total is not None:
                total += over
    return value, total


def _energy(distance: Tensor, inverse: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return -distance, -inverse


def _gaussian(distance: Tensor, inverse: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    k = (distance / h).square_().mul_(-0.5).exp_()
    return k, -k / h.square()


def _laplacian(distance: Tensor, inverse: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    k = (distance / -h).exp_()
    return k, -k * inverse / h


def _rational_quadratic(distance: Tensor, inverse: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    k = (distance / h).square_().mul_(0.5).add_(1).reciprocal_()
    return k, -k.square() / h.square()


_KERNELS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "energy": _energy,
    "gaussian": _gaussian,
    "laplacian": _laplacian,
    "rational_quadratic": _rational_quadratic,
}
