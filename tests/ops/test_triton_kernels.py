import importlib
import os
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gnnvcell.ops import Adjacency, aggregate, dot_aggregate, edge_scores, gatv2_aggregate, use
from gnnvcell.ops.row_pieces import cut_rows
from gnnvcell.testing import GRAPH_CASES, GraphCase

CUDA = torch.cuda.is_available()
LATE = "triton" in sys.modules
if not CUDA:
    os.environ["TRITON_INTERPRET"] = "1"
triton = pytest.importorskip("triton")


def kernels(name):
    """A kernel module; interpreted without a GPU, also where Triton or the module was imported earlier without that."""
    module = importlib.import_module(f"gnnvcell.ops.kernels.triton_{name}")
    return importlib.reload(module) if LATE and not CUDA else module


if LATE and not CUDA:
    importlib.reload(triton.language.standard)
    importlib.reload(triton.language)
spmm, sddmm, heads, additive, product = (kernels(name) for name in ("spmm", "sddmm", "heads", "gatv2", "dot"))

device = pytest.mark.parametrize(
    "device",
    [
        pytest.param("cpu", marks=pytest.mark.skipif(CUDA, reason="with a GPU the kernels are not interpreted")),
        pytest.param(
            "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not CUDA, reason="no CUDA device on this machine")]
        ),
    ],
)
# Relative to the largest value expected. A device's float32 exponential errs by some units of the last place, where the
# interpreter's is numpy's; terms of the order of 1 then add up to gradients of a tenth, with 3e-5 of them as the error.
TOLERANCE = {torch.float32: 5e-5 if CUDA else 1e-5, torch.bfloat16: 1e-2, torch.float64: 1e-10}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
NODES, IN_EDGES = 10, 75
_hub = torch.arange(IN_EDGES) % NODES
HUB = GraphCase(
    "a hub with more edges than one tile, both ways",
    torch.cat([_hub, torch.zeros_like(_hub)]),
    torch.cat([torch.full_like(_hub, 3), _hub]),
    NODES,
    NODES,
)
CASES = [case for case in GRAPH_CASES if max(case.num_src, case.num_dst) <= 30] + [HUB]
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
HUB_EDGES = int(HUB.dst.bincount().max())
BIPARTITE = next(case for case in CASES if case.name == "random, bipartite")


class Rows:
    """A case in compressed rows, both ways, and the two ends of each edge in row order."""

    def __init__(self, case, device, index=torch.int64, strided=False, size=32):
        order = torch.argsort(case.dst, stable=True)
        self.source, self.target = case.src[order].to(device), case.dst[order].to(device)
        self.position = torch.argsort(self.source, stable=True)
        self.num_src, self.num_dst, self.edges = case.num_src, case.num_dst, len(order)
        here, back = (
            cut_rows(self.compressed(*side).to(index), size)
            for side in ((self.target, self.num_dst), (self.source, self.num_src))
        )
        self.forward = here, self.source.to(index)
        self.backward = back, self.target[self.position].to(index)
        self.generator = torch.Generator().manual_seed(5)
        self.device, self.strided = device, strided

    @staticmethod
    def compressed(row, count):
        return torch.searchsorted(row.sort().values, torch.arange(count + 1, device=row.device))

    def random(self, *shape, dtype):
        values = torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(self.device, dtype)
        return values.mT.contiguous().mT if self.strided and values.dim() > 1 else values


