"""Squared errors: of matched cells, and of the means of sets."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.errors import DataError, ModelError
from gnnvcell.nn.losses.sets import GeneWeights, paired
from gnnvcell.ops.eager import eager


@eager
def mse(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """Mean squared difference of cell i and cell i over cells and genes: for sets whose cells are pairs.

    Args:
        predicted: predicted cells.
        observed: as many observed cells.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells; a pair counts where both are real.
        gene_weights: 0 or more, of genes, for all sets or for each; they multiply squared differences.

    Shapes: result (batch,).

    Raises:
        ModelError: shapes that do not go together, or sets of different size.
        DataError: a set without pairs, or a weight below 0.

    Example:
        >>> mse(torch.zeros(1, 2, 1), torch.tensor([[[1.0], [3.0]]]))
        tensor([5.])
    """
    if predicted.shape[1] != observed.shape[1]:
        raise ModelError(
            "mse compares cell with cell, and the sets have different sizes",
            found=f"{predicted.shape[1]} predicted and {observed.shape[1]} observed cells",
            remedy="draw sets of one size, or choose a loss between distributions, such as energy",
        )
    x, y, x_share, y_share = paired(
        predicted, observed, predicted_mask=predicted_mask, observed_mask=observed_mask, gene_weights=gene_weights
    )
    both = (x_share > 0) & (y_share > 0)
    count = both.sum(dim=1)
    if not bool(count.all()):
        raise DataError(f"set {int((count == 0).nonzero()[0, 0])} has no pair of cells that are both real")
    squares = torch.where(both[..., None], x - y, 0).square()
    return squares.sum(dim=(1, 2)) / (count * x.shape[2])


@eager
def mse_of_means(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """Mean over genes of the squared difference of the means of two sets: what a pseudobulk effect is scored by.

    Args:
        predicted: predicted cells.
        observed: observed cells.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, of genes, for all sets or for each; they multiply squared differences.

    Shapes: result (batch,).

    Raises:
        ModelError: shapes that do not go together.
        DataError: a set without cells, or a weight below 0.

    Example:
        >>> mse_of_means(torch.zeros(1, 2, 1), torch.tensor([[[1.0], [3.0], [5.0]]]))
        tensor([9.])
    """
    x, y, x_share, y_share = paired(
        predicted, observed, predicted_mask=predicted_mask, observed_mask=observed_mask, gene_weights=gene_weights
    )
    difference = (x * x_share[..., None]).sum(dim=1) - (y * y_share[..., None]).sum(dim=1)
    return difference.square().mean(dim=1)
