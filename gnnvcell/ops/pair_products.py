"""Inner products of some pairs of rows: a matrix product of which only some entries are wanted."""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.ops.kernels.threads import over_rows


def pair_products(
    left: Float[Tensor, "a rows inner"],
    right: Float[Tensor, "columns b inner"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
) -> Float[Tensor, "pairs a b"]:
    """``out[i, a, b] = sum_k left[a, row_i, k] * right[column_i, b, k]``; no gradient, float32 on the CPU.

    Cheaper than the whole product where fewer than about a tenth of its entries are wanted; cheapest where pairs of one
    row follow each other.

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
    rows, columns = (part.to(torch.int64).contiguous().numpy() for part in (row, column))
    out = np.empty((len(rows), len(left), right.shape[1]), dtype=np.float32)
    over_rows(
        _products, np.arange(len(rows) + 1), left.shape[0] * right[0].numel() if len(right) else 1,
        left.detach().contiguous().numpy(), right.detach().contiguous().numpy(), rows, columns, out,
    )  # fmt: skip
    return torch.from_numpy(out)


# ``no_type_check`` keeps the run-time type check of the tests from wrapping the kernel: numba compiles no wrappers.
@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _products(first, last, left, right, row, column, out):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        for y in range(out.shape[2]):
            b = right[column[i], y]
            for x in range(out.shape[1]):
                a, total = left[x, row[i]], np.float32(0)
                for k in range(len(b)):
                    total += a[k] * b[k]
                out[i, x, y] = total
