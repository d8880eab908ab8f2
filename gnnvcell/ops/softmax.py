"""Softmax of edge scores over the in-edges of each destination."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.eager import eager
from gnnvcell.ops.rows import softmax_rows, sum_rows


def edge_softmax(adjacency: Adjacency, scores: Float[Tensor, "edges *heads"]) -> Float[Tensor, "edges *heads"]:
    """``a[uv] = exp(s[uv]) / sum over in-edges u'v of exp(s[u'v])``, for every head.

    Args:
        adjacency: the edges.
        scores: in edge order.

    Returns:
        Shares in edge order; those of the in-edges of a node sum to 1.

    Raises:
        GraphIntegrityError: not one score per edge, NaN scores, or the graph was changed.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([0, 0]), num_src=2, num_dst=1)
        >>> edge_softmax(adjacency, torch.tensor([0.0, 0.0]))
        tensor([0.5000, 0.5000])
    """
    if torch.compiler.is_compiling():
        return _outside_of_compile(adjacency, scores)
    return _edge_softmax(adjacency, scores)


def _edge_softmax(adjacency: Adjacency, scores: Tensor) -> Tensor:
    if len(scores) != adjacency.num_edges:
        raise GraphIntegrityError(
            "scores do not fit the adjacency", expected=f"{adjacency.num_edges} edges", found=f"{len(scores)}"
        )
    adjacency.require_current()
    if adjacency.num_edges == 0:
        return scores
    in_rows = adjacency.in_row_order(scores).reshape(len(scores), -1)
    return adjacency.in_edge_order(_Softmax.apply(adjacency, in_rows)).reshape(scores.shape)  # type: ignore[arg-type]


_outside_of_compile: Any = eager(_edge_softmax)


class _Softmax(torch.autograd.Function):
    """(edges, heads) in row order."""

    @staticmethod
    def forward(ctx, adjacency: Adjacency, scores: Tensor) -> Tensor:  # type: ignore[override]
        share = softmax_rows(adjacency, scores)
        ctx.adjacency = adjacency
        ctx.save_for_backward(share)
        return share

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        adjacency: Adjacency = ctx.adjacency
        (share,) = ctx.saved_tensors
        weighted = share * grad
        total = sum_rows(adjacency.incidence, weighted, None)
        return None, weighted - share * total[adjacency.rows]
