"""Triton kernel of the inner products of the features at the two ends of each edge."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.ops.kernels.triton_spmm import Tile, always, piece_at, tile_options
from gnnvcell.ops.row_pieces import RowPieces

_TILE = Tile(512, 512)


def sddmm_dot(
    pieces: RowPieces,
    indices: Int[Tensor, " edges"],
    src_feat: Float[Tensor, "src d"],
    dst_feat: Float[Tensor, "dst d"],
) -> Float[Tensor, " edges"]:
    """``score[e] = <src_feat[u], dst_feat[v]>`` for every edge u -> v, in row order. No gradient.

    Args:
        pieces: the rows of the adjacency.
        indices: source node at each position of the rows.
        src_feat: features of source nodes.
        dst_feat: features of destination nodes.

    Returns:
        One score per edge, in the type of ``src_feat``; summed in float32 (float64 for float64 features).
    """
    rows, d = dst_feat.shape
    if 0 in (rows, d, len(indices)):
        return src_feat.new_zeros(len(indices))
    out = src_feat.new_empty(len(indices))
    with torch.cuda.device_of(src_feat):
        _sddmm_kernel[(len(pieces),)](
            pieces.pointer,
            pieces.row,
            pieces.slot,
            indices.contiguous(),
            src_feat.contiguous(),
            dst_feat.contiguous(),
            out,
            d,
            **tile_options(_TILE, d, src_feat, dst_feat),
        )
    return out


@triton.jit
@no_type_check
def _sddmm_kernel(
    pointer,
    row,
    slot,
    indices,
    src_feat,
    dst_feat,
    out,
    d,
    ACC: tl.constexpr,
    OFFSET: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    own_row, _, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        live = at < stop
        source = tl.load(indices + tl.minimum(at, stop - 1)).to(OFFSET)
        total = tl.full((BLOCK_E, BLOCK_D), 0.0, ACC)
        for left in range(0, d, BLOCK_D):
            column = left + tl.arange(0, BLOCK_D)
            inside = always(BLOCK_D) if EVEN else column < d
            ours = tl.load(dst_feat + own_row * d + column, mask=inside, other=0.0).to(ACC)
            # Lanes without an edge read the last one, and store nothing: masked loads would wait for each other.
            theirs = tl.load(src_feat + source[:, None] * d + column[None, :], mask=inside[None, :], other=0.0).to(ACC)
            total += theirs * ours[None, :]
        tl.store(out + at, tl.sum(total, axis=1).to(out.dtype.element_ty), mask=live)
