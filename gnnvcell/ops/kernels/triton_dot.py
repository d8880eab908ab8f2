"""Triton kernels of dot-product attention over the edges of each row: scores, softmax and weighted sum in one pass.

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


def dot_forward(
    pieces: RowPieces,
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
        pieces: the rows of the adjacency.
        indices: source node at each position of the rows.
        query: of destination nodes.
        key, value: of source nodes.
        sm_scale: factor of the scores; a new value compiles a new kernel.
        scale: factor of each edge and head after the softmax, in row order; 1 when left out.

    Returns:
        (out, alpha): alpha in row order, without ``scale``; both in float32 (float64 for float64 features), since a
        backward pass would put the rounding of shorter ones on every edge.
    """
    rows, heads, d = query.shape
    dv = value.shape[2]
    out = value.new_zeros(rows, heads, dv, dtype=accumulator(value.dtype))
    alpha = out.new_empty(len(indices), heads)  # holds the scores first
    if 0 in (rows, heads, len(indices)):
        return out, alpha
    parts = softmaxes(pieces, value)
    with torch.cuda.device_of(value):
        _dot_forward[grid(len(pieces), heads, d, dv)](
            alpha,
            out,
            *parts,
            pieces.pointer,
            pieces.row,
            pieces.slot,
            *contiguous(indices, query, key, value, scale),
            SM_SCALE=sm_scale,
            **shape(value, d, dv),
        )
        merge_softmaxes(pieces, parts, alpha, out)
    return out, alpha


