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
    left: Float[Tensor, "rows inner a"],
    right: Float[Tensor, "columns inner b"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
) -> Float[Tensor, "pairs a b"]:
    """``out[i, a, b] = sum_k left[row_i, k, a] * right[column_i, k, b]``; no gradient, float32 on the CPU.

    Cheaper than the whole product where fewer than about a tenth of its entries are wanted.

    Args:
        left: a values per row and inner position.
        right: b values per column and inner position.
        row, column: the wanted entries.

    Raises:
        GraphIntegrityError: the inner sizes differ, or a pair is outside the matrices.

    Example:
        >>> left, right = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0]]])
        >>> pair_products(left, right, torch.tensor([0]), torch.tensor([0]))
        tensor([[[11.]]])
    """
    if left.shape[1] != right.shape[1]:
        raise GraphIntegrityError(
            "the two sides have different inner sizes", found=f"{left.shape[1]} and {right.shape[1]}"
        )
    for index, size in ((row, len(left)), (column, len(right))):
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise GraphIntegrityError("a pair is outside the matrices", expected=f"0 to {size - 1}")
    rows, columns = (part.to(torch.int64).contiguous().numpy() for part in (row, column))
    out = np.empty((len(row), left.shape[2], right.shape[2]), dtype=np.float32)
    over_rows(
        _products, np.arange(len(rows) + 1), left[0].numel() * right.shape[2] if len(left) else 1,
        left.detach().contiguous().numpy(), right.detach().contiguous().numpy(), rows, columns, out,
    )  # fmt: skip
    return torch.from_numpy(out)


# ``no_type_check`` keeps the run-time type check of the tests from wrapping the kernel: numba compiles no wrappers.
@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _products(first, last, left, right, row, column, out):  # type: ignore[no-untyped-def]
    width, height = out.shape[1], out.shape[2]
    for i in range(first, last):
        total = np.zeros((height, width), dtype=np.float32)
        a, b = left[row[i]], right[column[i]]
        for k in range(a.shape[0]):
            for y in range(height):
                scale = b[k, y]
                if scale != 0.0:
                    for x in range(width):
                        total[y, x] += scale * a[k, x]
        for y in range(height):
            for x in range(width):
                out[i, x, y] = total[y, x]
