"""The energy distance between sets of cells."""

from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.nn.losses.distances import safe_reciprocal
from gnnvcell.nn.losses.radial import discrepancy
from gnnvcell.nn.losses.sets import GeneWeights, paired
from gnnvcell.ops.eager import eager


@eager
def energy_distance(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """``2 E|x - y| - E|x - x'| - E|y - y'|`` of each pair of sets, in units of expression.

    The squared MMD with kernel ``-|u - v|_2`` that STATE trains with, as a V-statistic: a cell and itself are a pair
    too, of distance exactly 0. It is 0 where the sets are equal and positive otherwise. The gradient is finite
    everywhere; equal cells do not pull each other. Distances are exact (``distances.between``), products run in float32
    at full precision whatever autocast says, and what is kept for the backward pass is one tensor of the shape of each
    set whose gradient is wanted.

    Args:
        predicted: predicted cells.
        observed: observed cells.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, of genes, for all sets or for each: ``|x - y|`` becomes
            ``sqrt(sum_g w_g (x_g - y_g)^2)``.

    Shapes: result (batch,).

    Raises:
        ModelError: shapes that do not go together.
        DataError: a set without cells, or a weight below 0.

    Source: Székely and Rizzo 2013, "Energy statistics".

    Example:
        >>> energy_distance(torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]]))
        tensor([10.])
    """
    pair = paired(
        predicted,
        observed,
        predicted_mask=predicted_mask,
        observed_mask=observed_mask,
        gene_weights=gene_weights,
    )
    return discrepancy(pair, negative_distance)


def negative_distance(distance: Tensor, scale: Tensor, slope: bool) -> tuple[Tensor, Tensor | None]:
    """The kernel ``-r``, which needs no scale."""
    value = distance.neg_()
    return value, safe_reciprocal(value) if slope else None
