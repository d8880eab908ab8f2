"""Which tiles and pieces of rows suit a device: times the Triton kernels with other constants, in half a minute.

    python benchmarks/speed/spmm_variants.py        on a machine with a CUDA device

One line per choice, then the choices in order. The constants are those of ``ops/kernels/triton_spmm.py``
(``SUM_TILE``, ``MAX_BLOCK_D``), ``ops/kernels/triton_heads.py`` (``HEADS_TILE``) and ``ops/row_pieces.py``
(``PIECE_EDGES``).
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from power_law import NODES, power_law  # pyright: ignore[reportMissingImports]

from gnnvcell.ops import Adjacency, aggregate, gatv2_aggregate, use
from gnnvcell.ops.kernels import torch_csr, triton_heads, triton_spmm
from gnnvcell.ops.row_pieces import cut_rows

DEVICE = "cuda"
SIZES = (500_000, 3_000_000)
BUDGET = 40.0  # seconds after which no new choice is tried
CALLS, ROUNDS = 10, 3
UNCUT = 2**31 - 1


@dataclass(frozen=True)
class Choice:
    """One setting of the constants; ``block`` is the widest tile."""

    piece: int = 256
    tile: int = 1024
    warps: int = 1
    block: int = 64

    def set(self) -> None:
        """Make it the kernels' own."""
        triton_spmm.SUM_TILE = triton_heads.HEADS_TILE = triton_spmm.Tile(self.tile, self.tile // self.warps)
        triton_spmm.MAX_BLOCK_D = self.block

    def __str__(self) -> str:
        piece = "whole" if self.piece == UNCUT else self.piece
        return f"piece {piece:>5}  tile {self.tile:>4}  warps {self.warps}  block {self.block:>3}"


SUMS = (
    Choice(),
    *(Choice(piece=piece) for piece in (128, 512, 1024)),
    Choice(block=32),
    Choice(block=128),
    Choice(tile=512),
    Choice(warps=2),
    Choice(tile=512, block=128),
    Choice(tile=2048, warps=4, block=128),
    Choice(piece=UNCUT),
)
ATTENTION = (Choice(warps=2), Choice(), Choice(tile=512), Choice(piece=128, warps=2), Choice(piece=512, warps=2))


def microseconds(function: Callable[[], object]) -> float:
    """Per call, the device's own clock, median of the rounds; the host may be what it waits for."""
    function()
    function()
    times = []
    for _ in range(ROUNDS):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(CALLS):
            function()
        stop.record()
        stop.synchronize()
        times.append(1e3 * start.elapsed_time(stop) / CALLS)
    return float(np.median(times))


def shapes() -> Iterator[tuple[str, Adjacency, torch.Tensor, torch.Tensor]]:
    """Name, adjacency, features and weights."""
    for edges in reversed(SIZES):
        graph = power_law(edges)
        adjacency, weight = graph.adjacency.to(DEVICE), graph.weight.to(DEVICE)
        for width in (256, 64, 672):
            feat = graph.feat(NODES, width).to(DEVICE)
            yield f"E={edges:>8,} d={width:>3} float32 ", adjacency, feat, weight
            if width == 256:
                yield f"E={edges:>8,} d={width:>3} bfloat16", adjacency, feat.bfloat16(), weight.bfloat16()


def race_sums(deadline: float) -> None:
    """Every choice for every shape, against torch's product."""
    ratios: dict[Choice, list[float]] = {}
    for name, adjacency, feat, weight in shapes():
        theirs = microseconds(lambda: torch_csr.spmm_sum(adjacency, feat, weight))  # noqa: B023 - called at once
        first = torch_csr.spmm_sum(adjacency, feat, weight)
        again = all(torch.equal(first, torch_csr.spmm_sum(adjacency, feat, weight)) for _ in range(10))
        print(f"sum  {name}  torch CSR  {theirs:8.1f} us   the same bits in 10 calls: {again}", flush=True)
        for choice in SUMS:
            if time.perf_counter() > deadline:
                print("sum  out of time: what follows was left out")
                break
            choice.set()
            pieces = cut_rows(adjacency.indptr, choice.piece)
            ours = microseconds(lambda: triton_spmm.spmm_sum(pieces, adjacency.indices, feat, weight))  # noqa: B023
            ratios.setdefault(choice, []).append(theirs / ours)
            print(f"sum  {name}  {choice}  {ours:8.1f} us  {theirs / ours:5.2f} x torch CSR", flush=True)
    print("choices by the geometric mean of their speed against torch CSR (and the worst), over the shapes each saw:")
    for choice, found in sorted(ratios.items(), key=lambda item: -float(np.mean(np.log(item[1])))):
        print(f"best {choice}  {np.exp(np.mean(np.log(found))):5.2f}  ({min(found):.2f})  {len(found)} shapes")


def race_attention(deadline: float) -> None:
    """GATv2 forward and backward, 4 heads of 16."""
    graph = power_law(SIZES[-1])
    adjacency = Adjacency.from_dgl(graph.dgl).to(DEVICE)
    src, attn = graph.feat(NODES, 4, 16).to(DEVICE).requires_grad_(), graph.feat(4, 16).to(DEVICE)

    def call() -> None:
        torch.autograd.grad(gatv2_aggregate(adjacency, src, src, attn)[0].sum(), src)

    for choice in ATTENTION:
        if time.perf_counter() > deadline:
            print("gatv2 out of time: what follows was left out")
            return
        choice.set()
        for side in (adjacency, adjacency.transpose):
            side.__dict__["pieces"] = cut_rows(side.indptr, choice.piece)
        print(f"gatv2 E={SIZES[-1]:,} 4 x 16, forward + backward  {choice}  {microseconds(call):8.1f} us", flush=True)


def race_hosts() -> None:
    """What a call costs the host, on a graph that costs the device nothing."""
    Choice().set()
    ends = torch.randint(0, 100, (2, 1000), generator=torch.Generator().manual_seed(0), device="cpu")
    adjacency = Adjacency(ends[0], ends[1], 100, 100).to(DEVICE)
    feat, weight = torch.ones(100, 64, device=DEVICE), torch.ones(1000, device=DEVICE)
    whole, cut = cut_rows(adjacency.indptr), cut_rows(adjacency.indptr, 4)

    def product(kernel: str) -> None:
        with use(kernel):
            aggregate(adjacency, feat, weight)

    calls = {
        "aggregate, torch CSR": lambda: product("torch_csr"),
        "aggregate, triton": lambda: product("triton"),
        "kernel alone": lambda: triton_spmm.spmm_sum(whole, adjacency.indices, feat, weight),
        "kernel and its second launch": lambda: triton_spmm.spmm_sum(cut, adjacency.indices, feat, weight),
    }
    for name, call in calls.items():
        print(f"host {name:<30} {microseconds(call):6.1f} us a call", flush=True)


def main() -> None:
    """Race them all."""
    start = time.perf_counter()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    race_hosts()
    race_sums(start + 0.7 * BUDGET)
    race_attention(start + BUDGET)
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
