"""Triton kernels of GATv2 attention over the edges of each row: scores, softmax and weighted sum in one pass.

Nothing of size edges x heads x d is made; what is kept per edge and head is the attention and, in a backward pass, the
gradient of the score. Sums run in a fixed order without atomics, so results are the same every time.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.ops.kernels.triton_heads import absorb, contiguous, finish, grid, level_of, shape, store_alpha
from gnnvcell.ops.kernels.triton_spmm import accumulator

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
        _gatv2_forward[grid(rows, heads, d)](
            score, alpha, out, *contiguous(indptr, indices, src, dst, attn, scale), SLOPE=slope, **shape(src, d)
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
        _gatv2_backward_rows[grid(blocks, heads, d)](
            score_grad,
            scale_grad,
            dst_grad,
            partial,
            rows,
            dst.numel(),
            *contiguous(indptr, indices, src, dst, attn, scale, grad, alpha, out),
            SLOPE=slope,
            ROWS=_ROWS_PER_BLOCK,
            **shape(src, d),
        )
        _gatv2_backward_columns[grid(len(src), heads, d)](
            score_grad,
            src_grad,
            *contiguous(t_indptr, t_indices, t_position, src, dst, attn, scale, grad, alpha),
            SLOPE=slope,
            **shape(src, d),
        )
    return src_grad, dst_grad, partial.sum(0).to(attn.dtype), scale_grad


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
        best, total, shrink, part = absorb(s, live, best, total)
        if scale is not None:
            part *= tl.load(scale + slot, mask=live, other=0.0).to(ACC)
        gathered = gathered * shrink[:, :, None] + part[:, :, None] * theirs
    top, whole, mean = finish(best, total, gathered)
    tl.store(out + row * (H * D) + cell, mean.to(out.dtype.element_ty), mask=inside)
    store_alpha(score, alpha, start, stop, head, top, whole, H, BLOCK_E)


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
            level = level_of(indices, src, scale, alpha, pull, cell, head, inside, start, stop, H, D, BLOCK_E, ACC)
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
