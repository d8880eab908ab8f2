"""Inner products of some pairs of rows: a matrix product of which only some entries are wanted."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.errors import GraphIntegrityError

_PAIRS_AT_ONCE = 1024  # whose right sides are gathered together


def pair_products(
    left: Float[Tensor, "a rows inner"],
    right: Float[Tensor, "columns b inner"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
) -> Float[Tensor, "pairs a b"]:
    """``out[i, a, b] = sum_k left[a, row_i, k] * right[column_i, b, k]``; no gradient.

    Pairs of one row that follow each other are one small matrix product, so sort them by row. Cheaper than the whole
    product where fewer than about a tenth of its entries are wanted.

    Args:
        left: a values per row and inner position.
        right: b values per column and inner position.
        row, column: the wanted entries.

    Raises:
        GraphIntegrityError: the inner sizes differ, or a pair is outside the matrices.

    Example:
        >>> left, right = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0]]])
        >>> pair_products(left, right, torch.tensor([0]), torch.tensor([0]))
        tensor([[[11.]]])
    """
    if left.shape[2] != right.shape[2]:
        raise GraphIntegrityError(
            "the two sides have different inner sizes", found=f"{left.shape[2]} and {right.shape[2]}"
        )
    for index, size in ((row, left.shape[1]), (column, len(right))):
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise GraphIntegrityError("a pair is outside the matrices", expected=f"0 to {size - 1}")
    out = left.new_empty(len(row), left.shape[0], right.shape[1])
    present, count = torch.unique_consecutive(row, return_counts=True)
    with torch.no_grad():
        for one, of_row in zip(present.tolist(), torch.arange(len(row)).split(count.tolist()), strict=True):
            weight = left[:, one].T
            for part in of_row.split(_PAIRS_AT_ONCE):
                found = right[column[part]].flatten(0, 1) @ weight
                out[part[0] : part[-1] + 1] = found.unflatten(0, (len(part), -1)).transpose(1, 2)
    return out
