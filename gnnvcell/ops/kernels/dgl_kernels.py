"""DGL's kernels: the oracle of all others, and what has no other kernel on the CPU."""

from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError
from gnnvcell.ops.adjacency import Adjacency

_graphs: WeakKeyDictionary[Adjacency, Any] = WeakKeyDictionary()


def graph_of(adjacency: Adjacency) -> Any:
    """A DGL graph of the edges, in row order; made once per adjacency."""
    if adjacency.device.type != "cpu":
        raise ConfigError("DGL's wheel has CPU kernels only", found=str(adjacency.device), remedy='ops.use("torch")')
    if adjacency not in _graphs:
        ends = (adjacency.indices.long(), adjacency.rows)
        _graphs[adjacency] = dgl.heterograph(
            {("src", "to", "dst"): ends}, {"src": adjacency.num_src, "dst": adjacency.num_dst}
        )
    return _graphs[adjacency]


def spmm_sum(adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:
    """(dst, d) sum over in-edges of ``weight * feat``; ``feat`` (src, d), ``weight`` (edges,) in row order or None."""
    graph = graph_of(adjacency)
    if weight is None:
        return dgl.ops.copy_u_sum(graph, feat)
    return dgl.ops.u_mul_e_sum(graph, feat, weight.to(feat.dtype).unsqueeze(-1))


def spmm_extreme(adjacency: Adjacency, feat: Tensor, weight: Tensor | None, reduce: str) -> Tensor:
    """(dst, d) largest ("max") or smallest ("min") message of the in-edges; 0 without any. Differentiable."""
    graph = graph_of(adjacency)
    if weight is None:
        out = dgl.ops.gspmm(graph, "copy_lhs", reduce, feat, None)
    else:
        out = dgl.ops.gspmm(graph, "mul", reduce, feat, weight.to(feat.dtype).unsqueeze(-1))
    return out.masked_fill((adjacency.in_degrees == 0).unsqueeze(-1), 0)


def sddmm_dot(adjacency: Adjacency, src_feat: Tensor, dst_feat: Tensor) -> Tensor:
    """(edges,) inner products of the features at both ends, in row order."""
    return dgl.ops.u_dot_v(graph_of(adjacency), src_feat, dst_feat)[:, 0]


def edge_softmax(adjacency: Adjacency, scores: Tensor) -> Tensor:
    """(edges, heads) softmax over the in-edges of each destination, in row order."""
    return dgl.ops.edge_softmax(graph_of(adjacency), scores)
