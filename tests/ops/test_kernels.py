"""Every operation with every kernel that can do it on the CPU, against dense float64 references."""

import pytest
import torch

from gnnvcell.ops import (
    Adjacency,
    aggregate,
    dot_aggregate,
    edge_scores,
    edge_softmax,
    gatv2_aggregate,
    use,
)
from gnnvcell.ops.context import gated_aggregate
from gnnvcell.ops.dispatch import TABLE
from gnnvcell.testing import GRAPH_CASES

HEADS, WIDTH = 2, 3
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2}
cases = pytest.mark.parametrize("case", GRAPH_CASES, ids=lambda case: case.name)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def cpu_kernels(operation: str) -> list[str]:
    """Kernels that need no interpreter; Triton's have their own tests."""
    names = {
        name for row in TABLE if (row.operation, row.device) == (operation, "cpu") for name in (row.kernel, *row.others)
    }
    return sorted(names - {"triton"})


def numbers(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def reference_softmax(case, scores: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(scores)
    for v in range(case.num_dst):
        into = case.dst == v
        out = torch.where(
            into[:, None], scores.masked_fill(~into[:, None], -torch.inf).softmax(dim=0).nan_to_num(), out
        )
    return out


def reference_sum(case, message: torch.Tensor) -> torch.Tensor:
    return message.new_zeros(case.num_dst, *message.shape[1:]).index_add(0, case.dst, message)


def close(mine: torch.Tensor, reference: torch.Tensor, dtype: torch.dtype) -> None:
    """Relative to the largest value, as sums of many terms are rounded."""
    scale = float(reference.abs().max()) if reference.numel() else 1.0
    torch.testing.assert_close(mine.double(), reference, rtol=0, atol=TOLERANCE[dtype] * max(scale, 0.3))


def compare(function, reference, inputs: list[torch.Tensor], dtype: torch.dtype) -> None:
    """Values and gradients of all inputs."""
    mine = [x.to(dtype).requires_grad_() for x in inputs]
    theirs = [x.to(dtype).double().requires_grad_() for x in inputs]
    out, expected = function(*mine), reference(*theirs)
    close(out.detach(), expected.detach(), dtype)
    pull = numbers(*out.shape, seed=9)
    got = torch.autograd.grad((out * pull.to(dtype)).sum(), mine)
    wanted = torch.autograd.grad((expected * pull.to(dtype).double()).sum(), theirs)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == dtype
        close(a, b, dtype)


@cases
@dtypes
@pytest.mark.parametrize("kernel", cpu_kernels("sum"))
def test_weighted_sum(case, dtype, kernel) -> None:
    if kernel == "dgl" and dtype == torch.bfloat16:
        pytest.skip("DGL's CPU kernels have no bfloat16 products")
    if kernel == "torch_csr" and dtype == torch.bfloat16:
        pytest.skip("torch's sparse products have no bfloat16 on the CPU")
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    inputs = [numbers(case.num_src, 5, seed=1), numbers(len(case.src), seed=2)]
    with use(kernel):
        compare(
            lambda x, w: aggregate(adjacency, x, w),
            lambda x, w: reference_sum(case, x[case.src] * w[:, None]),
            inputs,
            dtype,
        )


@cases
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_groups_are_aggregated_like_their_members(case, reduce) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    feat, weight = (
        numbers(2, 3, case.num_src, 4, seed=1).requires_grad_(),
        numbers(len(case.src), seed=2).requires_grad_(),
    )
    out = aggregate(adjacency, feat, weight, reduce=reduce)
    apart = torch.stack([torch.stack([aggregate(adjacency, x, weight, reduce=reduce) for x in row]) for row in feat])
    torch.testing.assert_close(out, apart)
    for a, b in zip(*(torch.autograd.grad(o.square().sum(), (feat, weight)) for o in (out, apart)), strict=True):
        torch.testing.assert_close(a, b)


@cases
@pytest.mark.parametrize("kernel", cpu_kernels("max"))
@pytest.mark.parametrize("reduce", ["max", "min"])
def test_extremes(case, kernel, reduce) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    pick = "amax" if reduce == "max" else "amin"

    def reference(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        message = x[case.src] * w[:, None]
        rows = case.dst[:, None].expand_as(message)
        return message.new_zeros(case.num_dst, x.shape[1]).scatter_reduce(0, rows, message, pick, include_self=False)

    feat, weight = numbers(case.num_src, 4, seed=1), numbers(len(case.src), seed=2)
    with use(kernel):
        compare(lambda x, w: aggregate(adjacency, x, w, reduce=reduce), reference, [feat, weight], torch.float32)


@cases
@dtypes
@pytest.mark.parametrize("kernel", cpu_kernels("edge_scores"))
def test_dot_scores(case, dtype, kernel) -> None:
    if kernel == "dgl" and dtype == torch.bfloat16:
        pytest.skip("DGL's CPU kernels have no bfloat16 products")
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    inputs = [numbers(case.num_src, 5, seed=1), numbers(case.num_dst, 5, seed=2)]
    with use(kernel):
        compare(
            lambda a, b: edge_scores(adjacency, a, b), lambda a, b: (a[case.src] * b[case.dst]).sum(1), inputs, dtype
        )


@cases
def test_added_scores(case) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    inputs = [numbers(case.num_src, 3, seed=1), numbers(case.num_dst, 3, seed=2)]
    compare(
        lambda a, b: edge_scores(adjacency, a, b, combine="add"),
        lambda a, b: a[case.src] + b[case.dst],
        inputs,
        torch.float64,
    )


@cases
@dtypes
@pytest.mark.parametrize("kernel", cpu_kernels("edge_softmax"))
def test_softmax(case, dtype, kernel) -> None:
    if kernel == "dgl" and (dtype == torch.bfloat16 or not len(case.src)):
        pytest.skip("DGL's softmax has no bfloat16 and needs an edge")
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    with use(kernel):
        compare(
            lambda s: edge_softmax(adjacency, s),
            lambda s: reference_softmax(case, s),
            [numbers(len(case.src), HEADS, seed=1)],
            dtype,
        )


@cases
@dtypes
@pytest.mark.parametrize("scaled", [False, True])
def test_additive_attention(case, dtype, scaled) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    inputs = [
        numbers(case.num_src, HEADS, WIDTH, seed=1),
        numbers(case.num_dst, HEADS, WIDTH, seed=2),
        numbers(HEADS, WIDTH, seed=3),
        *([numbers(len(case.src), HEADS, seed=4)] if scaled else []),
    ]

    def reference(src, dst, attn, scale=None):
        z = torch.nn.functional.leaky_relu(src[case.src] + dst[case.dst], 0.2)
        share = reference_softmax(case, (z * attn).sum(-1))
        return reference_sum(case, (share if scale is None else share * scale)[:, :, None] * src[case.src])

    def ours(src, dst, attn, scale=None):
        return gatv2_aggregate(adjacency, src, dst, attn, scale=scale)[0]

    compare(ours, reference, inputs, dtype)


@cases
@dtypes
@pytest.mark.parametrize("scaled", [False, True])
def test_dot_attention(case, dtype, scaled) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    inputs = [
        numbers(case.num_dst, HEADS, WIDTH, seed=1),
        numbers(case.num_src, HEADS, WIDTH, seed=2),
        numbers(case.num_src, HEADS, WIDTH + 1, seed=3),
        *([numbers(len(case.src), seed=4)] if scaled else []),
    ]

    def reference(query, key, value, scale=None):
        share = reference_softmax(case, (query[case.dst] * key[case.src]).sum(-1) * WIDTH**-0.5)
        return reference_sum(case, (share if scale is None else share * scale[:, None])[:, :, None] * value[case.src])

    def ours(query, key, value, scale=None):
        return dot_aggregate(adjacency, query, key, value, scale=scale)[0]

    compare(ours, reference, inputs, dtype)


@cases
def test_attention_shares_are_a_softmax_in_edge_order(case) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    query, key = numbers(case.num_dst, HEADS, WIDTH, seed=1), numbers(case.num_src, HEADS, WIDTH, seed=2)
    _, share = dot_aggregate(adjacency, query, key, key, sm_scale=0.3)
    torch.testing.assert_close(share, reference_softmax(case, 0.3 * (query[case.dst] * key[case.src]).sum(-1)))


@cases
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_gated_sum(case, dtype) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    cells = 3
    inputs = [
        numbers(cells, case.num_src, 4, seed=1),
        numbers(cells, case.num_src, seed=2),
        numbers(cells, case.num_dst, seed=3),
        numbers(len(case.src), seed=4),
    ]

    def reference(feat, s, t, w):
        gate = (s[:, case.src] + t[:, case.dst]).sigmoid() * w
        return torch.stack([reference_sum(case, g[:, None] * x[case.src]) for g, x in zip(gate, feat, strict=True)])

    compare(lambda *x: gated_aggregate(adjacency, *x), reference, inputs, dtype)


@pytest.mark.parametrize("operation", ["sum", "scores", "softmax", "additive", "dot"])
def test_gradcheck(operation: str) -> None:
    case = GRAPH_CASES[-2]
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)

    def made(*shape: int, seed: int) -> torch.Tensor:
        return numbers(*shape, seed=seed).requires_grad_()

    edges, ns, nd = len(case.src), case.num_src, case.num_dst
    calls = {
        "sum": (lambda x, w: aggregate(adjacency, x, w), made(ns, 2, seed=1), made(edges, seed=2)),
        "scores": (lambda a, b: edge_scores(adjacency, a, b), made(ns, 2, seed=1), made(nd, 2, seed=2)),
        "softmax": (lambda s: edge_softmax(adjacency, s), made(edges, seed=1)),
        "additive": (
            lambda a, b, c, s: gatv2_aggregate(adjacency, a, b, c, scale=s)[0],
            made(ns, 2, 2, seed=1), made(nd, 2, 2, seed=2), made(2, 2, seed=3), made(edges, 2, seed=4),
        ),
        "dot": (
            lambda q, k, v: dot_aggregate(adjacency, q, k, v)[0],
            made(nd, 2, 2, seed=1), made(ns, 2, 2, seed=2), made(ns, 2, 3, seed=3),
        ),
    }  # fmt: skip
    function, *inputs = calls[operation]
    assert torch.autograd.gradcheck(function, tuple(inputs))


def test_the_same_bits_every_time_and_for_any_number_of_threads() -> None:
    """Rows are never split between threads, so that sums do not depend on their number."""
    generator = torch.Generator().manual_seed(0)
    src, dst = (torch.randint(2000, (60_000,), generator=generator) for _ in range(2))
    adjacency = Adjacency(src, dst, 2000, 2000)
    feat, weight = numbers(2000, 2, 16, seed=1, dtype=torch.float32), torch.rand(60_000, generator=generator)
    attn = numbers(2, 16, seed=2, dtype=torch.float32)

    def results() -> list[torch.Tensor]:
        x = feat.clone().requires_grad_()
        out = gatv2_aggregate(adjacency, x, x, attn)[0] + aggregate(adjacency, x.flatten(1), weight).reshape(feat.shape)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), [x])]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one, again = results(), results()
        torch.set_num_threads(2)
        two = results()
    finally:
        torch.set_num_threads(before)
    for a, b, c in zip(one, again, two, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
