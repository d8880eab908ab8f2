"""Triton kernels of attention over the edges of each row: scores, softmax and weighted sum in one pass.

Nothing of size edges x heads x d is made; what is kept per edge and head is the attention and, in a backward pass, the
gradient of the score. Sums run in a fixed order without atomics, so results are the same every time.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.ops.kernels.triton_spmm import accumulator, accumulator_type, edge_tile

# Heads whose padded features fit in this many values share a program.
_MAX_HEADS_VALUES = 256
# Rows whose shares in the gradient of the attention vector are summed in one program.
_ROWS_PER_BLOCK = 4


def gatv2_forward(
    indptr: Int[Tensor, " rows_and_one"],
    indices: Int[Tensor, " edges"],
    src: Float[Tensor, "src heads d"],
    dst: Float[Tensor, "dst heads d"],
    attn: Float[Tensor, "heads d"],
    slope: float,
    scale: Float[Tensor, "edges heads"] | None = None,
) -> tuple[Float[Tensor, "dst heads d"], Float[Tensor, "edges heads"]]:
    """GATv2 attention [Brody et al., ICLR 2022]; zero where a row has no edges. No gradient.

    ``s[e] = <attn, leaky_relu(src[u] + dst[v])>``, ``alpha = softmax of s over row v``,
    ``out[v] = sum over e of alpha[e] * scale[e] * src[u]``, each per head.

    Args:
        indptr: (dst + 1,) where each row starts.
        indices: source node at each position of the rows.
        src, dst: features of source and destination nodes.
        attn: attention vectors.
        slope: of the leaky ReLU below zero; a new value compiles a new kernel.
        scale: factor of each edge and head after the softmax, in row order; 1 when left out.

    Returns:
        (out, alpha): alpha in row order, without ``scale``; both in the type of ``src``.
    """
    rows, heads, d = dst.shape
    out, alpha = src.new_zeros(rows, heads, d), src.new_empty(len(indices), heads)
    if 0 in (rows, heads, len(indices)):
        return out, alpha
    score = torch.empty_like(alpha, dtype=accumulator(src.dtype))
    with torch.cuda.device_of(src):
        _gatv2_forward[_grid(rows, heads, d)](
            score, alpha, out, *_contiguous(indptr, indices, src, dst, attn, scale), SLOPE=slope, **_shape(src, d)
        )
    return out, alpha


def gatv2_backward(
    grad: Float[Tensor, "dst heads d"],
    indptr: Int[Tensor, " rows_and_one"],
    indices: Int[Tensor, " edges"],
    t_indptr: Int[Tensor, " columns_and_one"],
    t_indices: Int[Tensor, " edges"],
    t_position: Int[Tensor, " edges"],
    src: Float[Tensor, "src heads d"],
    dst: Float[Tensor, "dst heads d"],
    attn: Float[Tensor, "heads d"],
    slope: float,
    alpha: Float[Tensor, "edges heads"],
    out: Float[Tensor, "dst heads d"],
    scale: Float[Tensor, "edges heads"] | None = None,
) -> tuple[
    Float[Tensor, "src heads d"],
    Float[Tensor, "dst heads d"],
    Float[Tensor, "heads d"],
    Float[Tensor, "edges heads"] | None,
]:
    """Gradients of ``gatv2_forward``.

    Args:
        grad: gradient of ``out``.
        indptr, indices, src, dst, attn, slope, scale: as given to ``gatv2_forward``.
        t_indptr: (src + 1,) where each row of the transposed adjacency starts.
        t_indices: destination node at each position of the transposed rows.
        t_position: position of that edge in the rows of ``indptr``.
        alpha, out: as returned by ``gatv2_forward``.

    Returns:
        (dsrc, ddst, dattn, dscale): dscale in row order, None without ``scale``; each in the type of its input.
    """
    rows, heads, d = dst.shape
    src_grad, dst_grad, attn_grad = (part.new_zeros(part.shape) for part in (src, dst, attn))
    scale_grad = None if scale is None else scale.new_empty(scale.shape)
    if 0 in (rows, heads, len(indices)):
        return src_grad, dst_grad, attn_grad, scale_grad
    blocks = triton.cdiv(rows, _ROWS_PER_BLOCK)
    score_grad = alpha.new_empty(alpha.shape, dtype=accumulator(src.dtype))
    partial = score_grad.new_empty(blocks, heads, d)
    with torch.cuda.device_of(src):
        _gatv2_backward_rows[_grid(blocks, heads, d)](
            score_grad,
            scale_grad,
            dst_grad,
            partial,
            rows,
            dst.numel(),
            *_contiguous(indptr, indices, src, dst, attn, scale, grad, alpha, out),
            SLOPE=slope,
            ROWS=_ROWS_PER_BLOCK,
            **_shape(src, d),
        )
        _gatv2_backward_columns[_grid(len(src), heads, d)](
            score_grad,
            src_grad,
            *_contiguous(t_indptr, t_indices, t_position, src, dst, attn, scale, grad, alpha),
            SLOPE=slope,
            **_shape(src, d),
        )
    return src_grad, dst_grad, partial.sum(0).to(attn.dtype), scale_grad


def dot_forward(
    indptr: Int[Tensor, " rows_and_one"],
    indices: Int[Tensor, " edges"],
    query: Float[Tensor, "dst heads d"],
    key: Float[Tensor, "src heads d"],
    value: Float[Tensor, "src heads dv"],
    sm_scale: float,
    scale: Float[Tensor, "edges heads"] | None = None,
) -> tuple[Float[Tensor, "dst heads dv"], Float[Tensor, "edges heads"]]:
    """Dot-product attention over edges; zero where a row has no edges. No gradient.

    ``s[e] = sm_scale * <query[v], key[u]>``, ``alpha = softmax of s over row v``,
    ``out[v] = sum over e of alpha[e] * scale[e] * value[u]``, each per head.

    Args:
        indptr: (dst + 1,) where each row starts.
        indices: source node at each position of the rows.
        query: of destination nodes.
        key, value: of source nodes.
        sm_scale: factor of the scores; a new value compiles a new kernel.
        scale: factor of each edge and head after the softmax, in row order; 1 when left out.

    Returns:
        (out, alpha): alpha in row order, without ``scale``; both in the type of ``value``.
    """
    rows, heads, d = query.shape
    dv = value.shape[2]
    out, alpha = value.new_zeros(rows, heads, dv), value.new_empty(len(indices), heads)
    if 0 in (rows, heads, len(indices)):
        return out, alpha
    score = torch.empty_like(alpha, dtype=accumulator(value.dtype))
    with torch.cuda.device_of(value):
        _dot_forward[_grid(rows, heads, d, dv)](
            score,
            alpha,
            out,
            *_contiguous(indptr, indices, query, key, value, scale),
            SM_SCALE=sm_scale,
            **_shape(value, d, dv),
        )
    return out, alpha


def dot_backward(
    grad: Float[Tensor, "dst heads dv"],
    indptr: Int[Tensor, " rows_and_one"],
    indices: Int[Tensor, " edges"],
    t_indptr: Int[Tensor, " columns_and_one"],
    t_indices: Int[Tensor, " edges"],
    t_position: Int[Tensor, " edges"],
    query: Float[Tensor, "dst heads d"],
    key: Float[Tensor, "src heads d"],
    value: Float[Tensor, "src heads dv"],
    sm_scale: float,
    alpha: Float[Tensor, "edges heads"],
    out: Float[Tensor, "dst heads dv"],
    scale: Float[Tensor, "edges heads"] | None = None,
) -> tuple[
    Float[Tensor, "dst heads d"],
    Float[Tensor, "src heads d"],
    Float[Tensor, "src heads dv"],
    Float[Tensor, "edges heads"] | None,
]:
    """Gradients of ``dot_forward``.

    Args:
        grad: gradient of ``out``.
        indptr, indices, query, key, value, sm_scale, scale: as given to ``dot_forward``.
        t_indptr, t_indices, t_position: the transposed adjacency, as in ``gatv2_backward``.
        alpha, out: as returned by ``dot_forward``.

    Returns:
        (dquery, dkey, dvalue, dscale): dscale in row order, None without ``scale``; each in the type of its input.
    """
    rows, heads, d = query.shape
    dv = value.shape[2]
    query_grad, key_grad, value_grad = (part.new_zeros(part.shape) for part in (query, key, value))
    scale_grad = None if scale is None else scale.new_empty(scale.shape)
    if 0 in (rows, heads, len(indices)):
        return query_grad, key_grad, value_grad, scale_grad
    score_grad = alpha.new_empty(alpha.shape, dtype=accumulator(value.dtype))
    with torch.cuda.device_of(value):
        _dot_backward_rows[_grid(rows, heads, d, dv)](
            score_grad,
            scale_grad,
            query_grad,
            *_contiguous(indptr, indices, key, value, scale, grad, alpha, out),
            SM_SCALE=sm_scale,
            **_shape(value, d, dv),
        )
        _dot_backward_columns[_grid(len(key), heads, d, dv)](
            score_grad,
            key_grad,
            value_grad,
            *_contiguous(t_indptr, t_indices, t_position, query, scale, grad, alpha),
            SM_SCALE=sm_scale,
            **_shape(value, d, dv),
        )
    return query_grad, key_grad, value_grad, scale_grad


def _contiguous(*parts: Tensor | None) -> tuple[Any, ...]:
    return tuple(None if part is None else part.contiguous() for part in parts)


def _heads_block(heads: int, *widths: int) -> int:
    width = max(triton.next_power_of_2(width) for width in widths)
    return min(triton.next_power_of_2(heads), max(1, _MAX_HEADS_VALUES // width))


def _grid(rows: int, heads: int, *widths: int) -> tuple[int, int]:
    return rows, triton.cdiv(heads, _heads_block(heads, *widths))


def _shape(feat: Tensor, *widths: int) -> dict[str, Any]:
    """Compile-time arguments of a kernel over heads of ``widths`` features; the second width is that of values."""
    heads = feat.shape[1]
    padded = [triton.next_power_of_2(width) for width in widths]
    block_h = _heads_block(heads, *widths)
    block_e, warps = edge_tile(block_h * max(padded))
    shape = {"H": heads, "D": widths[0], "BLOCK_E": block_e, "BLOCK_H": block_h, "BLOCK_D": padded[0]}
    if len(widths) == 2:
        shape |= {"DV": widths[1], "BLOCK_DV": padded[1]}
    return shape | {"ACC": accumulator_type(feat.dtype), "num_warps": warps}


@triton.jit
@no_type_check
def _absorb(score, live, best, total):  # type: ignore[no-untyped-def]
    """Take one tile of scores into a running softmax that each edge lane of a program keeps for itself.

    Returns the new maxima and totals, the factor of what was summed so far, and the weight of the tile.
    """
    score = tl.where(live, score, best)
    higher = tl.maximum(best, score)
    shrink = tl.exp(best - higher)
    part = tl.where(live, tl.exp(score - higher), 0.0)
    return higher, total * shrink + part, shrink, part


@triton.jit
@no_type_check
def _finish(best, total, gathered):  # type: ignore[no-untyped-def]
    """Merge the lanes of a running softmax: the row's maxima, its divisors and its weighted sums."""
    top = tl.max(best, axis=0)
    factor = tl.exp(best - top[None, :])
    whole = tl.sum(total * factor, axis=0)
    whole = tl.where(whole == 0, 1.0, whole)
    return top, whole, tl.sum(gathered * factor[:, :, None], axis=0) / whole[:, None]


