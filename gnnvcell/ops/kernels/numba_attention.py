"""Attention over rows, compiled: scores, softmax and weighted sum without anything of size edges x heads x width."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.kernels.numba_sddmm import computable, divide_by_sum, subtract_maximum
from gnnvcell.ops.kernels.threads import over_rows


def gatv2_forward(
    adjacency: Adjacency, src: Tensor, dst: Tensor, attn: Tensor, slope: float, scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output (dst, heads, d) and shares (edges, heads); see ``ops.attention.gatv2_aggregate``. Rows in row order."""
    s, t, a = computable(src), computable(dst), computable(attn)
    alpha = torch.empty(adjacency.num_edges, src.shape[1], dtype=s.dtype)
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    cost = s[0].numel() if len(s) else 1
    over_rows(_gatv2_scores, indptr, cost, indptr, indices, s.numpy(), t.numpy(), a.numpy(), slope, alpha.numpy())
    return _finish(adjacency, alpha, s, scale, src.dtype)


def dot_forward(
    adjacency: Adjacency, query: Tensor, key: Tensor, value: Tensor, sm_scale: float, scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output (dst, heads, d) and shares (edges, heads); see ``ops.attention.dot_aggregate``. Rows in row order."""
    q, k, v = computable(query) * sm_scale, computable(key), computable(value)
    alpha = torch.empty(adjacency.num_edges, key.shape[1], dtype=q.dtype)
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    cost = k[0].numel() if len(k) else 1
    over_rows(_head_dots, indptr, cost, indptr, indices, k.numpy(), q.numpy(), alpha.numpy())
    return _finish(adjacency, alpha, v, scale, value.dtype)


def _finish(
    adjacency: Adjacency, scores: Tensor, value: Tensor, scale: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    over_rows(subtract_maximum, indptr, scores.shape[1], indptr, scores.numpy())
    alpha = scores.exp_()  # torch's is vectorised, compiled code's is not
    over_rows(divide_by_sum, indptr, alpha.shape[1], indptr, alpha.numpy())
    share = alpha if scale is None else alpha * computable(scale)
    out = torch.zeros(adjacency.num_dst, *value.shape[1:], dtype=value.dtype)
    over_rows(
        _weighted_sum, indptr, value[0].numel() if len(value) else 1,
        indptr, indices, value.numpy(), share.numpy(), out.numpy(),
    )  # fmt: skip
    return out.to(dtype), alpha


def gatv2_backward(
    grad: Tensor, adjacency: Adjacency, src: Tensor, dst: Tensor, attn: Tensor, slope: float,
    alpha: Tensor, out: Tensor, scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Gradients of src, dst, attn and scale."""
    s, t, a, g = computable(src), computable(dst), computable(attn), computable(grad)
    share, dscale, dscore = _score_gradient(g, adjacency, s, alpha, out, scale)
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    ddst, cost = torch.zeros_like(t), s[0].numel() if len(s) else 1
    parts = over_rows(
        _gatv2_destination, indptr, cost,
        indptr, indices, s.numpy(), t.numpy(), a.numpy(), slope, dscore.numpy(), ddst.numpy(),
    )  # fmt: skip
    back, dsrc = adjacency.transpose, torch.zeros_like(s)
    t_indptr = back.indptr.numpy()
    over_rows(
        _gatv2_source, t_indptr, cost,
        t_indptr, back.indices.numpy(), adjacency.transpose_positions.numpy(), s.numpy(), t.numpy(), a.numpy(), slope,
        dscore.numpy(), share.numpy(), g.numpy(), dsrc.numpy(),
    )  # fmt: skip
    dattn = torch.from_numpy(np.sum(parts, axis=0, dtype=parts[0].dtype))
    return dsrc.to(src.dtype), ddst.to(dst.dtype), dattn.to(attn.dtype), dscale


def dot_backward(
    grad: Tensor, adjacency: Adjacency, query: Tensor, key: Tensor, value: Tensor, sm_scale: float,
    alpha: Tensor, out: Tensor, scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Gradients of query, key, value and scale."""
    q, k, v, g = computable(query), computable(key), computable(value), computable(grad)
    share, dscale, dscore = _score_gradient(g, adjacency, v, alpha, out, scale)
    dscore *= sm_scale
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    back = adjacency.transpose
    t_indptr, t_indices = back.indptr.numpy(), back.indices.numpy()
    order = adjacency.transpose_positions
    dquery, dkey, dvalue = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    over_rows(
        _weighted_sum, indptr, k[0].numel() if len(k) else 1, indptr, indices, k.numpy(), dscore.numpy(), dquery.numpy()
    )
    for weights, feat, result in ((dscore, q, dkey), (share, g, dvalue)):
        over_rows(
            _weighted_sum, t_indptr, feat[0].numel() if len(feat) else 1,
            t_indptr, t_indices, feat.numpy(), weights.index_select(0, order).numpy(), result.numpy(),
        )  # fmt: skip
    return dquery.to(query.dtype), dkey.to(key.dtype), dvalue.to(value.dtype), dscale


def _score_gradient(
    grad: Tensor, adjacency: Adjacency, value: Tensor, alpha: Tensor, out: Tensor, scale: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Share of each message, gradient of scale, and gradient of the scores before the softmax; (edges, heads) each."""
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    toward = torch.empty_like(alpha)  # <grad_v, value_u> by head
    over_rows(
        _head_dots, indptr, value[0].numel() if len(value) else 1,
        indptr, indices, value.numpy(), grad.numpy(), toward.numpy(),
    )  # fmt: skip
    s = None if scale is None else computable(scale)
    dalpha = toward if s is None else s * toward
    if out.dtype == grad.dtype:
        # The sum over in-edges of alpha * d(alpha) is the product of output and gradient: no second pass over edges.
        level = (grad * out).sum(dim=-1)
    else:  # a 16-bit output is too coarse for that
        level = grad.new_zeros(grad.shape[:2]).index_add_(0, adjacency.rows, alpha * dalpha)
    dscore = alpha * (dalpha - level.index_select(0, adjacency.rows))
    if s is None or scale is None:
        return alpha, None, dscore
    return alpha * s, (alpha * toward).to(scale.dtype), dscore


# ``no_type_check`` keeps the run-time type check of the tests from wrapping kernels: numba compiles no wrappers.
@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _gatv2_scores(first, last, indptr, indices, src, dst, attn, slope, scores):  # type: ignore[no-untyped-def]
    heads, width = attn.shape
    steep = attn.dtype.type(slope)
    zero = attn.dtype.type(0)
    for v in range(first, last):
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for h in range(heads):
                total = zero
                for k in range(width):
                    z = src[u, h, k] + dst[v, h, k]
                    total += attn[h, k] * (max(z, zero) + steep * min(z, zero))
                scores[p, h] = total


@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _head_dots(first, last, indptr, indices, src, dst, out):  # type: ignore[no-untyped-def]
    heads, width = src.shape[1], src.shape[2]
    for v in range(first, last):
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for h in range(heads):
                total = src.dtype.type(0)
                for k in range(width):
                    total += src[u, h, k] * dst[v, h, k]
                out[p, h] = total


@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _weighted_sum(first, last, indptr, indices, feat, weight, out):  # type: ignore[no-untyped-def]
    heads, width = feat.shape[1], feat.shape[2]
    for v in range(first, last):
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for h in range(heads):
                w = weight[p, h]
                for k in range(width):
                    out[v, h, k] += w * feat[u, h, k]


@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _gatv2_destination(first, last, indptr, indices, src, dst, attn, slope, dscore, ddst):  # type: ignore[no-untyped-def]
    """Gradient of the destinations' features; returns these rows' part of the gradient of attn."""
    heads, width = attn.shape
    steep = attn.dtype.type(slope)
    zero, one = attn.dtype.type(0), attn.dtype.type(1)
    dattn = np.zeros_like(attn)
    for v in range(first, last):
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for h in range(heads):
                ds = dscore[p, h]
                for k in range(width):
                    z = src[u, h, k] + dst[v, h, k]
                    dattn[h, k] += ds * (max(z, zero) + steep * min(z, zero))
                    ddst[v, h, k] += ds * attn[h, k] * (one if z > zero else steep)
    return dattn


@numba.njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def _gatv2_source(  # type: ignore[no-untyped-def]
    first, last, indptr, indices, position, src, dst, attn, slope, dscore, share, grad, dsrc
):
    heads, width = attn.shape
    steep = attn.dtype.type(slope)
    zero, one = attn.dtype.type(0), attn.dtype.type(1)
    for u in range(first, last):
        for p in range(indptr[u], indptr[u + 1]):
            v, e = indices[p], position[p]
            for h in range(heads):
                ds, w = dscore[e, h], share[e, h]
                for k in range(width):
                    z = src[u, h, k] + dst[v, h, k]
                    dsrc[u, h, k] += w * grad[v, h, k] + ds * attn[h, k] * (one if z > zero else steep)
