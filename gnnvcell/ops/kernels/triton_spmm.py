"""Triton kernels of the weighted sum of source features over the edges of each row."""

from typing import Any, NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.ops.row_pieces import RowPieces

_MAX_TILE_EDGES = 32
_MAX_WARPS = 8


class Tile(NamedTuple):
    """Values of one tile of edges x features, and how many of them a warp handles; both powers of two."""

    values: int
    per_warp: int

    def edges(self, width: int) -> tuple[int, int]:
        """How many edges of ``width`` padded values each a program handles per step, and with how many warps.

        Args:
            width: values per edge in the tile, a power of two.

        Returns:
            (edges per step, warps), both powers of two.
        """
        edges = max(1, min(_MAX_TILE_EDGES, self.values // width))
        return edges, max(1, min(_MAX_WARPS, edges * width // self.per_warp))


# 32 registers of each thread of one warp. Most rows are short, more threads would have no edges; and for sm_90 ptxas
# loads the tile of one warp at once, that of several bit by bit. The fastest choice of benchmarks/results/engine.md.
SUM_TILE = Tile(1024, 1024)
# A narrow tile reads the features of popular sources from a nearer cache, but the edges once for each tile.
MAX_BLOCK_D = 64
_SHORT_LIMIT = 2**31


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which a kernel sums features of ``dtype``: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def accumulator_type(dtype: torch.dtype) -> tl.dtype:
    """``accumulator`` as Triton names it."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def feature_block(d: int) -> int:
    """Width of the tiles into which ``d`` features are cut: a power of two, at most ``MAX_BLOCK_D``.

    Half of that where it saves an eighth of the padding and more.
    """
    widest = min(triton.next_power_of_2(d), MAX_BLOCK_D)
    half = max(1, widest // 2)
    return half if 8 * triton.cdiv(d, half) * half < 7 * triton.cdiv(d, widest) * widest else widest


def tile_options(tile: Tile, d: int, *parts: Tensor) -> dict[str, Any]:
    """Compile-time arguments of a kernel on tiles of edges x features.

    Args:
        tile: its size.
        d: number of features.
        parts: what the kernel finds by rows of ``d`` features; the first one's type is that of the features.
    """
    block_d = feature_block(d)
    block_e, warps = tile.edges(block_d)
    return {
        "ACC": accumulator_type(parts[0].dtype),
        "OFFSET": tl.int32 if all(part.numel() < _SHORT_LIMIT for part in parts) else tl.int64,
        "EVEN": d % block_d == 0,
        "BLOCK_E": block_e,
        "BLOCK_D": block_d,
        "num_warps": warps,
    }


def spmm_sum(
    pieces: RowPieces,
    indices: Int[Tensor, " edges"],
    feat: Float[Tensor, "src d"],
    weight: Float[Tensor, " edges"] | None = None,
    position: Int[Tensor, " edges"] | None = None,
) -> Float[Tensor, "dst d"]:
    """``out[v] = sum over row v of weight[e] * feat[u]``; zero where a row has no edges. No gradient.

    Sums in float32 (float64 for float64 features) in a fixed order, so the result is the same every time.

    Args:
        pieces: the rows of the adjacency.
        indices: source node at each position of the rows.
        feat: source features.
        weight: edge weights in row order; 1 when left out.
        position: the weight of position p is ``weight[position[p]]``; for a transposed adjacency.

    Returns:
        Destination features, in the type of ``feat``.
    """
    rows, d = pieces.num_rows, feat.shape[1]
    if 0 in (rows, d, len(indices)):
        return feat.new_zeros(rows, d)
    out = feat.new_empty(rows, d)
    partial = partial_sums(pieces, out)
    weight = None if weight is None else weight.contiguous()
    position = None if weight is None or position is None else position.contiguous()
    with torch.cuda.device_of(feat):
        _spmm_kernel[(len(pieces), triton.cdiv(d, feature_block(d)))](
            pieces.pointer,
            pieces.row,
            pieces.slot,
            indices.contiguous(),
            feat.contiguous(),
            weight,
            position,
            partial,
            out,
            d,
            **tile_options(SUM_TILE, d, feat, out),
        )
        add_pieces(pieces, partial, out)
    return out


def partial_sums(pieces: RowPieces, out: Tensor) -> Tensor | None:
    """Room for the sums of the pieces of cut rows, (slots, ...) as the rows of ``out``; None where no row is cut."""
    if not pieces.num_slots:
        return None
    return out.new_empty(pieces.num_slots, *out.shape[1:], dtype=accumulator(out.dtype))


def add_pieces(pieces: RowPieces, partial: Tensor | None, out: Tensor) -> None:
    """Write the sums of the cut rows into ``out`` (rows, ...), of ``partial`` as ``partial_sums`` made it."""
    if partial is None:
        return
    width = out[0].numel()
    options = tile_options(SUM_TILE, width, partial, out)
    _add_kernel[(len(pieces.cut), triton.cdiv(width, options["BLOCK_D"]))](  # type: ignore[arg-type]
        pieces.cut, pieces.cut_pointer, partial, out, width, **options
    )


# ``no_type_check`` keeps the run-time type check of the tests out of the kernels: Triton compiles no wrappers.
@triton.jit
@no_type_check
def piece_at(piece, pointer, row, slot):  # type: ignore[no-untyped-def]
    """Row, slot (-1 without one), first and last position of a piece."""
    start = tl.load(pointer + piece).to(tl.int64)
    stop = tl.load(pointer + piece + 1).to(tl.int64)
    own_row, own_slot = piece, piece * 0 - 1
    if row is not None:
        own_row = tl.load(row + piece).to(tl.int64)
        own_slot = tl.load(slot + piece).to(tl.int64)
    return own_row, own_slot, start, stop


@triton.jit
@no_type_check
def always(N: tl.constexpr):  # type: ignore[no-untyped-def]
    """A mask that lets everything through, which the compiler knows."""
    return tl.full((N,), 1, tl.int32) > 0


@triton.jit
@no_type_check
def store_sum(summed, out, partial, row, slot, width, cell, inside):  # type: ignore[no-untyped-def]
    """Store the sum over a piece: into the row, or where it has one into its slot."""
    if slot < 0:
        tl.store(out + row * width + cell, summed.to(out.dtype.element_ty), mask=inside)
    elif partial is not None:
        tl.store(partial + slot * width + cell, summed, mask=inside)


@triton.jit
@no_type_check
def _spmm_kernel(
    pointer,
    row,
    slot,
    indices,
    feat,
    weight,
    position,
    partial,
    out,
    d,
    ACC: tl.constexpr,
    OFFSET: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    own_row, own_slot, start, stop = piece_at(tl.program_id(0).to(tl.int64), pointer, row, slot)
    column = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = always(BLOCK_D) if EVEN else column < d
    edge = tl.arange(0, BLOCK_E)
    total = tl.full((BLOCK_E, BLOCK_D), 0.0, ACC)
    # Full tiles need no masks, without which the loads of a tile do not wait for each other.
    every = always(BLOCK_E)
    full = stop - (stop - start) % BLOCK_E
    for first in range(start, full, BLOCK_E):
        total += _messages(first + edge, every, indices, feat, weight, position, d, column, inside, ACC, OFFSET)
    if full < stop:
        at = full + edge
        total += _messages(at, at < stop, indices, feat, weight, position, d, column, inside, ACC, OFFSET)
    store_sum(tl.sum(total, axis=0), out, partial, own_row, own_slot, d, column, inside)


@triton.jit
@no_type_check
def _messages(at, live, indices, feat, weight, position, d, column, inside, ACC: tl.constexpr, OFFSET: tl.constexpr):  # type: ignore[no-untyped-def]
    source = tl.load(indices + at, mask=live, other=0).to(OFFSET)
    tile = tl.load(feat + source[:, None] * d + column[None, :], mask=live[:, None] & inside[None, :], other=0.0)
    values = tile.to(ACC)
    if weight is not None:
        if position is not None:
            at = tl.load(position + at, mask=live, other=0).to(tl.int64)
        values *= tl.load(weight + at, mask=live, other=0.0).to(ACC)[:, None]
    return values


@triton.jit
@no_type_check
def _add_kernel(
    cut,
    cut_pointer,
    partial,
    out,
    width,
    ACC: tl.constexpr,
    OFFSET: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    number = tl.program_id(0)
    row = tl.load(cut + number).to(tl.int64)
    start = tl.load(cut_pointer + number).to(OFFSET)
    stop = tl.load(cut_pointer + number + 1).to(OFFSET)
    column = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = always(BLOCK_D) if EVEN else column < width
    total = tl.full((BLOCK_E, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        live = (at < stop)[:, None] & inside[None, :]
        total += tl.load(partial + at[:, None] * width + column[None, :], mask=live, other=0.0)
    tl.store(out + row * width + column, tl.sum(total, axis=0).to(out.dtype.element_ty), mask=inside)
