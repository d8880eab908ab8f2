"""Wasserstein distances in one dimension: gene by gene, and along random directions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.nn.losses.distances import full_precision
from gnnvcell.nn.losses.sets import GeneWeights, SetPair, paired
from gnnvcell.ops.eager import eager


@eager
def wasserstein_1d(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    order: int = 1,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """Mean over genes of ``W_p^p = integral_0^1 |F^-1(t) - G^-1(t)|^p dt`` between the values of the two sets.

    Exact for sets of any size, and for padding: quantile functions are steps, and the integral goes over the steps of
    both. It sees every gene alone; what genes do together is for ``energy_distance`` or ``sliced_wasserstein``.

    Args:
        predicted: predicted cells.
        observed: observed cells.
        order: p, 1 or more.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, of genes, for all sets or for each; values are multiplied by their square roots.

    Shapes: result (batch,).

    Raises:
        ModelError: shapes that do not go together.
        DataError: a set without cells, or a weight below 0.

    Source: Peyré and Cuturi 2019, "Computational optimal transport", section 2.6.

    Example:
        >>> wasserstein_1d(torch.tensor([[[3.0], [1.0]]]), torch.tensor([[[2.0], [6.0]]]))  # (|1 - 2| + |3 - 6|) / 2
        tensor([2.])
    """
    pair = paired(
        predicted, observed, predicted_mask=predicted_mask, observed_mask=observed_mask, gene_weights=gene_weights
    )
    return _by_coordinate(pair, order)


@eager
def sliced_wasserstein(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    projections: int = 64,
    seed: int = 0,
    order: int = 1,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """As ``wasserstein_1d``, along random directions of length 1 instead of genes.

    Args:
        predicted: predicted cells.
        observed: observed cells.
        projections: number of directions, shared by all sets.
        seed: of the directions; the same on every device.
        order: p, 1 or more.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, of genes, for all sets or for each; values are multiplied by their square roots.

    Shapes: result (batch,).

    Raises:
        ModelError: shapes that do not go together.
        DataError: a set without cells, or a weight below 0.

    Source: Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".

    Example:
        >>> sliced_wasserstein(torch.zeros(1, 2, 1), torch.ones(1, 3, 1), projections=4)  # one dimension: |0 - 1|
        tensor([1.])
    """
    x, y, x_share, y_share = paired(
        predicted, observed, predicted_mask=predicted_mask, observed_mask=observed_mask, gene_weights=gene_weights
    )
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(x.shape[2], projections, generator=random, dtype=torch.float64)
    directions = (drawn / drawn.norm(dim=0)).to(x)
    with full_precision(x.device):
        return _by_coordinate(SetPair(x @ directions, y @ directions, x_share, y_share), order)


def _by_coordinate(pair: SetPair, order: int) -> Tensor:
    x, y = _sorted(pair.predicted, pair.predicted_share), _sorted(pair.observed, pair.observed_share)
    counts = [(share > 0).sum(dim=1, keepdim=True) for share in (pair.predicted_share, pair.observed_share)]
    if x.shape[2] == y.shape[2] and all(bool((count == x.shape[2]).all()) for count in counts):
        return (x - y).abs().pow(order).mean(dim=(1, 2))
    width, first, second = _steps(counts[0], counts[1], x.shape[2], y.shape[2])
    gap = _at(x, first) - _at(y, second)
    return (gap.abs().pow(order).mean(dim=1) * width.to(gap.dtype)).sum(dim=1)


def _sorted(cells: Tensor, share: Tensor) -> Tensor:
    """(batch, d, cells), each coordinate ascending; padding is last."""
    return torch.where(share[..., None] > 0, cells, torch.inf).mT.contiguous().sort(dim=2).values


def _steps(x_count: Tensor, y_count: Tensor, x_size: int, y_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lengths of the steps between the quantile levels of both sets, and which sorted value each set has there.

    Levels are compared as whole numbers, i * y_count and j * x_count of the x_count * y_count parts of 1.
    """
    whole = x_count * y_count
    levels = [
        (torch.arange(1, size + 1, device=whole.device) * other).minimum(whole)
        for size, other in ((x_size, y_count), (y_size, x_count))
    ]
    ends = torch.cat(levels, dim=1).sort(dim=1).values
    starts = torch.cat([torch.zeros_like(whole), ends[:, :-1]], dim=1)
    # Steps of no length begin at 1 or at a level that another step ends with: any index will do.
    first, second = (starts // y_count).minimum(x_count - 1), (starts // x_count).minimum(y_count - 1)
    return (ends - starts).double() / whole, first, second


def _at(values: Tensor, index: Tensor) -> Tensor:
    """(batch, d, steps)."""
    return values.gather(2, index[:, None, :].expand(-1, values.shape[1], -1))
