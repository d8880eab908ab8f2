"""SetPair: two batches of cell sets, with padding cleared and the share that each cell has in its set."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.errors import DataError, ModelError

GeneWeights = Float[Tensor, "batch d"] | Float[Tensor, " d"]


class SetPair(NamedTuple):
    """What every loss between sets of cells starts from.

    Args:
        predicted: (batch, cells, d) predicted cells, zero where padded.
        observed: (batch, others, d) observed cells, zero where padded.
        predicted_share: (batch, cells) 1 / (number of cells of the set), 0 where padded.
        observed_share: (batch, others) the same of observed cells.
    """

    predicted: Float[Tensor, "batch cells d"]
    observed: Float[Tensor, "batch others d"]
    predicted_share: Float[Tensor, "batch cells"]
    observed_share: Float[Tensor, "batch others"]


def paired(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> SetPair:
    """Check the sets, clear their padding, and weigh coordinates; half precision becomes float32.

    Whatever stands in padding, NaN and infinity too, is gone from values and gradients. Weights of genes multiply the
    coordinates by their square roots, so that squared distances are weighted sums over genes.

    Args:
        predicted: predicted cells.
        observed: observed cells, of as many genes and sets.
        predicted_mask: True where a cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, for all sets or for each.

    Raises:
        ModelError: shapes, types or devices do not go together.
        DataError: a set without cells, or a weight below 0.

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> paired(torch.ones(1, 2, 3), torch.ones(1, 4, 3), predicted_mask=mask).predicted_share
        tensor([[1., 0.]])
    """
    _require_alike(predicted, observed)
    scale = None if gene_weights is None else _root(gene_weights, predicted)
    kind = torch.promote_types(torch.promote_types(predicted.dtype, observed.dtype), torch.float32)
    x, x_share = _cleared(predicted.to(kind), predicted_mask, "predicted")
    y, y_share = _cleared(observed.to(kind), observed_mask, "observed")
    return SetPair(x, y, x_share, y_share) if scale is None else SetPair(x * scale, y * scale, x_share, y_share)


def _require_alike(predicted: Tensor, observed: Tensor) -> None:
    shapes, devices = (predicted.shape, observed.shape), (predicted.device, observed.device)
    if any(len(shape) != 3 for shape in shapes) or shapes[0][0] != shapes[1][0] or shapes[0][2] != shapes[1][2]:
        raise ModelError(
            "predicted and observed sets do not go together",
            expected="(sets, cells, genes) with the same sets and genes",
            found=f"{tuple(shapes[0])} and {tuple(shapes[1])}",
        )
    if devices[0] != devices[1]:
        raise ModelError("predicted and observed sets are on two devices", found=f"{devices[0]} and {devices[1]}")


def _cleared(cells: Tensor, mask: Tensor | None, which: str) -> tuple[Tensor, Tensor]:
    """Cells without what stands in padding, and their shares."""
    if mask is None:
        if not cells.shape[1]:
            raise DataError(f"the {which} sets have no cells", expected="at least one cell in each set")
        return cells, cells.new_full(cells.shape[:2], 1 / cells.shape[1])
    if mask.shape != cells.shape[:2] or mask.dtype != torch.bool:
        raise ModelError(
            f"the mask of {which} cells does not fit them",
            expected=f"{tuple(cells.shape[:2])}, bool",
            found=f"{tuple(mask.shape)}, {mask.dtype}",
        )
    count = mask.sum(dim=1, keepdim=True)
    if not bool(count.all()):
        empty = int((count == 0).nonzero()[0, 0])
        raise DataError(
            f"the {which} set {empty} has no cells: its mask is all False", remedy="leave such sets out of the batch"
        )
    return torch.where(mask[..., None], cells, 0), mask.to(cells.dtype) / count


def _root(weights: Tensor, cells: Tensor) -> Tensor:
    """What multiplies coordinates: (1 or batch, 1, d)."""
    if weights.shape not in (cells.shape[2:], cells.shape[::2]):
        raise ModelError(
            "the weights of genes do not fit the cells",
            expected=f"{tuple(cells.shape[2:])} or {tuple(cells.shape[::2])}",
            found=f"{tuple(weights.shape)}",
        )
    if bool((weights < 0).any()):
        raise DataError("a gene has a weight below 0", expected="0 or more", found=f"{float(weights.min()):g}")
    return weights.detach().to(torch.promote_types(cells.dtype, torch.float32)).sqrt().reshape(-1, 1, cells.shape[2])
