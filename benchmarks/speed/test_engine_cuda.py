"""The Triton kernels against torch's sparse products, PyG's scatter and the device's copy bandwidth.

    make bench        on a machine with a CUDA device

Features are on the device, DGL's graph stays on the host.
"""

import functools
import time

import numpy as np
import pytest
import torch
from contest import RESULTS, Outcome, compete  # pyright: ignore[reportMissingImports]
from power_law import NODES, power_law  # pyright: ignore[reportMissingImports]

from gnnvcell.ops import aggregate, gatv2_aggregate, use

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
SIZES = {"500k": 500_000, "3M": 3_000_000}
REPEATS = 20  # calls per measurement: one is too short for the host's clock
cases = pytest.mark.parametrize("size", SIZES)
widths = pytest.mark.parametrize("width", [64, 256, 672])


def timed(function):
    """Many calls and a wait for the device."""

    def call() -> None:
        for _ in range(REPEATS):
            function()
        torch.cuda.synchronize()

    return call


@cases
@widths
def test_weighted_sum(benchmark, size, width) -> None:
    graph = power_law(SIZES[size])
    adjacency, weight = graph.adjacency.to("cuda"), graph.weight.cuda()
    feat = graph.feat(NODES, width).cuda()
    ours = functools.partial(aggregate, adjacency, feat, weight)

    def torch_csr() -> torch.Tensor:
        with use("torch_csr"):
            return aggregate(adjacency, feat, weight)

    src, dst, column = graph.src.cuda(), graph.dst.cuda(), weight[:, None]
    rivals = {"torch CSR": torch_csr}
    if 4 * SIZES[size] * width < 2**33:
        scatter = pytest.importorskip("torch_geometric.utils").scatter
        rivals["PyG gather + scatter"] = lambda: scatter(feat[src] * column, dst, dim=0, dim_size=NODES, reduce="sum")
    for rival, theirs in rivals.items():
        compete(
            timed(ours), timed(theirs), case=f"CUDA weighted sum, E={size}, d={width}, forward, {REPEATS} calls",
            rival=rival, target=None, threads=1,
        )  # fmt: skip
    benchmark.pedantic(timed(ours), rounds=3)


@cases
def test_share_of_copy_bandwidth(size) -> None:
    graph = power_law(SIZES[size])
    adjacency, weight, feat = graph.adjacency.to("cuda"), graph.weight.cuda(), graph.feat(NODES, 256).cuda()
    large = torch.empty(2**28, device="cuda")
    other = torch.empty_like(large)
    calls = {
        "copy": (timed(lambda: other.copy_(large)), 2 * large.nbytes),
        "sum": (timed(functools.partial(aggregate, adjacency, feat, weight)), SIZES[size] * (256 * 4 + 8)),
    }
    rates = {}
    for name, (call, moved) in calls.items():
        call()
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        rates[name] = REPEATS * moved / float(np.median(seconds)) / 2**30
    RESULTS.append(
        Outcome(
            f"CUDA weighted sum, E={size}, d=256: features and edges read",
            "copy bandwidth",
            1,
            rates["sum"],
            rates["copy"],
            np.array([rates["sum"] / rates["copy"]]),
            None,
            "GiB/s",
        )
    )


@cases
def test_attention(benchmark, size) -> None:
    geometric = pytest.importorskip("torch_geometric", reason="pip install torch-geometric to race PyG")
    graph = power_law(SIZES[size])
    adjacency = graph.adjacency.to("cuda")
    src = graph.feat(NODES, 4, 16).cuda().requires_grad_()
    attn = graph.feat(4, 16, seed=1).cuda()
    ends = torch.stack([graph.src, graph.dst]).cuda()

    def rival() -> torch.Tensor:
        score = (torch.nn.functional.leaky_relu(src[ends[0]] + src[ends[1]], 0.2) * attn).sum(-1)
        share = geometric.utils.softmax(score, ends[1], num_nodes=NODES)
        out = geometric.utils.scatter(share[..., None] * src[ends[0]], ends[1], dim=0, dim_size=NODES, reduce="sum")
        return torch.autograd.grad(out.square().sum(), src)[0]

    def ours() -> torch.Tensor:
        out = gatv2_aggregate(adjacency, src, src, attn)[0]
        return torch.autograd.grad(out.square().sum(), src)[0]

    torch.testing.assert_close(ours(), rival(), rtol=1e-3, atol=1e-3)
    compete(
        timed(ours), timed(rival), case=f"CUDA GATv2, E={size}, 4 heads x 16, forward + backward, {REPEATS} calls",
        rival="PyG softmax + scatter", target=None, threads=1,
    )  # fmt: skip
    benchmark.pedantic(timed(ours), rounds=3)
