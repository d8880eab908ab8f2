"""What the Triton attention kernels share: tiles of heads, the running softmax of a row and its parts."""

from typing import Any, no_type_check

import triton
import triton.language as tl
from torch import Tensor

from gnnvcell.ops.kernels.triton_spmm import accumulator_type, edge_tile

# Heads whose padded features fit in this many values share a program.
_MAX_HEADS_VALUES = 256


def contiguous(*parts: Tensor | None) -> tuple[Any, ...]:
    """The tensors as kernels read them; what is None stays None."""
    return tuple(None if part is None else part.contiguous() for part in parts)


def _heads_block(heads: int, *widths: int) -> int:
    width = max(triton.next_power_of_2(width) for width in widths)
    return min(triton.next_power_of_2(heads), max(1, _MAX_HEADS_VALUES // width))


def grid(rows: int, heads: int, *widths: int) -> tuple[int, int]:
    """Programs per row and per block of heads."""
    return rows, triton.cdiv(heads, _heads_block(heads, *widths))


def shape(feat: Tensor, *widths: int) -> dict[str, Any]:
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
def store_alpha(score, alpha, start, stop, head, top, whole, H: tl.constexpr, BLOCK_E: tl.constexpr):  # type: ignore[no-untyped-def]
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
def level_of(
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
