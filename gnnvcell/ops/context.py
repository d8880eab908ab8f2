"""Aggregation of many cells' states over one graph whose edges each cell opens or closes for itself."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.eager import eager
from gnnvcell.ops.rows import dot_rows, require_rows, sum_rows


def gated_aggregate(
    adjacency: Adjacency,
    feat: Float[Tensor, "cells src d"],
    src_gate: Float[Tensor, "cells src"],
    dst_gate: Float[Tensor, "cells dst"],
    weight: Float[Tensor, " edges"] | None = None,
) -> Float[Tensor, "cells dst d"]:
    """``out[b, v] = sum over edges (u -> v) of weight[uv] * sigmoid(src_gate[b, u] + dst_gate[b, v]) * feat[b, u]``.

    The gated weights of one cell are made when the cell is handled and made again in the backward pass, so memory holds
    one value per edge, not one per edge and cell, and no copies of the graph.

    Args:
        adjacency: the edges, shared by all cells.
        feat: source features of every cell.
        src_gate: what a cell's source nodes say to the gate, as a logit.
        dst_gate: what its destination nodes say.
        weight: edge weights in edge order, shared by all cells; 1 when left out.

    Returns:
        Destination features; zero where a node has no in-edge.

    Raises:
        GraphIntegrityError: features, gates or weights do not fit the adjacency or each other.

    Example:
        >>> edge = Adjacency(torch.tensor([0]), torch.tensor([0]), num_src=1, num_dst=1)
        >>> gated_aggregate(edge, torch.ones(2, 1, 1), torch.tensor([[0.0], [99.0]]), torch.zeros(2, 1))[:, 0, 0]
        tensor([0.5000, 1.0000])
    """
    if torch.compiler.is_compiling():
        return _outside_of_compile(adjacency, feat, src_gate, dst_gate, weight)
    return _gated(adjacency, feat, src_gate, dst_gate, weight)


def _gated(adjacency: Adjacency, feat: Tensor, src_gate: Tensor, dst_gate: Tensor, weight: Tensor | None) -> Tensor:
    require_rows(adjacency, feat, adjacency.num_src, "source")
    adjacency.require_current()
    wanted = ((len(feat), adjacency.num_src), (len(feat), adjacency.num_dst))
    if (tuple(src_gate.shape), tuple(dst_gate.shape)) != wanted:
        raise GraphIntegrityError(
            "gates do not fit the features",
            expected=f"{wanted[0]} and {wanted[1]}",
            found=f"{tuple(src_gate.shape)} and {tuple(dst_gate.shape)}",
        )
    in_rows = feat.new_ones(adjacency.num_edges) if weight is None else adjacency.in_row_order(weight).to(feat.dtype)
    return _Gated.apply(adjacency, feat, src_gate, dst_gate, in_rows)  # type: ignore[return-value]


_outside_of_compile: Any = eager(_gated)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, adjacency: Adjacency, feat, src_gate, dst_gate, weight):  # type: ignore[override]
        ctx.adjacency = adjacency
        ctx.save_for_backward(feat, src_gate, dst_gate, weight)
        cells = zip(feat, src_gate, dst_gate, strict=True)
        return torch.stack([sum_rows(adjacency, x, weight * _open(adjacency, s, t)) for x, s, t in cells])

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        adjacency: Adjacency = ctx.adjacency
        feat, src_gate, dst_gate, weight = ctx.saved_tensors
        back, order = adjacency.transpose, adjacency.transpose_positions
        wants_feat, wants_gates, wants_weight = (
            ctx.needs_input_grad[1],
            any(ctx.needs_input_grad[2:4]),
            ctx.needs_input_grad[4],
        )
        feat_grad = torch.empty_like(feat) if wants_feat else None
        src_grad, dst_grad = torch.zeros_like(src_gate), torch.zeros_like(dst_gate)
        weight_grad = torch.zeros_like(weight) if wants_weight else None
        for b in range(len(feat)):
            gate, pull = _open(adjacency, src_gate[b], dst_gate[b]), grad[b].contiguous()
            if feat_grad is not None:
                feat_grad[b] = sum_rows(back, pull, (weight * gate).index_select(0, order))
            if not (wants_gates or wants_weight):
                continue
            toward = dot_rows(adjacency, feat[b], pull)
            if weight_grad is not None:
                weight_grad += toward * gate
            slope = (toward * weight * gate * (1 - gate)).unsqueeze(1)
            src_grad[b] = sum_rows(adjacency.source_incidence, slope, None)[:, 0]
            dst_grad[b] = sum_rows(adjacency.incidence, slope, None)[:, 0]
        return None, feat_grad, src_grad, dst_grad, weight_grad


def _open(adjacency: Adjacency, src_gate: Tensor, dst_gate: Tensor) -> Tensor:
    """(edges,) how far one cell opens each edge, in row order."""
    logit = src_gate.index_select(0, adjacency.indices)
    return logit.add_(dst_gate.index_select(0, adjacency.rows)).sigmoid_()
