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

from gnnvcell.ops.kernels.triton_heads import (
    absorb,
    contiguous,
    end_piece,
    gather,
    grid,
    merge_softmaxes,
    shape,
    softmaxes,
    within,
)
from gnnvcell.ops.kernels.triton_spmm import accumulator, add_pieces, partial_sums, piece_at, store_sum
from gnnvcell.ops.row_pieces import RowPieces


def gatv2_forward(
    pieces: RowPieces,
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
        pieces: the rows of the adjacency.
        indices: source node at each position of the rows.
        src, dst: features of source and destination nodes.
        attn: attention vectors.
        slope: of the leaky ReLU below zero; a new value compiles a new kernel.
        scale: factor of each edge and head after the softmax, in row order; 1 when left out.

    Returns:
        (out, alpha): alpha in row order, without ``scale``; both in float32 (float64 for float64 features), since a
        backward pass would put the rounding of shorter ones on every edge.
    """
    rows, heads, d = dst.shape
    out = src.new_zeros(rows, heads, d, dtype=accumulator(src.dtype))
    alpha = out.new_empty(len(indices), heads)  # holds the scores first
    if 0 in (rows, heads, len(indices)):
        return out, alpha
    parts = softmaxes(pieces, src)
    with torch.cuda.device_of(src):
        _gatv2_forward[grid(len(pieces), heads, d)](
            alpha,
            out,
            *parts,
            pieces.pointer,
            pieces.row,
            pieces.slot,
            *contiguous(indices, src, dst, attn, scale),
            SLOPE=slope,
            **shape(src, d),
        )
        merge_softmaxes(pieces, parts, alpha, out)
    return out, alpha


def gatv2_backward(
    grad: Float[Tensor, "dst heads d"],
    pieces: RowPieces,
    indices: Int[Tensor, " edges"],
    t_pieces: RowPieces,
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
        pieces, indices, src, dst, attn, slope, scale: as given to ``gatv2_forward``.
        t_pieces: the rows of the transposed adjacency.
        t_indices: destination node at each position of the transposed rows.
        t_position: position of that edge in the rows of ``pieces``.
        alpha, out: as returned by ``gatv2_forward``.

    Returns:
        (dsrc, ddst, dattn, dscale): dscale in row order, None without ``scale``; each in the type of its input.
    """
    rows, heads, d = dst.shape
    src_grad, dst_grad, attn_grad = (part.new_zeros(part.shape) for part in (src, dst, attn))
    scale_grad = None if scale is None else scale.new_empty(scale.shape)
    if 0 in (rows, heads, len(indices)):
        return src_grad, dst_grad, attn_grad, scale_grad
    score_grad = torch.empty_like(alpha)
    attn_part = score_grad.new_empty(len(pieces), heads, d)  # as large as ``dst``: cheaper than several rows a program
    dst_part, src_part = partial_sums(pieces, dst_grad), partial_sums(t_pieces, src_grad)
    with torch.cuda.device_of(src):
        _gatv2_backward_rows[grid(len(pieces), heads, d)](
            score_grad,
            scale_grad,
            dst_grad,
            dst_part,
            attn_part,
            pieces.pointer,
            pieces.row,
            pieces.slot,
            *contiguous(indices, src, dst, attn, scale, grad, alpha, out),
            SLOPE=slope,
            **shape(src, d),
        )
        add_pieces(pieces, dst_part, dst_grad)
        _gatv2_backward_columns[grid(len(t_pieces), heads, d)](
            score_grad,
            src_grad,
            src_part,
            t_pieces.pointer,
            t_pieces.row,
            t_pieces.slot,
            *contiguous(t_indices, t_position, src, dst, attn, scale, grad, alpha),
            SLOPE=slope,
            **shape(src, d),
        )
        add_pieces(t_pieces, src_part, src_grad)
    return src_grad, dst_grad, attn_part.sum(0).to(attn.dtype), scale_grad


@triton.jit
@no_type_check
def _gatv2_forward(
    score,
    out,
    top_part,
    whole_part,
    mean_part,
    pointer,
    row,
    slot,
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
    own_row, own_slot, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_D)
    cell = head[:, None] * D + column[None, :]
    inside = within(head, column, H, D, BLOCK_H, BLOCK_D)
    ours = tl.load(dst + own_row * (H * D) + cell, mask=inside, other=0.0).to(ACC)
    vector = tl.load(attn + cell, mask=inside, other=0.0).to(ACC)
    best = tl.full((BLOCK_E, BLOCK_H), -3.0e38, ACC)
    total = tl.full((BLOCK_E, BLOCK_H), 0.0, ACC)
    gathered = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        there = at < stop
        source = tl.load(indices + tl.minimum(at, stop - 1)).to(tl.int64)
        place = at[:, None] * H + head[None, :]
        live = there[:, None] & (head < H)[None, :]
        theirs = gather(src, source, there, cell, inside, H * D, ACC)
        z = theirs + ours[None, :, :]
        s = tl.sum(tl.where(z > 0, z, SLOPE * z) * vector[None, :, :], axis=2)
        tl.store(score + place, s, mask=live)
        best, total, shrink, part = absorb(s, live, best, total)
        if scale is not None:
            part *= tl.load(scale + place, mask=live, other=0.0).to(ACC)
        gathered = gathered * shrink[:, :, None] + part[:, :, None] * theirs
    end_piece(
        best,
        total,
        gathered,
        score,
        out,
        top_part,
        whole_part,
        mean_part,
        own_row,
        own_slot,
        start,
        stop,
        head,
        cell,
        inside,
        H,
        H * D,
        BLOCK_E,
    )


@triton.jit
@no_type_check
def _gatv2_backward_rows(
    score_grad,
    scale_grad,
    dst_grad,
    dst_part,
    attn_part,
    pointer,
    row,
    slot,
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
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    piece = tl.program_id(0).to(tl.int64)
    own_row, own_slot, start, stop = piece_at(piece, pointer, row, slot)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_D)
    cell = head[:, None] * D + column[None, :]
    inside = within(head, column, H, D, BLOCK_H, BLOCK_D)
    own = own_row * (H * D) + cell
    ours = tl.load(dst + own, mask=inside, other=0.0).to(ACC)
    pull = tl.load(grad + own, mask=inside, other=0.0).to(ACC)
    vector = tl.load(attn + cell, mask=inside, other=0.0).to(ACC)
    level = tl.sum(pull * tl.load(out + own, mask=inside, other=0.0), axis=1)
    total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    attn_total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        there = at < stop
        source = tl.load(indices + tl.minimum(at, stop - 1)).to(tl.int64)
        place = at[:, None] * H + head[None, :]
        live = there[:, None] & (head < H)[None, :]
        theirs = gather(src, source, there, cell, inside, H * D, ACC)
        z = theirs + ours[None, :, :]
        share = tl.load(alpha + place, mask=live, other=0.0)
        gain = tl.sum(theirs * pull[None, :, :], axis=2)
        if scale is not None:
            tl.store(scale_grad + place, (share * gain).to(scale_grad.dtype.element_ty), mask=live)
            gain *= tl.load(scale + place, mask=live, other=0.0).to(ACC)
        ds = share * (gain - level[None, :])
        tl.store(score_grad + place, ds, mask=live)
        tile = ds[:, :, None]
        total += tl.where(z > 0, tile, SLOPE * tile)
        attn_total += tile * tl.where(z > 0, z, SLOPE * z)
    store_sum(tl.sum(total, axis=0) * vector, dst_grad, dst_part, own_row, own_slot, H * D, cell, inside)
    tl.store(attn_part + piece * (H * D) + cell, tl.sum(attn_total, axis=0), mask=inside)


@triton.jit
@no_type_check
def _gatv2_backward_columns(
    score_grad,
    src_grad,
    src_part,
    pointer,
    row,
    slot,
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
    own_row, own_slot, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column = tl.arange(0, BLOCK_D)
    cell = head[:, None] * D + column[None, :]
    inside = within(head, column, H, D, BLOCK_H, BLOCK_D)
    ours = tl.load(src + own_row * (H * D) + cell, mask=inside, other=0.0).to(ACC)
    vector = tl.load(attn + cell, mask=inside, other=0.0).to(ACC)
    total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        there = at < stop
        target = tl.load(indices + tl.minimum(at, stop - 1)).to(tl.int64)
        edge = tl.load(position + tl.minimum(at, stop - 1)).to(tl.int64)
        place = edge[:, None] * H + head[None, :]
        live = there[:, None] & (head < H)[None, :]
        beta = tl.load(alpha + place, mask=live, other=0.0)
        if scale is not None:
            beta *= tl.load(scale + place, mask=live, other=0.0).to(ACC)
        ds = tl.load(score_grad + place, mask=live, other=0.0)
        z = gather(dst, target, there, cell, inside, H * D, ACC) + ours[None, :, :]
        total += beta[:, :, None] * gather(grad, target, there, cell, inside, H * D, ACC)
        total += ds[:, :, None] * tl.where(z > 0, vector[None, :, :], SLOPE * vector[None, :, :])
    store_sum(tl.sum(total, axis=0), src_grad, src_part, own_row, own_slot, H * D, cell, inside)