@triton.jit
@no_type_check
def _store_alpha(score, alpha, start, stop, head, top, whole, H: tl.constexpr, BLOCK_E: tl.constexpr):  # type: ignore[no-untyped-def]
    """Turn the scores of a row into attention, once every thread of the program has stored its scores."""
    tl.debug_barrier()
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        slot = at[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        share = tl.exp(tl.load(score + slot, mask=live, other=float("-inf")) - top[None, :]) / whole[None, :]
        tl.store(alpha + slot, share.to(alpha.dtype.element_ty), mask=live)


@triton.jit
@no_type_check
def _level(
    indices,
    value,
    scale,
    alpha,
    pull,
    cell,
    head,
    inside,
    start,
    stop,
    H: tl.constexpr,
    DV: tl.constexpr,
    BLOCK_E: tl.constexpr,
    ACC: tl.constexpr,
):  # type: ignore[no-untyped-def]
    """``<grad, out>`` of a row, edge by edge, such that the gradients of the scores of the row sum to zero.

    For features of short floats, of which a saved ``out`` would put its rounding, and ``alpha`` its sum, on every edge.
    """
    level = tl.sum(pull * 0.0, axis=1)
    whole = level
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        source = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
        slot = at[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        address = value + source[:, None, None] * (H * DV) + cell[None, :, :]
        given = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0).to(ACC)
        share = tl.load(alpha + slot, mask=live, other=0.0).to(ACC)
        whole += tl.sum(share, axis=0)
        if scale is not None:
            share *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        level += tl.sum(share * tl.sum(given * pull[None, :, :], axis=2), axis=0)
    return level / tl.where(whole == 0, 1.0, whole)


@triton.jit
@no_type_check
def _gatv2_forward(
    score,
    alpha,
    out,
    indptr,
    indices,
    src,
    dst,
    attn,
    scale,
    SLOPE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_D)
    cell = head[:, None] * D + column[None, :]
    inside = (head < H)[:, None] & (column < D)[None, :]
    start = tl.load(indptr + row).to(tl.int64)
    stop = tl.load(indptr + row + 1).to(tl.int64)
    ours = tl.load(dst + row * (H * D) + cell, mask=inside, other=0.0).to(ACC)
    vector = tl.load(attn + cell, mask=inside, other=0.0).to(ACC)
    best = tl.full((BLOCK_E, BLOCK_H), -3.0e38, ACC)
    total = tl.full((BLOCK_E, BLOCK_H), 0.0, ACC)
    gathered = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        source = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
        slot = at[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        address = src + source[:, None, None] * (H * D) + cell[None, :, :]
        theirs = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0).to(ACC)
        z = theirs + ours[None, :, :]
        s = tl.sum(tl.where(z > 0, z, SLOPE * z) * vector[None, :, :], axis=2)
        tl.store(score + slot, s, mask=live)
        best, total, shrink, part = _absorb(s, live, best, total)
        if scale is not None:
            part *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        gathered = gathered * shrink[:, :, None] + part[:, :, None] * theirs
    top, whole, mean = _finish(best, total, gathered)
    tl.store(out + row * (H * D) + cell, mean.to(out.dtype.element_ty), mask=inside)
    _store_alpha(score, alpha, start, stop, head, top, whole, H, BLOCK_E)


@triton.jit
@no_type_check
def _gatv2_backward_rows(
    score_grad,
    scale_grad,
    dst_grad,
    partial,
    rows,
    values,
    indptr,
    indices,
    src,
    dst,
    attn,
    scale,
    grad,
    alpha,
    out,
    SLOPE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    block = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_D)
    cell = head[:, None] * D + column[None, :]
    inside = (head < H)[:, None] & (column < D)[None, :]
    vector = tl.load(attn + cell, mask=inside, other=0.0).to(ACC)
    attn_total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for offset in range(ROWS):
        row = block * ROWS + offset
        start = tl.load(indptr + tl.minimum(row, rows)).to(tl.int64)
        stop = tl.load(indptr + tl.minimum(row + 1, rows)).to(tl.int64)
        own = row * (H * D) + cell
        known = inside & (own < values)
        ours = tl.load(dst + own, mask=known, other=0.0).to(ACC)
        pull = tl.load(grad + own, mask=known, other=0.0).to(ACC)
        if out.dtype.element_ty == ACC:
            level = tl.sum(pull * tl.load(out + own, mask=known, other=0.0), axis=1)
        else:
            level = _level(indices, src, scale, alpha, pull, cell, head, inside, start, stop, H, D, BLOCK_E, ACC)
        total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
        for first in range(start, stop, BLOCK_E):
            at = first + tl.arange(0, BLOCK_E)
            source = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
            slot = at[:, None] * H + head[None, :]
            live = (at < stop)[:, None] & (head < H)[None, :]
            address = src + source[:, None, None] * (H * D) + cell[None, :, :]
            theirs = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0).to(ACC)
            z = theirs + ours[None, :, :]
            share = tl.load(alpha + slot, mask=live, other=0.0).to(ACC)
            gain = tl.sum(theirs * pull[None, :, :], axis=2)
            if scale is not None:
                tl.store(scale_grad + slot, (share * gain).to(scale_grad.dtype.element_ty), mask=live)
                gain *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
            ds = share * (gain - level[None, :])
            tl.store(score_grad + slot, ds, mask=live)
            tile = ds[:, :, None]
            total += tl.where(z > 0, tile, SLOPE * tile)
            attn_total += tile * tl.where(z > 0, z, SLOPE * z)
        summed = tl.sum(total, axis=0) * vector
        tl.store(dst_grad + own, summed.to(dst_grad.dtype.element_ty), mask=known)
    tl.store(partial + block * (H * D) + cell, tl.sum(attn_total, axis=0), mask=inside)


