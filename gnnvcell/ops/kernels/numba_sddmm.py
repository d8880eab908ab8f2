"""Edge scores and edge softmax, compiled."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.kernels.threads import over_rows


def computable(feat: Tensor) -> Tensor:
    """The features in a type that compiled code can read: 16-bit floats become float32."""
    feat = feat.detach().contiguous()
    return feat if feat.dtype in (torch.float32, torch.float64) else feat.float()


def sddmm_dot(adjacency: Adjacency, src_feat: Tensor, dst_feat: Tensor) -> Tensor:
    """(edges,) inner products of the features at both ends, in row order."""
    src, dst = computable(src_feat), computable(dst_feat)
    out = torch.empty(adjacency.num_edges, dtype=src.dtype)
    indptr = adjacency.indptr.numpy()
    over_rows(_dots, indptr, src.shape[1], indptr, adjacency.indices.numpy(), src.numpy(), dst.numpy(), out.numpy())
    return out.to(src_feat.dtype)


def edge_softmax(adjacency: Adjacency, scores: Tensor) -> Tensor:
    """(edges, heads) softmax over the in-edges of each destination, in row order."""
    values = computable(scores).clone()
    indptr, array = adjacency.indptr.numpy(), values.numpy()
    over_rows(_subtract_maximum, indptr, values.shape[1], indptr, array)
    values.exp_()  # torch's is vectorised, compiled code's is not
    over_rows(_divide_by_sum, indptr, values.shape[1], indptr, array)
    return values.to(scores.dtype)


# ``no_type_check`` keeps the run-time type check of the tests from wrapping kernels: numba compiles no wrappers.
@numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
@no_type_check
def _dots(first, last, indptr, indices, src, dst, out):  # type: ignore[no-untyped-def]
    width = src.shape[1]
    for v in range(first, last):
        b = dst[v]
        for p in range(indptr[v], indptr[v + 1]):
            a = src[indices[p]]
            total = out.dtype.type(0)
            for k in range(width):
                total += a[k] * b[k]
            out[p] = total


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _subtract_maximum(first, last, indptr, scores):  # type: ignore[no-untyped-def]
    """Take each row's largest score per head from the row's scores."""
    heads = scores.shape[1]
    for v in range(first, last):
        for h in range(heads):
            top = -np.inf
            for p in range(indptr[v], indptr[v + 1]):
                top = max(top, scores[p, h])
            for p in range(indptr[v], indptr[v + 1]):
                scores[p, h] -= top


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _divide_by_sum(first, last, indptr, values):  # type: ignore[no-untyped-def]
    """Make each row's values sum to 1 per head."""
    heads = values.shape[1]
    for v in range(first, last):
        for h in range(heads):
            total = values.dtype.type(0)
            for p in range(indptr[v], indptr[v + 1]):
                total += values[p, h]
            for p in range(indptr[v], indptr[v + 1]):
                values[p, h] /= total
