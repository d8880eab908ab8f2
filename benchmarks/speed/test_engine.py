"""The message-passing engine against DGL and PyG.

    make bench

Both sides run turn by turn in one process; the table of ratios is printed at the end. ``MALLOC_*`` of the Makefile lets
every side reuse its buffers, which helps PyG most. The pytest-benchmark table has our absolute times.
"""

import functools
import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from contest import RESULTS, Outcome, compete  # pyright: ignore[reportMissingImports]
from power_law import NODES, PowerLaw, power_law  # pyright: ignore[reportMissingImports]

from gnnvcell._dgl import dgl
from gnnvcell.nn.conv import GATv2Conv, RelGraphConv
from gnnvcell.ops import Adjacency, aggregate, diffuse

SIZES = {"500k": 500_000, "3M": 3_000_000}
GROUP = 96  # 672 = 7 x 96: within the 64 to 128 columns that stay in the cache


@pytest.fixture(autouse=True)
def as_many_threads_as_named(request: pytest.FixtureRequest) -> Iterator[None]:
    """pytest-benchmark's own rounds run on as many threads as the contest."""
    before = torch.get_num_threads()
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and "threads" in callspec.params:
        torch.set_num_threads(callspec.params["threads"])
    yield
    torch.set_num_threads(before)


sizes = pytest.mark.parametrize("size", SIZES)
threads = pytest.mark.parametrize("threads", [1, 2])
NO_PYG = "pip install torch-geometric to race PyG"
PAIRS_TOO_LARGE = 6 * 2**30  # bytes that a rival may make per call on this machine