@triton.jit
@no_type_check
def _gatv2_backward_columns(
    score_grad,
    src_grad,
    indptr,
    indices,
    position,
    src,
    dst,
    attn,
    scale,
    grad,
    alpha,
    SLOPE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_D)
    cell = head[:, None] * D + column[None, :]
    inside = (head < H)[:, None] & (column < D)[None, :]
    start = tl.load(indptr + row).to(tl.int64)
    stop = tl.load(indptr + row + 1).to(tl.int64)
    ours = tl.load(src + row * (H * D) + cell, mask=inside, other=0.0).to(ACC)
    vector = tl.load(attn + cell, mask=inside, other=0.0).to(ACC)
    total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        target = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
        edge = tl.load(position + at, mask=at < stop, other=0).to(tl.int64)
        slot = edge[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        beta = tl.load(alpha + slot, mask=live, other=0.0).to(ACC)
        if scale is not None:
            beta *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        ds = tl.load(score_grad + slot, mask=live, other=0.0)
        tile = target[:, None, None] * (H * D) + cell[None, :, :]
        known = live[:, :, None] & inside[None, :, :]
        z = tl.load(dst + tile, mask=known, other=0.0).to(ACC) + ours[None, :, :]
        total += beta[:, :, None] * tl.load(grad + tile, mask=known, other=0.0).to(ACC)
        total += ds[:, :, None] * tl.where(z > 0, vector[None, :, :], SLOPE * vector[None, :, :])
    tl.store(src_grad + row * (H * D) + cell, tl.sum(total, axis=0).to(src_grad.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _dot_forward(
    score,
    alpha,
    out,
    indptr,
    indices,
    query,
    key,
    value,
    scale,
    SM_SCALE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_DV: tl.constexpr,
):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column, value_column = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DV)
    cell = head[:, None] * D + column[None, :]
    value_cell = head[:, None] * DV + value_column[None, :]
    inside = (head < H)[:, None] & (column < D)[None, :]
    value_inside = (head < H)[:, None] & (value_column < DV)[None, :]
    start = tl.load(indptr + row).to(tl.int64)
    stop = tl.load(indptr + row + 1).to(tl.int64)
    ours = tl.load(query + row * (H * D) + cell, mask=inside, other=0.0).to(ACC)
    best = tl.full((BLOCK_E, BLOCK_H), -3.0e38, ACC)
    total = tl.full((BLOCK_E, BLOCK_H), 0.0, ACC)
    gathered = tl.full((BLOCK_E, BLOCK_H, BLOCK_DV), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        source = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
        slot = at[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        address = key + source[:, None, None] * (H * D) + cell[None, :, :]
        theirs = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0).to(ACC)
        s = tl.sum(theirs * ours[None, :, :], axis=2) * SM_SCALE
        tl.store(score + slot, s, mask=live)
        best, total, shrink, part = _absorb(s, live, best, total)
        if scale is not None:
            part *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        address = value + source[:, None, None] * (H * DV) + value_cell[None, :, :]
        given = tl.load(address, mask=live[:, :, None] & value_inside[None, :, :], other=0.0).to(ACC)
        gathered = gathered * shrink[:, :, None] + part[:, :, None] * given
    top, whole, mean = _finish(best, total, gathered)
    tl.store(out + row * (H * DV) + value_cell, mean.to(out.dtype.element_ty), mask=value_inside)
    _store_alpha(score, alpha, start, stop, head, top, whole, H, BLOCK_E)


@triton.jit
@no_type_check
def _dot_backward_rows(
    score_grad,
    scale_grad,
    query_grad,
    indptr,
    indices,
    key,
    value,
    scale,
    grad,
    alpha,
    out,
    SM_SCALE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_DV: tl.constexpr,
):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column, value_column = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DV)
    cell = head[:, None] * D + column[None, :]
    value_cell = head[:, None] * DV + value_column[None, :]
    inside = (head < H)[:, None] & (column < D)[None, :]
    value_inside = (head < H)[:, None] & (value_column < DV)[None, :]
    start = tl.load(indptr + row).to(tl.int64)
    stop = tl.load(indptr + row + 1).to(tl.int64)
    own = row * (H * DV) + value_cell
    pull = tl.load(grad + own, mask=value_inside, other=0.0).to(ACC)
    if out.dtype.element_ty == ACC:
        level = tl.sum(pull * tl.load(out + own, mask=value_inside, other=0.0), axis=1)
    else:
        level = _level(
            indices, value, scale, alpha, pull, value_cell, head, value_inside, start, stop, H, DV, BLOCK_E, ACC
        )
    total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        source = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
        slot = at[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        address = value + source[:, None, None] * (H * DV) + value_cell[None, :, :]
        given = tl.load(address, mask=live[:, :, None] & value_inside[None, :, :], other=0.0).to(ACC)
        share = tl.load(alpha + slot, mask=live, other=0.0).to(ACC)
        gain = tl.sum(given * pull[None, :, :], axis=2)
        if scale is not None:
            tl.store(scale_grad + slot, (share * gain).to(scale_grad.dtype.element_ty), mask=live)
            gain *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        ds = share * (gain - level[None, :])
        tl.store(score_grad + slot, ds, mask=live)
        address = key + source[:, None, None] * (H * D) + cell[None, :, :]
        theirs = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0).to(ACC)
        total += ds[:, :, None] * theirs
    summed = tl.sum(total, axis=0) * SM_SCALE
    tl.store(query_grad + row * (H * D) + cell, summed.to(query_grad.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _dot_backward_columns(
    score_grad,
    key_grad,
    value_grad,
    indptr,
    indices,
    position,
    query,
    scale,
    grad,
    alpha,
    SM_SCALE: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_DV: tl.constexpr,
):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column, value_column = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DV)
    cell = head[:, None] * D + column[None, :]
    value_cell = head[:, None] * DV + value_column[None, :]
    inside = (head < H)[:, None] & (column < D)[None, :]
    value_inside = (head < H)[:, None] & (value_column < DV)[None, :]
    start = tl.load(indptr + row).to(tl.int64)
    stop = tl.load(indptr + row + 1).to(tl.int64)
    key_total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    value_total = tl.full((BLOCK_E, BLOCK_H, BLOCK_DV), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        target = tl.load(indices + at, mask=at < stop, other=0).to(tl.int64)
        edge = tl.load(position + at, mask=at < stop, other=0).to(tl.int64)
        slot = edge[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        beta = tl.load(alpha + slot, mask=live, other=0.0).to(ACC)
        if scale is not None:
            beta *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        ds = tl.load(score_grad + slot, mask=live, other=0.0)
        address = query + target[:, None, None] * (H * D) + cell[None, :, :]
        asked = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0).to(ACC)
        key_total += ds[:, :, None] * asked
        address = grad + target[:, None, None] * (H * DV) + value_cell[None, :, :]
        pull = tl.load(address, mask=live[:, :, None] & value_inside[None, :, :], other=0.0).to(ACC)
        value_total += beta[:, :, None] * pull
    summed = tl.sum(key_total, axis=0) * SM_SCALE
    tl.store(key_grad + row * (H * D) + cell, summed.to(key_grad.dtype.element_ty), mask=inside)
    summed = tl.sum(value_total, axis=0)
    tl.store(value_grad + row * (H * DV) + value_cell, summed.to(value_grad.dtype.element_ty), mask=value_inside)
