"""APPNPConv: steps of personalised PageRank over given features."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.nn.conv._inputs import Features, adjacency_of, aggregate_nodes, feature_pair, scale_by_degree, weights_of
from gnnvcell.ops import Adjacency, aggregate


class APPNPConv(nn.Module):
    """Personalised propagation [Gasteiger et al., Predict then Propagate, ICLR 2019].

    ``h^0 = x``, ``h^(i+1)_v = (1 - alpha) sum over edges (u -> v) of d_uv w_uv / (sqrt(out(u)) sqrt(in(v))) h^i_u
    + alpha x_v``, k times.

    ``out`` and ``in`` are sums of the weights ``w_uv`` of a node's out-edges and in-edges (numbers of edges without
    weights; 0 counts as 1), ``d_uv`` is a fresh dropout mask in every step of training. Arguments are those of
    ``dgl.nn.APPNPConv``; there are no parameters. A pair (of one node type, as ``dgl.nn.HeteroGraphConv`` gives it)
    starts at the source's features and returns to the destination's.

    A node without in-edges gets ``alpha x_v``.

    Args:
        k: number of steps.
        alpha: share of x in every step (the teleport probability), in [0, 1].
        edge_drop: dropout of edges.

    Shapes: feat (nodes, ..., d); edge_weight (edges,) and positive; result (nodes, ..., d).

    Raises:
        ConfigError: k below 0 or alpha out of range.
        GraphIntegrityError: on the call, sources and destinations are not the same nodes, weights that are not
            positive, or data that does not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = APPNPConv(k=1, alpha=0.5)
        >>> conv(dgl.graph(([0], [1])), torch.tensor([[2.0], [4.0]])).tolist()
        [[1.0], [3.0]]
    """

    def __init__(self, k: int, alpha: float, edge_drop: float = 0.0) -> None:
        super().__init__()
        if k < 0 or not 0 <= alpha <= 1:
            raise ConfigError("k or alpha is out of range", expected="k >= 0, alpha in 0 to 1", found=f"{k}, {alpha}")
        self._k, self._alpha = k, alpha
        self.edge_drop = nn.Dropout(edge_drop)

    def forward(
        self, graph: Any, feat: Features, edge_weight: Float[Tensor, "edges *one"] | None = None
    ) -> Float[Tensor, "dst *extra d_dst"]:
        """Propagate.

        Args:
            graph: a DGLGraph of one node type and one edge type.
            feat: features of the nodes.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        if graph.is_block or graph.srctypes != graph.dsttypes:
            raise GraphIntegrityError(
                "several steps need sources and destinations to be the same nodes",
                expected="a graph of one node type, no block",
                found=str(graph.canonical_etypes[0]),
            )
        h, start = feature_pair(graph, feat, (None, None))
        adjacency = adjacency_of(graph, h)
        weights = weights_of(edge_weight, adjacency, h)
        out_degrees, in_degrees = _degrees(adjacency, weights)
        for _ in range(self._k):
            heard = scale_by_degree(h, out_degrees, -0.5)
            heard = aggregate_nodes(adjacency, heard, self._dropped(adjacency, weights, h))
            h = (1 - self._alpha) * scale_by_degree(heard, in_degrees, -0.5) + self._alpha * start
        return h

    def _dropped(self, adjacency: Adjacency, weights: Tensor | None, feat: Tensor) -> Tensor | None:
        if not self.training or self.edge_drop.p == 0:
            return weights
        return self.edge_drop(feat.new_ones(adjacency.num_edges) if weights is None else weights)


def _degrees(adjacency: Adjacency, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """(out, in) sums of edge weights."""
    if weights is None:
        return adjacency.out_degrees, adjacency.in_degrees
    if bool((weights <= 0).any()):
        raise GraphIntegrityError(
            "edge weights are not positive, which have no square root of their sums",
            expected="weights > 0",
            found=f"{int((weights <= 0).sum())} of {len(weights)} are not",
            remedy="drop these edges; for signed relations see SignedConv",
        )
    wide = weights.to(torch.promote_types(weights.dtype, torch.float32))
    ones = wide.new_ones(adjacency.num_src, 1)
    return aggregate(adjacency.transpose, ones, wide).flatten(), aggregate(adjacency, ones, wide).flatten()