def grouped(graph: PowerLaw, width: int) -> torch.Tensor:
    return graph.feat(width // GROUP, NODES, GROUP)


def enough_rounds(size: str) -> int:
    return 7 if size == "500k" else 5


@sizes
@threads
@pytest.mark.parametrize(("width", "target"), [(64, 10), (256, 8), (672, 10)])
def test_weighted_sum_against_dgl(benchmark, size, threads, width, target) -> None:
    graph = power_law(SIZES[size])
    flat, weight = graph.feat(NODES, width), graph.weight
    mine = grouped(graph, width) if width == 672 else flat
    column = weight[:, None]
    theirs = functools.partial(dgl.ops.u_mul_e_sum, graph.dgl, flat, column)
    ours = functools.partial(aggregate, graph.adjacency, mine, weight)
    if width != 672:
        torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-3)
    compete(
        ours, theirs, case=f"weighted sum, E={size}, d={width}{' grouped' * (width == 672)}, forward",
        rival="DGL u_mul_e_sum", target=target, threads=threads, rounds=enough_rounds(size),
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


@sizes
@threads
@pytest.mark.parametrize(("width", "target"), [(64, 1.0), (256, 1.0), (672, 1.8)])
def test_plain_sum_against_dgl(benchmark, size, threads, width, target) -> None:
    graph = power_law(SIZES[size])
    flat = graph.feat(NODES, width)
    mine = grouped(graph, width) if width == 672 else flat
    ours = functools.partial(aggregate, graph.adjacency, mine)
    compete(
        ours, functools.partial(dgl.ops.copy_u_sum, graph.dgl, flat),
        case=f"plain sum, E={size}, d={width}{' grouped' * (width == 672)}, forward",
        rival="DGL copy_u_sum", target=target, threads=threads, rounds=enough_rounds(size),
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


def forward_backward(function, *inputs: torch.Tensor):
    """A call that also pulls the gradient of the inputs."""
    needed = [x.clone().requires_grad_() for x in inputs]
    pull = torch.randn_like(function(*needed))

    def call() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(function(*needed), needed, pull)

    return call


@sizes
@threads
@pytest.mark.parametrize(("width", "target"), [(64, 2.5), (256, 1.8)])
def test_weighted_sum_against_pyg_edge_index(benchmark, size, threads, width, target) -> None:
    geometric = pytest.importorskip("torch_geometric", reason=NO_PYG)
    graph = power_law(SIZES[size])
    feat, weight = graph.feat(NODES, width), graph.weight
    # PyG's fastest order: rows are destinations.
    index = geometric.EdgeIndex(torch.stack([graph.dst, graph.src]), sparse_size=(NODES, NODES), sort_order="row")
    index.fill_cache_()
    ours = forward_backward(lambda x: aggregate(graph.adjacency, x, weight), feat)
    theirs = forward_backward(lambda x: index.matmul(x, input_value=weight), feat)
    torch.testing.assert_close(
        aggregate(graph.adjacency, feat, weight), index.matmul(feat, input_value=weight), rtol=1e-4, atol=1e-3
    )
    compete(
        ours, theirs, case=f"weighted sum, E={size}, d={width}, forward + backward", rival="PyG EdgeIndex.matmul",
        target=target, threads=threads, rounds=enough_rounds(size),
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


@sizes
@threads
@pytest.mark.parametrize(("width", "target"), [(64, 10), (256, 5), (672, 3)])
def test_weighted_sum_against_pyg_scatter(benchmark, size, threads, width, target) -> None:
    scatter = pytest.importorskip("torch_geometric.utils", reason=NO_PYG).scatter
    if 2 * 4 * SIZES[size] * width > PAIRS_TOO_LARGE:
        pytest.skip(f"PyG's messages of {size} edges x {width} do not fit beside the rest")
    graph = power_law(SIZES[size])
    flat, weight, column = graph.feat(NODES, width), graph.weight, graph.weight[:, None]
    mine = grouped(graph, width) if width == 672 else flat
    ours = functools.partial(aggregate, graph.adjacency, mine, weight)
    compete(
        ours, lambda: scatter(flat[graph.src] * column, graph.dst, dim=0, dim_size=NODES, reduce="sum"),
        case=f"weighted sum, E={size}, d={width}{' grouped' * (width == 672)}, forward", rival="PyG gather + scatter",
        target=target, threads=threads, rounds=5,
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


RELATIONS, BASES, WIDTH = 8, 4, 64


@sizes
@threads
def test_relations_against_dgl(benchmark, size, threads) -> None:
    graph = power_law(SIZES[size])
    etypes = torch.randint(RELATIONS, (SIZES[size],), generator=torch.Generator().manual_seed(1))
    arguments = {"regularizer": "basis", "num_bases": BASES, "self_loop": False}
    mine = RelGraphConv(WIDTH, WIDTH, RELATIONS, **arguments)
    other = dgl.nn.RelGraphConv(WIDTH, WIDTH, RELATIONS, **arguments)
    other.load_state_dict(mine.state_dict())
    feat = graph.feat(NODES, WIDTH)
    torch.testing.assert_close(mine(graph.dgl, feat, etypes), other(graph.dgl, feat, etypes), rtol=1e-3, atol=1e-2)
    ours = module_step(mine, lambda x: mine(graph.dgl, x, etypes), feat)
    compete(
        ours, module_step(other, lambda x: other(graph.dgl, x, etypes), feat),
        case=f"{RELATIONS} relations, {BASES} bases, E={size}, d={WIDTH}, forward + backward",
        rival="DGL RelGraphConv", target=10, threads=threads, rounds=enough_rounds(size) if size == "500k" else 3,
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


@sizes
@threads
def test_relations_against_pyg(benchmark, size, threads) -> None:
    geometric = pytest.importorskip("torch_geometric", reason=NO_PYG)
    graph = power_law(SIZES[size])
    etypes = torch.randint(RELATIONS, (SIZES[size],), generator=torch.Generator().manual_seed(1))
    index = geometric.EdgeIndex(torch.stack([graph.src, graph.dst]), sparse_size=(NODES, NODES), sort_order="col")
    other = geometric.nn.RGCNConv(WIDTH, WIDTH, RELATIONS, num_bases=BASES, root_weight=False, aggr="sum")
    mine = RelGraphConv(WIDTH, WIDTH, RELATIONS, regularizer="basis", num_bases=BASES, self_loop=False)
    feat = graph.feat(NODES, WIDTH)
    ours = module_step(mine, lambda x: mine(graph.dgl, x, etypes), feat)
    compete(
        ours, module_step(other, lambda x: other(x, index, etypes), feat),
        case=f"{RELATIONS} relations, {BASES} bases, E={size}, d={WIDTH}, forward + backward",
        rival="PyG RGCNConv", target=2.5, threads=threads, rounds=enough_rounds(size) if size == "500k" else 3,
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


def module_step(module: torch.nn.Module, function, feat: torch.Tensor):
    """A call that pulls the gradients of the features and of all parameters."""
    needed = [feat.clone().requires_grad_(), *module.parameters()]
    pull = torch.randn_like(function(needed[0]))
    return lambda: torch.autograd.grad(function(needed[0]), needed, pull, allow_unused=True)


HEADS, HEAD_WIDTH = 4, 16


@sizes
@threads
def test_attention_against_dgl(benchmark, size, threads) -> None:
    graph = power_law(SIZES[size])
    mine, other = (kind(WIDTH, HEAD_WIDTH, HEADS, allow_zero_in_degree=True) for kind in (GATv2Conv, dgl.nn.GATv2Conv))
    other.load_state_dict(mine.state_dict())
    feat = graph.feat(NODES, WIDTH)
    torch.testing.assert_close(mine(graph.dgl, feat), other(graph.dgl, feat), rtol=1e-3, atol=1e-4)
    ours = module_step(mine, lambda x: mine(graph.dgl, x), feat)
    compete(
        ours, module_step(other, lambda x: other(graph.dgl, x), feat),
        case=f"GATv2, E={size}, 4 heads x 16, forward + backward", rival="DGL GATv2Conv", target=2.5,
        threads=threads, rounds=enough_rounds(size) if size == "500k" else 3,
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=3)


@sizes
def test_memory_of_attention_against_dgl(benchmark, size) -> None:
    def peak(who: str) -> float:
        script = Path(__file__).with_name("attention_memory.py")
        command = [sys.executable, str(script), who, str(SIZES[size])]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    peaks = {"ours": benchmark.pedantic(peak, args=("ours",), rounds=1), "dgl": peak("dgl")}
    RESULTS.append(
        Outcome(
            f"GATv2, E={size}, 4 heads x 16, forward + backward: peak memory above graph and features",
            "DGL GATv2Conv",
            1,
            peaks["ours"],
            peaks["dgl"],
            np.array([peaks["dgl"] / peaks["ours"]]),
            3.0,
            "MiB",
        )
    )


@sizes
@threads
def test_share_of_the_cache_read_limit(benchmark, size, threads) -> None:
    """Bytes of features read per second by the grouped sum, against a plain sum over a buffer of one group's size."""
    graph = power_law(SIZES[size])
    feat, weight = grouped(graph, 672), graph.weight
    ours = functools.partial(aggregate, graph.adjacency, feat, weight)
    buffer = np.ones(NODES * GROUP, dtype=np.float32)
    ours()
    read(buffer, 2)
    limits, rates = [], []
    for _ in range(7):
        start = time.perf_counter()
        read(buffer, 40)
        limits.append(threads * 40 * buffer.nbytes / (time.perf_counter() - start))
        start = time.perf_counter()
        ours()
        rates.append(len(feat) * SIZES[size] * GROUP * 4 / (time.perf_counter() - start))
    limit, rate = np.median(limits) / 2**30, np.median(rates) / 2**30
    shares = np.array(rates) / np.array(limits)
    RESULTS.append(
        Outcome(
            f"weighted sum, E={size}, d=672 grouped: features read",
            "one thread's cache read limit x threads",
            threads,
            rate,
            limit,
            shares,
            0.6,
            "GiB/s",
        )
    )
    benchmark.pedantic(ours, rounds=3)


@numba.njit(fastmath=True, cache=True)
def read(buffer, times):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for _ in range(times):
        for i in range(len(buffer)):
            total += buffer[i]
    return total


@sizes
@threads
def test_many_states_against_dgl(benchmark, size, threads) -> None:
    graph = power_law(SIZES[size])
    steps, restart, states, width = 3, 0.3, 64, 16
    flat, weight, column = graph.feat(NODES, states * width), graph.weight, graph.weight[:, None]
    mine = flat.reshape(NODES, -1, 64).transpose(0, 1).contiguous()
    ours = functools.partial(diffuse, graph.adjacency, mine, weight, steps=steps, restart=restart, method="dense")

    def theirs() -> torch.Tensor:
        state = flat
        for _ in range(steps):
            state = (1 - restart) * dgl.ops.u_mul_e_sum(graph.dgl, state, column) + restart * flat
        return state

    compete(
        ours, theirs, case=f"{states} states x {width} features, {steps} steps, E={size}, weighted",
        rival="DGL u_mul_e_sum, flat", target=8, threads=threads, rounds=5 if size == "500k" else 3,
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=2)


def test_overhead_of_a_call(benchmark) -> None:
    generator = torch.Generator().manual_seed(0)
    src, dst = (torch.randint(100, (500,), generator=generator) for _ in range(2))
    adjacency = Adjacency(src, dst, 100, 100)
    feat, weight = torch.randn(100, 8, generator=generator), torch.rand(500, generator=generator)
    calls, repeats = 2000, []
    torch.set_num_threads(1)
    gc.disable()
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(calls):
            aggregate(adjacency, feat, weight)
        repeats.append((time.perf_counter() - start) / calls * 1e6)
    gc.enable()
    RESULTS.append(
        Outcome(
            "weighted sum on 100 nodes, per call",
            "20 us",
            1,
            float(np.median(repeats)),
            20.0,
            20.0 / np.array(repeats),
            1.0,
            "us",
        )
    )
    benchmark(aggregate, adjacency, feat, weight)
