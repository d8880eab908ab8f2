"""Triton kernel of the weighted sum of source features over the edges of each row."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

# Values of one tile of edges x features: 16 registers of each of 128 threads.
_TILE_VALUES = 2048
_MAX_TILE_EDGES = 32
_VALUES_PER_WARP = 512
_MAX_WARPS = 8
_MAX_BLOCK_D = 128


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which a kernel sums features of ``dtype``: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def accumulator_type(dtype: torch.dtype) -> tl.dtype:
    """``accumulator`` as Triton names it."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def edge_tile(width: int) -> tuple[int, int]:
    """How many edges of ``width`` padded values each a program handles per step, and with how many warps.

    Args:
        width: values per edge in the tile, a power of two.

    Returns:
        (edges per step, warps), both powers of two.
    """
    edges = max(1, min(_MAX_TILE_EDGES, _TILE_VALUES // width))
    return edges, max(1, min(_MAX_WARPS, edges * width // _VALUES_PER_WARP))


def tile_options(dtype: torch.dtype, block_d: int) -> dict[str, Any]:
    """Compile-time arguments of a kernel on tiles of edges x ``block_d`` features of ``dtype``."""
    block_e, warps = edge_tile(block_d)
    return {"ACC": accumulator_type(dtype), "BLOCK_E": block_e, "BLOCK_D": block_d, "num_warps": warps}


def feature_block(d: int) -> int:
    """Width of the tiles into which ``d`` features are cut: a power of two, at most 128."""
    return min(triton.next_power_of_2(d), _MAX_BLOCK_D)


def spmm_sum(
    indptr: Int[Tensor, " rows_and_one"],
    indices: Int[Tensor, " edges"],
    feat: Float[Tensor, "src d"],
    weight: Float[Tensor, " edges"] | None = None,
    position: Int[Tensor, " edges"] | None = None,
) -> Float[Tensor, "dst d"]:
    """``out[v] = sum over row v of weight[e] * feat[u]``; zero where a row has no edges. No gradient.

    Sums in float32 (float64 for float64 features) in a fixed order, so the result is the same every time.

    Args:
        indptr: (dst + 1,) where each row starts.
        indices: source node at each position of the rows.
        feat: source features.
        weight: edge weights in row order; 1 when left out.
        position: the weight of position p is ``weight[position[p]]``; for a transposed adjacency.

    Returns:
        Destination features, in the type of ``feat``.
    """
    rows, d = len(indptr) - 1, feat.shape[1]
    if 0 in (rows, d, len(indices)):
        return feat.new_zeros(rows, d)
    out = feat.new_empty(rows, d)
    block_d = feature_block(d)
    weight = None if weight is None else weight.contiguous()
    position = None if weight is None or position is None else position.contiguous()
    with torch.cuda.device_of(feat):
        _spmm_kernel[(rows, triton.cdiv(d, block_d))](
            indptr.contiguous(),
            indices.contiguous(),
            feat.contiguous(),
            weight,
            position,
            out,
            d,
            **tile_options(feat.dtype, block_d),
        )
    return out


# ``no_type_check`` keeps the run-time type check of the tests out of the kernels: Triton compiles no wrappers.
@triton.jit
@no_type_check
def _spmm_kernel(
    indptr,
    indices,
    feat,
    weight,
    position,
    out,
    d,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = column < d
    start = tl.load(indptr + row).to(tl.int64)
    stop = tl.load(indptr + row + 1).to(tl.int64)
    total = tl.full((BLOCK_E, BLOCK_D), 0.0, ACC)
    for first in range(start, stop, BLOCK_E):
        at = first + tl.arange(0, BLOCK_E)
        live = at < stop
        source = tl.load(indices + at, mask=live, other=0).to(tl.int64)
        tile = tl.load(feat + source[:, None] * d + column[None, :], mask=live[:, None] & inside[None, :], other=0.0)
        values = tile.to(ACC)
        if weight is not None:
            if position is not None:
                at = tl.load(position + at, mask=live, other=0).to(tl.int64)
            values *= tl.load(weight + at, mask=live, other=0.0).to(ACC)[:, None]
        total += values
    tl.store(out + row * d + column, tl.sum(total, axis=0).to(out.dtype.element_ty), mask=inside)
