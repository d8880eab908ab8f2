"""Extremes and softmax by scattering: torch only, on any device; makes what the other kernels avoid making."""

from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency


def spmm_extreme(adjacency: Adjacency, feat: Tensor, weight: Tensor | None, reduce: str) -> Tensor:
    """(dst, d) largest ("max") or smallest ("min") message of the in-edges; 0 without any. Differentiable."""
    message = feat[adjacency.indices.long()]
    if weight is not None:
        message = message * weight.to(feat.dtype).unsqueeze(-1)
    rows = adjacency.rows.unsqueeze(-1).expand_as(message)
    start = message.new_zeros(adjacency.num_dst, feat.shape[1])
    return start.scatter_reduce(0, rows, message, "amax" if reduce == "max" else "amin", include_self=False)


def edge_softmax(adjacency: Adjacency, scores: Tensor) -> Tensor:
    """(edges, heads) softmax over the in-edges of each destination, in row order."""
    rows = adjacency.rows.unsqueeze(-1).expand_as(scores)
    start = scores.new_zeros(adjacency.num_dst, scores.shape[1])
    top = start.scatter_reduce(0, rows, scores, "amax", include_self=False)
    raised = (scores - top[adjacency.rows]).exp()
    return raised / start.scatter_add(0, rows, raised)[adjacency.rows]
