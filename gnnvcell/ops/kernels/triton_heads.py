"""What the Triton attention kernels share: tiles of heads, the running softmax of a row and its parts."""

from typing import Any, no_type_check

import triton
import triton.language as tl
from torch import Tensor

from gnnvcell.ops.kernels.triton_spmm import Tile, accumulator, accumulator_type, always
from gnnvcell.ops.row_pieces import RowPieces

# Heads whose padded features fit in this many values share a program.
_MAX_HEADS_VALUES = 128
HEADS_TILE = Tile(1024, 512)  # edges x heads x features; the fastest choice of benchmarks/results/engine.md


def contiguous(*parts: Tensor | None) -> tuple[Any, ...]:
    """The tensors as kernels read them; what is None stays None."""
    return tuple(None if part is None else part.contiguous() for part in parts)


def _heads_block(heads: int, *widths: int) -> int:
    width = max(triton.next_power_of_2(width) for width in widths)
    return min(triton.next_power_of_2(heads), max(1, _MAX_HEADS_VALUES // width))


def grid(pieces: int, heads: int, *widths: int) -> tuple[int, int]:
    """Programs per piece and per block of heads."""
    return pieces, triton.cdiv(heads, _heads_block(heads, *widths))


def shape(feat: Tensor, *widths: int) -> dict[str, Any]:
    """Compile-time arguments of a kernel over heads of ``widths`` features; the second width is that of values."""
    heads = feat.shape[1]
    padded = [triton.next_power_of_2(width) for width in widths]
    block_h = _heads_block(heads, *widths)
    block_e, warps = HEADS_TILE.edges(block_h * max(padded))
    shape = {"H": heads, "D": widths[0], "BLOCK_E": block_e, "BLOCK_H": block_h, "BLOCK_D": padded[0]}
    if len(widths) == 2:
        shape |= {"DV": widths[1], "BLOCK_DV": padded[1]}
    return shape | {"ACC": accumulator_type(feat.dtype), "num_warps": warps}


Softmaxes = tuple[Tensor, Tensor, Tensor] | tuple[None, None, None]


def softmaxes(pieces: RowPieces, value: Tensor) -> Softmaxes:
    """Room for the softmax of each piece of the cut rows, for itself; nothing where no row is cut.

    Args:
        pieces: the rows.
        value: (nodes, heads, d) what is averaged.

    Returns:
        (top, whole, mean): (slots, heads) largest scores and divisors, and (slots, heads, d) weighted means.
    """
    if not pieces.num_slots:
        return None, None, None
    mean = value.new_empty(pieces.num_slots, *value.shape[1:], dtype=accumulator(value.dtype))
    top, whole = mean.new_empty(2, *mean.shape[:2])
    return top, whole, mean


def merge_softmaxes(pieces: RowPieces, parts: Softmaxes, score: Tensor, out: Tensor) -> None:
    """Finish the cut rows: their scores become attention, and ``out`` (rows, heads, d) their weighted means."""
    if parts[0] is None:
        return
    heads, d = out.shape[1:]
    _merge_kernel[grid(pieces.num_slots, heads, d)](
        pieces.pointer,
        pieces.cut,
        pieces.cut_pointer,
        pieces.slot_piece,
        pieces.slot_cut,
        *parts,
        score,
        out,
        **shape(out, d),
    )


@triton.jit
@no_type_check
def within(head, column, H: tl.constexpr, D: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_D: tl.constexpr):  # type: ignore[no-untyped-def]
    """Which values of a tile (heads, features) there are; where all are, the compiler knows it."""
    if H % BLOCK_H == 0 and D == BLOCK_D:
        return always(BLOCK_H)[:, None] & always(BLOCK_D)[None, :]
    return (head < H)[:, None] & (column < D)[None, :]


@triton.jit
@no_type_check
def gather(feat, node, live, cell, inside, WIDTH: tl.constexpr, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    """Features (edges, heads, d) of nodes, zero for lanes without an edge.

    Those lanes read the node of the last edge: the masked loads of a tile would wait for each other.
    """
    tile = tl.load(feat + node[:, None, None] * WIDTH + cell[None, :, :], mask=inside[None, :, :], other=0.0)
    return tl.where(live[:, None, None], tile.to(ACC), 0.0)


@triton.jit
@no_type_check
def absorb(score, live, best, total):  # type: ignore[no-untyped-def]
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
def finish(best, total, gathered):  # type: ignore[no-untyped-def]
    """Merge the lanes of a running softmax: the row's maxima, its divisors and its weighted sums."""
    top = tl.max(best, axis=0)
    factor = tl.exp(best - top[None, :])
    whole = tl.sum(total * factor, axis=0)
    whole = tl.where(whole == 0, 1.0, whole)
    return top, whole, tl.sum(gathered * factor[:, :, None], axis=0) / whole[:, None]


@triton.jit
@no_type_check
def store_alpha(score, start, stop, head, top, whole, H: tl.constexpr, BLOCK_E: tl.constexpr):  # type: ignore[no-untyped-def]
    """Turn the scores of a piece into attention, once every thread of the program has stored its scores."""
    tl.debug_barrier()
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        slot = at[:, None] * H + head[None, :]
        live = (at < stop)[:, None] & (head < H)[None, :]
        share = tl.exp(tl.load(score + slot, mask=live, other=float("-inf")) - top[None, :]) / whole[None, :]
        tl.store(score + slot, share, mask=live)


@triton.jit
@no_type_check
def end_piece(
    best,
    total,
    gathered,
    score,
    out,
    top_part,
    whole_part,
    mean_part,
    row,
    slot,
    start,
    stop,
    head,
    cell,
    inside,
    H: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK_E: tl.constexpr,
):  # type: ignore[no-untyped-def]
    """Finish a row of one piece, or keep what ``_merge_kernel`` needs of this piece; WIDTH is that of all heads."""
    top, whole, mean = finish(best, total, gathered)
    if slot < 0:
        tl.store(out + row * WIDTH + cell, mean, mask=inside)
        store_alpha(score, start, stop, head, top, whole, H, BLOCK_E)
    elif mean_part is not None:
        tl.store(mean_part + slot * WIDTH + cell, mean, mask=inside)
        tl.store(top_part + slot * H + head, top, mask=head < H)
        tl.store(whole_part + slot * H + head, whole, mask=head < H)


@triton.jit
@no_type_check
def _merge_kernel(
    pointer,
    cut,
    cut_pointer,
    slot_piece,
    slot_cut,
    top_part,
    whole_part,
    mean_part,
    score,
    out,
    H: tl.constexpr,
    D: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    # Every piece finds the maximum and divisor of its row again: they are few. The first one writes the row.
    slot = tl.program_id(0)
    piece, number = tl.load(slot_piece + slot), tl.load(slot_cut + slot)
    start, stop = tl.load(pointer + piece).to(tl.int64), tl.load(pointer + piece + 1).to(tl.int64)
    first_slot, last_slot = tl.load(cut_pointer + number).to(tl.int64), tl.load(cut_pointer + number + 1).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    best = tl.full((BLOCK_E, BLOCK_H), -3.0e38, ACC)
    total = tl.full((BLOCK_E, BLOCK_H), 0.0, ACC)
    for first in range(first_slot, last_slot, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        live = (at < last_slot)[:, None] & (head < H)[None, :]
        place = at[:, None] * H + head[None, :]
        top = tl.load(top_part + place, mask=live, other=-3.0e38)
        whole = tl.load(whole_part + place, mask=live, other=0.0)
        higher = tl.maximum(best, top)
        total = total * tl.exp(best - higher) + whole * tl.exp(top - higher)
        best = higher
    row_top = tl.max(best, axis=0)
    row_whole = tl.sum(total * tl.exp(best - row_top[None, :]), axis=0)
    row_whole = tl.where(row_whole == 0, 1.0, row_whole)
    store_alpha(score, start, stop, head, row_top, row_whole, H, BLOCK_E)
    if slot == first_slot:
        column = tl.arange(0, BLOCK_D)
        cell = head[:, None] * D + column[None, :]
        inside = (head < H)[:, None] & (column < D)[None, :]
        mean = tl.full((BLOCK_E, BLOCK_H, BLOCK_D), 0.0, ACC)
        for first in range(first_slot, last_slot, BLOCK_E):
            at = first + tl.arange(0, BLOCK_E)
            live = (at < last_slot)[:, None] & (head < H)[None, :]
            place = at[:, None] * H + head[None, :]
            top = tl.load(top_part + place, mask=live, other=float("-inf"))
            share = tl.load(whole_part + place, mask=live, other=0.0) * tl.exp(top - row_top[None, :])
            address = mean_part + at[:, None, None] * (H * D) + cell[None, :, :]
            part = tl.load(address, mask=live[:, :, None] & inside[None, :, :], other=0.0)
            mean += share[:, :, None] * part
        row = tl.load(cut + number).to(tl.int64)
        tl.store(out + row * (H * D) + cell, tl.sum(mean, axis=0) / row_whole[:, None], mask=inside)
