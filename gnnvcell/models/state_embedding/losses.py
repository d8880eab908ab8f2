"""What compares decoded with measured expression: over genes within a cell, and over cells within a shared gene."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.nn.losses import energy_distance, mmd, wasserstein_1d

Comparison = Callable[[Tensor, Tensor, Tensor], Tensor]


def compare(
    name: str,
    predicted: Float[Tensor, "rows values"],
    observed: Float[Tensor, "rows values"],
    mask: Bool[Tensor, "rows values"],
) -> Float[Tensor, ""]:
    """Mean over rows of what separates the predicted from the observed values of a row.

    A row is a cell with values of genes, or a shared gene with values of cells.

    - ``energy``: the energy distance of two sets of one point each, whose coordinates are the row's values, as the
      State Embedding model is trained: ``2 |x^ - x|_2`` (Adduri et al. 2025).
    - ``mse``: mean squared difference.
    - ``cross_entropy``: binary cross-entropy of whether a value is above 0, predictions being logits.
    - ``wasserstein``, ``mmd``: distances between the distributions of the row's values. They do not say which value is
      whose, so that only rows and columns together tie a number to its gene and cell.

    Args:
        name: which.
        predicted: predictions.
        observed: measured log1p expression.
        mask: which values count; rows without any are left out.

    Raises:
        ConfigError: unknown name.
    """
    if name not in _COMPARISONS:
        raise ConfigError(f"unknown loss {name!r}", remedy=did_you_mean(name, _COMPARISONS))
    there = mask.any(dim=1)
    if not bool(there.all()):
        predicted, observed, mask = predicted[there], observed[there], mask[there]
    if not len(mask):
        return predicted.sum()
    return _COMPARISONS[name](predicted, observed, mask).mean()


def _energy(predicted: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    predicted, observed = torch.where(mask, predicted, 0.0), torch.where(mask, observed, 0.0)
    return energy_distance(predicted[:, None], observed[:, None])


def _mse(predicted: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    return _row_mean((predicted - observed).square(), mask)


def _cross_entropy(predicted: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    expressed = (observed > 0).to(predicted.dtype)
    return _row_mean(F.binary_cross_entropy_with_logits(predicted, expressed, reduction="none"), mask)


def _row_mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum(dim=1) / mask.sum(dim=1)


def _wasserstein(predicted: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    sets = predicted[..., None], observed[..., None]
    return wasserstein_1d(*sets, predicted_mask=mask, observed_mask=mask)


def _mmd(predicted: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    sets = predicted[..., None], observed[..., None]
    return mmd(*sets, predicted_mask=mask, observed_mask=mask)


_COMPARISONS: dict[str, Comparison] = {
    "energy": _energy,
    "mse": _mse,
    "cross_entropy": _cross_entropy,
    "wasserstein": _wasserstein,
    "mmd": _mmd,
}