def sums_of(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def close(ours, theirs, dtype, returned=None, loosen=1.0):
    assert ours.dtype == (returned or dtype)
    assert ours.shape == theirs.shape
    assert bool(ours.isfinite().all())
    if ours.numel():
        error = (ours.double() - theirs).abs().max()
        assert error <= loosen * TOLERANCE[dtype] * theirs.abs().max().clamp(min=0.1), (
            f"{error} of {theirs.abs().max()}"
        )


def exact(*parts) -> list[Any]:
    return [None if part is None else part.detach().double().requires_grad_() for part in parts]


def weighted_sum(rows, feat, weight):
    messages = feat[rows.source] * weight[:, None]
    return torch.zeros(rows.num_dst, feat.shape[1], dtype=feat.dtype, device=feat.device).index_add(
        0, rows.target, messages
    )


def attend(rows, score, value, scale):
    """Softmax of scores over rows, and the weighted sums, edge by edge in float64."""
    best = torch.full((rows.num_dst, score.shape[1]), -torch.inf, dtype=score.dtype, device=score.device)
    best = best.scatter_reduce(0, rows.target[:, None].expand_as(score), score.detach(), "amax")
    raised = (score - best[rows.target]).exp()
    alpha = raised / torch.zeros_like(best).index_add(0, rows.target, raised)[rows.target]
    beta = alpha if scale is None else alpha * scale
    messages = beta[:, :, None] * value[rows.source]
    out = torch.zeros(rows.num_dst, *value.shape[1:], dtype=value.dtype, device=value.device)
    return out.index_add(0, rows.target, messages), alpha


def gatv2(rows, src, dst, attn, slope, scale):
    score = (F.leaky_relu(src[rows.source] + dst[rows.target], slope) * attn).sum(-1)
    return attend(rows, score, src, scale)


def dot(rows, query, key, value, sm_scale, scale):
    return attend(rows, sm_scale * (query[rows.target] * key[rows.source]).sum(-1), value, scale)


def check_spmm(rows, d, dtype):
    feat, pull = rows.random(rows.num_src, d, dtype=dtype), rows.random(rows.num_dst, d, dtype=dtype)
    weight = rows.random(rows.edges, dtype=dtype)
    feat64, weight64 = exact(feat, weight)
    expected = weighted_sum(rows, feat64, weight64)
    feat_grad, weight_grad = torch.autograd.grad(expected, (feat64, weight64), pull.double())
    close(spmm.spmm_sum(*rows.forward, feat, weight), expected, dtype)
    close(spmm.spmm_sum(*rows.backward, pull, weight, rows.position), feat_grad, dtype)
    close(sddmm.sddmm_dot(*rows.forward, feat, pull), weight_grad, dtype)
    close(spmm.spmm_sum(*rows.forward, feat), weighted_sum(rows, feat64, torch.ones_like(weight64)), dtype)


def check_gatv2(rows, heads, d, dtype, slope=0.2, scaled=True, shift=0.0, loosen=1.0):
    src, dst = (rows.random(count, heads, d, dtype=dtype) for count in (rows.num_src, rows.num_dst))
    src = src + shift
    attn, pull = rows.random(heads, d, dtype=dtype), rows.random(rows.num_dst, heads, d, dtype=dtype)
    scale = rows.random(rows.edges, heads, dtype=dtype) if scaled else None
    out, alpha = additive.gatv2_forward(*rows.forward, src, dst, attn, slope, scale)
    wide = exact(src, dst, attn, scale)
    expected, expected_alpha = gatv2(rows, *wide[:3], slope=slope, scale=wide[3])
    close(out, expected, dtype, sums_of(dtype))
    close(alpha, expected_alpha, dtype, sums_of(dtype))
    ours = additive.gatv2_backward(
        pull, *rows.forward, *rows.backward, rows.position, src, dst, attn, slope, alpha, out, scale
    )
    check_gradients(ours, expected, wide, pull, dtype, loosen)


def check_dot(rows, heads, d, dv, dtype, scaled=True, shift=0.0, loosen=1.0):
    sm_scale = d**-0.5
    query, key = (rows.random(count, heads, d, dtype=dtype) for count in (rows.num_dst, rows.num_src))
    key = key + shift
    value, pull = (rows.random(count, heads, dv, dtype=dtype) for count in (rows.num_src, rows.num_dst))
    scale = rows.random(rows.edges, heads, dtype=dtype) if scaled else None
    out, alpha = product.dot_forward(*rows.forward, query, key, value, sm_scale, scale)
    wide = exact(query, key, value, scale)
    expected, expected_alpha = dot(rows, *wide[:3], sm_scale=sm_scale, scale=wide[3])
    close(out, expected, dtype, sums_of(dtype))
    close(alpha, expected_alpha, dtype, sums_of(dtype))
    ours = product.dot_backward(
        pull, *rows.forward, *rows.backward, rows.position, query, key, value, sm_scale, alpha, out, scale
    )
    check_gradients(ours, expected, wide, pull, dtype, loosen)


def check_gradients(ours, expected, wide, pull, dtype, loosen):
    assert (ours[3] is None) == (wide[3] is None)
    inputs = [part for part in wide if part is not None]
    theirs = torch.autograd.grad(expected, inputs, pull.double(), materialize_grads=True)
    for mine, reference in zip(ours, theirs, strict=False):
        close(mine, reference, dtype, loosen=loosen)


@device
@cases
def test_weighted_sums_and_edge_products(device, case) -> None:
    check_spmm(Rows(case, device), 7, torch.float64)


@device
@dtypes
@pytest.mark.parametrize("d", [1, 7, 64, 130])
def test_weighted_sums_and_edge_products_of_any_width(device, dtype, d) -> None:
    check_spmm(Rows(HUB, device), d, dtype)


MANY_PIECES = 8  # edges of each, so that a hub has more pieces than the tiles of the kernels below have lanes
sizes = pytest.mark.parametrize(
    ("size", "dtype"),
    [
        *((MANY_PIECES, dtype) for dtype in TOLERANCE),
        *((size, torch.float32) for size in (HUB_EDGES - 1, HUB_EDGES, 1000)),
    ],
    ids=str,
)


@device
@sizes
def test_sums_over_hubs_in_pieces(device, dtype, size) -> None:
    rows = Rows(HUB, device, torch.int32, strided=True, size=size)
    assert (rows.forward[0].num_slots == 0) == (size >= HUB_EDGES)
    check_spmm(rows, 64, dtype)


@device
@sizes
def test_attention_over_hubs_in_pieces(device, dtype, size) -> None:
    rows = Rows(HUB, device, torch.int32, strided=True, size=size)
    check_gatv2(rows, 2, 32, dtype)
    check_dot(rows, 2, 32, 5, dtype)


@device
@cases
def test_gatv2_attention(device, case) -> None:
    check_gatv2(Rows(case, device), 3, 5, torch.float64)


@device
@cases
def test_dot_attention(device, case) -> None:
    check_dot(Rows(case, device), 3, 5, 16, torch.float64)


@device
@dtypes
@pytest.mark.parametrize(("heads", "d"), [(1, 16), (3, 5)])
def test_attention_of_any_shape(device, dtype, heads, d) -> None:
    rows = Rows(HUB if d == 16 else BIPARTITE, device)
    check_gatv2(rows, heads, d, dtype, scaled=heads == 1)
    check_dot(rows, heads, d, 21 - d, dtype, scaled=heads == 1)


@device
def test_heads_that_do_not_fit_in_one_program(device) -> None:
    rows = Rows(next(case for case in CASES if case.name == "self loops"), device)
    assert heads.grid(rows.num_dst, 3, 130)[1] == 3
    check_gatv2(rows, 3, 130, torch.float64)
    check_dot(rows, 3, 130, 3, torch.float64)


@device
@pytest.mark.parametrize("slope", [0.0, 0.01, 1.0])
def test_slope_of_the_leaky_relu(device, slope) -> None:
    check_gatv2(Rows(BIPARTITE, device), 1, 5, torch.float64, slope=slope)


@device
def test_scores_whose_exponentials_overflow(device) -> None:
    rows = Rows(HUB, device)
    # Scores of some 10,000 are rounded by 2e-16 of that: their exponentials err by 2e-12, which a gradient multiplies
    # by features of 3000 where exact values cancel to nothing. By extended precision the reference errs no less.
    check_gatv2(rows, 1, 5, torch.float64, shift=3000.0, loosen=100.0)
    check_dot(rows, 1, 5, 5, torch.float64, shift=3000.0, loosen=100.0)


@device
def test_worked_example(device) -> None:
    pieces, sources = cut_rows(torch.tensor([0, 2, 2], device=device)), torch.tensor([0, 1], device=device)
    feat = torch.tensor([[1.0, 2.0], [3.0, -1.0]], device=device)
    weight = torch.tensor([10.0, 1.0], device=device)
    assert spmm.spmm_sum(pieces, sources, feat, weight).tolist() == [[13.0, 19.0], [0.0, 0.0]]
    assert spmm.spmm_sum(pieces, sources, feat, weight, torch.tensor([1, 0], device=device)).tolist() == [
        [31.0, -8.0],
        [0.0, 0.0],
    ]
    assert sddmm.sddmm_dot(pieces, sources, feat, feat).tolist() == [5.0, 1.0]
    zeros = torch.zeros(2, 1, 2, device=device)
    scale = torch.tensor([[2.0], [4.0]], device=device)
    out, alpha = additive.gatv2_forward(pieces, sources, feat[:, None], zeros, zeros[0], 0.2, scale)
    assert alpha.tolist() == [[0.5], [0.5]]
    assert out.tolist() == [[[7.0, 0.0]], [[0.0, 0.0]]]


@device
def test_short_integers_and_strided_features(device) -> None:
    rows = Rows(BIPARTITE, device, torch.int32, strided=True)
    assert not rows.random(3, 4, 5, dtype=torch.float64).is_contiguous()
    check_spmm(rows, 6, torch.float64)
    check_gatv2(rows, 2, 4, torch.float64)
    check_dot(rows, 2, 4, 4, torch.float64)


@device
@pytest.mark.parametrize("size", [16, 1000])
def test_results_are_the_same_every_time(device, size) -> None:
    rows = Rows(HUB, device, size=size)
    feat, query = (rows.random(rows.num_src, 2, 16, dtype=torch.float32) for _ in range(2))
    vector = rows.random(2, 16, dtype=torch.float32)

    def run():
        out, alpha = additive.gatv2_forward(*rows.forward, feat, query, vector, 0.2)
        *gradients, _ = additive.gatv2_backward(
            query, *rows.forward, *rows.backward, rows.position, feat, query, vector, 0.2, alpha, out
        )
        sums = spmm.spmm_sum(*rows.forward, feat[:, 0]), sddmm.sddmm_dot(*rows.forward, feat[:, 0], query[:, 0])
        return out, alpha, *gradients, *sums

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


class Largest(TorchDispatchMode):
    """The number of values in the largest tensor that is made."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [
            leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
        ]
        self.values = max([self.values, *sizes])
        return out


@device
def test_nothing_of_edges_times_features_is_made(device) -> None:
    loops = torch.zeros(90, dtype=torch.int64)
    rows, heads, d = Rows(GraphCase("loops", loops, loops, 2, 2), device), 2, 8
    src, dst, pull = (rows.random(2, heads, d, dtype=torch.float32) for _ in range(3))
    scale = torch.ones(rows.edges, heads, device=device)
    both = *rows.forward, *rows.backward, rows.position
    with Largest() as largest:
        spmm.spmm_sum(*rows.forward, src[:, 0])
        sddmm.sddmm_dot(*rows.forward, src[:, 0], dst[:, 0])
        out, alpha = additive.gatv2_forward(*rows.forward, src, dst, src[0], 0.2, scale)
        additive.gatv2_backward(pull, *both, src, dst, src[0], 0.2, alpha, out, scale)
        out, alpha = product.dot_forward(*rows.forward, dst, src, src, 1.0, scale)
        product.dot_backward(pull, *both, dst, src, src, 1.0, alpha, out, scale)
    assert 0 < largest.values <= rows.edges * heads


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="no CUDA device on this machine")
def test_features_beyond_the_range_of_short_integers() -> None:
    d = 128
    nodes = 2**31 // d + 2
    feat = torch.empty(nodes, d, dtype=torch.bfloat16, device="cuda")
    feat[-1] = 3.0
    pieces, sources = cut_rows(torch.tensor([0, 1], device="cuda")), torch.tensor([nodes - 1], device="cuda")
    assert spmm.spmm_sum(pieces, sources, feat).unique().tolist() == [3.0]
    assert sddmm.sddmm_dot(pieces, sources, feat, feat[-1:]).tolist() == [9.0 * d]


@pytest.mark.skipif(CUDA, reason="on a device the operations use these kernels anyway")
def test_the_operations_reach_them() -> None:
    adjacency = Adjacency(BIPARTITE.src, BIPARTITE.dst, BIPARTITE.num_src, BIPARTITE.num_dst)
    generator = torch.Generator().manual_seed(0)

    def made(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    inputs = src, dst, attn, weight = (
        made(adjacency.num_src, 2, 3),
        made(adjacency.num_dst, 2, 3),
        made(2, 3),
        made(adjacency.num_edges),
    )

    def results():
        out = gatv2_aggregate(adjacency, src, dst, attn, scale=weight)[0]
        out = out + dot_aggregate(adjacency, dst, src, src, scale=weight)[0]
        out = out + aggregate(adjacency, src.flatten(1), weight).reshape(out.shape)
        scores = edge_scores(adjacency, src.flatten(1), dst.flatten(1))
        return out, scores, *torch.autograd.grad(out.square().sum() + scores.square().sum(), inputs)

    expected = results()
    with use("triton"):
        for mine, reference in zip(results(), expected, strict=True):
            torch.testing.assert_close(mine, reference)