def dot_backward(
    grad: Float[Tensor, "dst heads dv"],
    pieces: RowPieces,
    indices: Int[Tensor, " edges"],
    t_pieces: RowPieces,
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
        pieces, indices, query, key, value, sm_scale, scale: as given to ``dot_forward``.
        t_pieces, t_indices, t_position: the transposed adjacency, as in ``gatv2_backward``.
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
    score_grad = torch.empty_like(alpha)
    query_part = partial_sums(pieces, query_grad)
    key_part, value_part = partial_sums(t_pieces, key_grad), partial_sums(t_pieces, value_grad)
    with torch.cuda.device_of(value):
        _dot_backward_rows[grid(len(pieces), heads, d, dv)](
            score_grad,
            scale_grad,
            query_grad,
            query_part,
            pieces.pointer,
            pieces.row,
            pieces.slot,
            *contiguous(indices, key, value, scale, grad, alpha, out),
            SM_SCALE=sm_scale,
            **shape(value, d, dv),
        )
        add_pieces(pieces, query_part, query_grad)
        _dot_backward_columns[grid(len(t_pieces), heads, d, dv)](
            score_grad,
            key_grad,
            value_grad,
            key_part,
            value_part,
            t_pieces.pointer,
            t_pieces.row,
            t_pieces.slot,
            *contiguous(t_indices, t_position, query, scale, grad, alpha),
            SM_SCALE=sm_scale,
            **shape(value, d, dv),
        )
        add_pieces(t_pieces, key_part, key_grad)
        add_pieces(t_pieces, value_part, value_grad)
    return query_grad, key_grad, value_grad, scale_grad


@triton.jit
@no_type_check
def _dot_forward(
    score,
    out,
    top_part,
    whole_part,
    mean_part,
    pointer,
    row,
    slot,
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
    own_row, own_slot, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column, value_column = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DV)
    cell = head[:, None] * D + column[None, :]
    value_cell = head[:, None] * DV + value_column[None, :]
    inside = within(head, column, H, D, BLOCK_H, BLOCK_D)
    value_inside = within(head, value_column, H, DV, BLOCK_H, BLOCK_DV)
    ours = tl.load(query + own_row * (H * D) + cell, mask=inside, other=0.0).to(ACC)
    best = tl.full((BLOCK_E, BLOCK_H), -3.0e38, ACC)
    total = tl.full((BLOCK_E, BLOCK_H), 0.0, ACC)
    gathered = tl.full((BLOCK_E, BLOCK_H, BLOCK_DV), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        there = at < stop
        source = tl.load(indices + tl.minimum(at, stop - 1)).to(tl.int64)
        place = at[:, None] * H + head[None, :]
        live = there[:, None] & (head < H)[None, :]
        theirs = gather(key, source, there, cell, inside, H * D, ACC)
        s = tl.sum(theirs * ours[None, :, :], axis=2) * SM_SCALE
        tl.store(score + place, s, mask=live)
        best, total, shrink, part = absorb(s, live, best, total)
        if scale is not None:
            part *= tl.load(scale + place, mask=live, other=0.0).to(ACC)
        given = gather(value, source, there, value_cell, value_inside, H * DV, ACC)
        gathered = gathered * shrink[:, :, None] + part[:, :, None] * given
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
        value_cell,
        value_inside,
        H,
        H * DV,
        BLOCK_E,
    )


@triton.jit
@no_type_check
def _dot_backward_rows(
    score_grad,
    scale_grad,
    query_grad,
    query_part,
    pointer,
    row,
    slot,
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
    own_row, own_slot, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column, value_column = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DV)
    cell = head[:, None] * D + column[None, :]
    value_cell = head[:, None] * DV + value_column[None, :]
    inside = within(head, column, H, D, BLOCK_H, BLOCK_D)
    value_inside = within(head, value_column, H, DV, BLOCK_H, BLOCK_DV)
    own = own_row * (H * DV) + value_cell
    pull = tl.load(grad + own, mask=value_inside, other=0.0).to(ACC)
    level = tl.sum(pull * tl.load(out + own, mask=value_inside, other=0.0), axis=1)
    total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        there = at < stop
        source = tl.load(indices + tl.minimum(at, stop - 1)).to(tl.int64)
        place = at[:, None] * H + head[None, :]
        live = there[:, None] & (head < H)[None, :]
        given = gather(value, source, there, value_cell, value_inside, H * DV, ACC)
        share = tl.load(alpha + place, mask=live, other=0.0)
        gain = tl.sum(given * pull[None, :, :], axis=2)
        if scale is not None:
            tl.store(scale_grad + place, (share * gain).to(scale_grad.dtype.element_ty), mask=live)
            gain *= tl.load(scale + place, mask=live, other=0.0).to(ACC)
        ds = share * (gain - level[None, :])
        tl.store(score_grad + place, ds, mask=live)
        theirs = gather(key, source, there, cell, inside, H * D, ACC)
        total += ds[:, :, None] * theirs
    summed = tl.sum(total, axis=0) * SM_SCALE
    store_sum(summed, query_grad, query_part, own_row, own_slot, H * D, cell, inside)


@triton.jit
@no_type_check
def _dot_backward_columns(
    score_grad,
    key_grad,
    value_grad,
    key_part,
    value_part,
    pointer,
    row,
    slot,
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
    own_row, own_slot, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    column, value_column = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_DV)
    cell = head[:, None] * D + column[None, :]
    value_cell = head[:, None] * DV + value_column[None, :]
    inside = within(head, column, H, D, BLOCK_H, BLOCK_D)
    value_inside = within(head, value_column, H, DV, BLOCK_H, BLOCK_DV)
    key_total = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
    value_total = tl.full((BLOCK_E, BLOCK_H, BLOCK_DV), 0.0, ACC)
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
        asked = gather(query, target, there, cell, inside, H * D, ACC)
        key_total += ds[:, :, None] * asked
        pull = gather(grad, target, there, value_cell, value_inside, H * DV, ACC)
        value_total += beta[:, :, None] * pull
    summed = tl.sum(key_total, axis=0) * SM_SCALE
    store_sum(summed, key_grad, key_part, own_row, own_slot, H * D, cell, inside)
    summed = tl.sum(value_total, axis=0)
    store_sum(summed, value_grad, value_part, own_row, own_slot, H * DV, value_cell, value_inside)
