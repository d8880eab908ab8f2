"""Scores of edges from the features at their two ends (sampled dense-dense products)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import ConfigError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.eager import eager
from gnnvcell.ops.rows import dot_rows, require_rows, sum_rows


def edge_scores(
    adjacency: Adjacency,
    src_feat: Float[Tensor, "src d"],
    dst_feat: Float[Tensor, "dst d"],
    *,
    combine: str = "dot",
) -> Float[Tensor, "edges ..."]:
    """A score per edge from both ends, in edge order.

    Args:
        adjacency: the edges.
        src_feat: features of source nodes.
        dst_feat: features of destination nodes.
        combine: "dot", ``score[uv] = <src_feat[u], dst_feat[v]>``, or "add", ``score[uv] = src_feat[u] + dst_feat[v]``
            (one value per column, as additive attention needs).

    Returns:
        (edges,) for "dot", (edges, d) for "add".

    Raises:
        ConfigError: unknown ``combine``.
        GraphIntegrityError: features do not fit the adjacency, or the graph was changed.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0]), torch.tensor([1]), num_src=2, num_dst=2)
        >>> edge_scores(adjacency, torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [3.0]]))
        tensor([6.])
    """
    if torch.compiler.is_compiling():
        return _outside_of_compile(adjacency, src_feat, dst_feat, combine)
    return _edge_scores(adjacency, src_feat, dst_feat, combine)


def _edge_scores(adjacency: Adjacency, src_feat: Tensor, dst_feat: Tensor, combine: str) -> Tensor:
    if combine not in ("dot", "add"):
        raise ConfigError(f"unknown combine {combine!r}", expected="dot or add")
    require_rows(adjacency, src_feat, adjacency.num_src, "source")
    require_rows(adjacency, dst_feat, adjacency.num_dst, "destination")
    adjacency.require_current()
    in_rows = (_Add if combine == "add" else _Dot).apply(adjacency, src_feat, dst_feat)
    return adjacency.in_edge_order(in_rows)  # type: ignore[arg-type]


_outside_of_compile: Any = eager(_edge_scores)


class _Dot(torch.autograd.Function):
    """Inner products in row order."""

    @staticmethod
    def forward(ctx, adjacency: Adjacency, src_feat: Tensor, dst_feat: Tensor) -> Tensor:  # type: ignore[override]
        ctx.adjacency = adjacency
        ctx.save_for_backward(src_feat, dst_feat)
        return dot_rows(adjacency, src_feat, dst_feat)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        adjacency: Adjacency = ctx.adjacency
        src_feat, dst_feat = ctx.saved_tensors
        src_grad = dst_grad = None
        if ctx.needs_input_grad[1]:
            src_grad = sum_rows(adjacency.transpose, dst_feat, grad[adjacency.transpose_positions])
        if ctx.needs_input_grad[2]:
            dst_grad = sum_rows(adjacency, src_feat, grad.contiguous())
        return None, src_grad, dst_grad


class _Add(torch.autograd.Function):
    """Sums of both ends' features in row order."""

    @staticmethod
    def forward(ctx, adjacency: Adjacency, src_feat: Tensor, dst_feat: Tensor) -> Tensor:  # type: ignore[override]
        ctx.adjacency = adjacency
        return src_feat[adjacency.indices.long()] + dst_feat[adjacency.rows]

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        adjacency: Adjacency = ctx.adjacency
        src_grad = sum_rows(adjacency.source_incidence, grad, None) if ctx.needs_input_grad[1] else None
        dst_grad = sum_rows(adjacency.incidence, grad, None) if ctx.needs_input_grad[2] else None
        return None, src_grad, dst_grad
