"""Attention over rows, compiled: scores, softmax and weighted sum without anything of size edges x heads x width.

Per-edge values are (heads, edges) in here, so that each head's are contiguous: weighted sums are then those of
``ops.rows``. Gradients through the kink of the LeakyReLU need one compiled pass over each side's rows; everything else
is made of sums and inner products.
"""

from typing import no_type_check

import numba
import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.kernels.numba_sddmm import computable
from gnnvcell.ops.kernels.threads import over_rows
from gnnvcell.ops.rows import sum_rows


def gatv2_forward(
    adjacency: Adjacency, src: Tensor, dst: Tensor, attn: Tensor, slope: float, scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output (dst, heads, d) and shares (edges, heads) in row order; see ``ops.attention.gatv2_aggregate``."""
    s, t, a = computable(src), computable(dst), computable(attn)
    scores = torch.empty(src.shape[1], adjacency.num_edges, dtype=s.dtype)
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    over_rows(
        _additive_scores, indptr, a.numel(), indptr, indices, s.numpy(), t.numpy(), a.numpy(), slope, scores.numpy()
    )
    return _finish(adjacency, scores, s, scale, src.dtype)


def dot_forward(
    adjacency: Adjacency, query: Tensor, key: Tensor, value: Tensor, sm_scale: float, scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output (dst, heads, d) and shares (edges, heads) in row order; see ``ops.attention.dot_aggregate``."""
    scores = _head_dots(adjacency, computable(key), computable(query) * sm_scale)
    indptr = adjacency.indptr.numpy()
    over_rows(_subtract_maximum, indptr, len(scores), indptr, scores.numpy())
    return _finish(adjacency, scores, computable(value), scale, value.dtype)


def _finish(
    adjacency: Adjacency, scores: Tensor, value: Tensor, scale: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    indptr, share = adjacency.indptr.numpy(), scores.exp_()  # torch's exp is vectorised, compiled code's is not
    over_rows(_divide_by_sum, indptr, len(share), indptr, share.numpy())
    out = _sums(adjacency, value, _scaled(share, scale))
    return out.to(dtype), share.T


def gatv2_backward(
    grad: Tensor, adjacency: Adjacency, src: Tensor, dst: Tensor, attn: Tensor, slope: float,
    alpha: Tensor, out: Tensor, scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Gradients of src, dst, attn and scale."""
    s, t, a, g = computable(src), computable(dst), computable(attn), computable(grad)
    share, dscale, dscore = _score_gradient(g, adjacency, s, alpha.T, out, scale)
    order = adjacency.transpose_positions
    # Sums of d(score) * LeakyReLU'(src + dst) over in-edges and over out-edges; attn multiplies them afterwards.
    into = _kinked_sums(adjacency, s, t, dscore, slope)
    out_of = _kinked_sums(adjacency.transpose, t, s, dscore.index_select(1, order), slope)
    dsrc = _sums(adjacency.transpose, g, share.index_select(1, order)).addcmul_(out_of, a)
    # LeakyReLU(z) = z LeakyReLU'(z), and z is a source's part and a destination's.
    dattn = (into * t).sum(dim=0) + (out_of * s).sum(dim=0)
    return dsrc.to(src.dtype), (into * a).to(dst.dtype), dattn.to(attn.dtype), dscale


def dot_backward(
    grad: Tensor, adjacency: Adjacency, query: Tensor, key: Tensor, value: Tensor, sm_scale: float,
    alpha: Tensor, out: Tensor, scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """Gradients of query, key, value and scale."""
    q, k, v, g = computable(query), computable(key), computable(value), computable(grad)
    share, dscale, dscore = _score_gradient(g, adjacency, v, alpha.T, out, scale)
    dscore.mul_(sm_scale)
    back, order = adjacency.transpose, adjacency.transpose_positions
    dquery = _sums(adjacency, k, dscore)
    dkey = _sums(back, q, dscore.index_select(1, order))
    dvalue = _sums(back, g, share.index_select(1, order))
    return dquery.to(query.dtype), dkey.to(key.dtype), dvalue.to(value.dtype), dscale


def _score_gradient(
    grad: Tensor, adjacency: Adjacency, value: Tensor, alpha: Tensor, out: Tensor, scale: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Share of each message, gradient of scale, and gradient of the scores before the softmax; (heads, edges) each."""
    toward = _head_dots(adjacency, value, grad)  # <grad_v, value_u> by head
    dscale = None if scale is None else (alpha * toward).T.to(scale.dtype)
    dalpha = _scaled(toward, scale)
    if out.dtype == grad.dtype:
        # The sum over in-edges of alpha * d(alpha) is the product of output and gradient: no second pass over edges.
        level = (grad * out).sum(dim=-1).T.contiguous()
    else:  # a 16-bit output is too coarse for that
        level = grad.new_zeros(grad.shape[1::-1]).index_add_(1, adjacency.rows, alpha * dalpha)
    dscore = level.index_select(1, adjacency.rows).neg_().add_(dalpha).mul_(alpha)
    return _scaled(alpha, scale), dscale, dscore


def _scaled(values: Tensor, scale: Tensor | None) -> Tensor:
    """(heads, edges) values times (edges, heads) scale."""
    return values if scale is None else values * computable(scale).T


def _sums(adjacency: Adjacency, feat: Tensor, weight: Tensor) -> Tensor:
    """(rows, heads, d) sum over in-edges of ``weight`` (heads, edges) times ``feat`` (nodes, heads, d)."""
    by_head = feat.transpose(0, 1).contiguous()
    return torch.stack([sum_rows(adjacency, x, w) for x, w in zip(by_head, weight, strict=True)], dim=1)


def _head_dots(adjacency: Adjacency, src: Tensor, dst: Tensor) -> Tensor:
    """(heads, edges) inner products of the features at both ends."""
    out = torch.empty(src.shape[1], adjacency.num_edges, dtype=src.dtype)
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    over_rows(_dots, indptr, src.shape[1] * src.shape[2], indptr, indices, src.numpy(), dst.numpy(), out.numpy())
    return out


def _kinked_sums(adjacency: Adjacency, there: Tensor, here: Tensor, dscore: Tensor, slope: float) -> Tensor:
    """(rows, heads, d) sum over in-edges of ``dscore * LeakyReLU'(there + here)``."""
    out = torch.zeros_like(here)
    indptr, indices = adjacency.indptr.numpy(), adjacency.indices.numpy()
    over_rows(
        _kinked, indptr, there.shape[1] * there.shape[2],
        indptr, indices, there.numpy(), here.numpy(), dscore.numpy(), slope, out.numpy(),
    )  # fmt: skip
    return out


# ``no_type_check`` keeps the run-time type check of the tests from wrapping kernels: numba compiles no wrappers.
@numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
@no_type_check
def _additive_scores(first, last, indptr, indices, src, dst, attn, slope, scores):  # type: ignore[no-untyped-def]
    """Scores less the largest of their row, which overflows in no exp."""
    heads, width = attn.shape
    steep, zero = attn.dtype.type(slope), attn.dtype.type(0)
    for v in range(first, last):
        start, end = indptr[v], indptr[v + 1]
        for p in range(start, end):
            u = indices[p]
            for h in range(heads):
                total = zero
                for k in range(width):
                    z = src[u, h, k] + dst[v, h, k]
                    total += attn[h, k] * (max(z, zero) + steep * min(z, zero))
                scores[h, p] = total
        for h in range(heads):
            if end > start:
                top = scores[h, start]
                for p in range(start + 1, end):
                    top = max(top, scores[h, p])
                for p in range(start, end):
                    scores[h, p] -= top


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _subtract_maximum(first, last, indptr, scores):  # type: ignore[no-untyped-def]
    for h in range(len(scores)):
        for v in range(first, last):
            start, end = indptr[v], indptr[v + 1]
            if end > start:
                top = scores[h, start]
                for p in range(start + 1, end):
                    top = max(top, scores[h, p])
                for p in range(start, end):
                    scores[h, p] -= top


@numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
@no_type_check
def _divide_by_sum(first, last, indptr, values):  # type: ignore[no-untyped-def]
    for h in range(len(values)):
        for v in range(first, last):
            total = values.dtype.type(0)
            for p in range(indptr[v], indptr[v + 1]):
                total += values[h, p]
            for p in range(indptr[v], indptr[v + 1]):
                values[h, p] /= total


@numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
@no_type_check
def _dots(first, last, indptr, indices, src, dst, out):  # type: ignore[no-untyped-def]
    heads, width = src.shape[1], src.shape[2]
    for v in range(first, last):
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for h in range(heads):
                total = src.dtype.type(0)
                for k in range(width):
                    total += src[u, h, k] * dst[v, h, k]
                out[h, p] = total


@numba.njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
@no_type_check
def _kinked(first, last, indptr, indices, there, here, dscore, slope, out):  # type: ignore[no-untyped-def]
    heads, width = here.shape[1], here.shape[2]
    steep, zero = here.dtype.type(slope), here.dtype.type(0)
    for v in range(first, last):
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for h in range(heads):
                above = dscore[h, p]
                below = steep * above
                for k in range(width):
                    out[v, h, k] += above if there[u, h, k] + here[v, h, k] > zero else below
