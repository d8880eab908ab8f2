"""ContextConv: a convolution whose edges each cell opens or closes by what its genes express."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.nn.conv._inputs import adjacency_of, weights_of
from gnnvcell.ops.context import gated_aggregate

Pair = tuple[Tensor, Tensor]


class ContextConv(nn.Module):
    """Mean over in-edges for a batch of cells, every edge gated by the basal expression at both of its ends.

    ``g_b,uv = sigmoid(p(x_bu) + q(x_bv))`` with p and q small networks of one gene's expression
    ``h'_bv = W (1 / deg_v * sum over edges (u -> v) of w_uv g_b,uv h_bu) + b``

    The graph is shared: nothing of size cells x edges is kept (``ops.context.gated_aggregate``). A gene without
    in-edges gets b.

    Args:
        in_feats: width of the states.
        out_feats: width of the result.
        gate_hidden: width of p and q.

    Shapes: feat (cells, nodes, in_feats) or a (source, destination) pair; expression (cells, nodes) or a pair, in the
    unit of the training data, such as log1p of counts per 10,000; edge_weight (edges,); result (cells, dst, out_feats).

    Raises:
        ConfigError: another width on the call.
        GraphIntegrityError: states, expression or weights that do not fit the graph or each other.

    Example:
        >>> import torch
        >>> from gnnvcell._dgl import dgl
        >>> conv = ContextConv(3, 4)
        >>> conv(dgl.graph(([0, 1], [1, 0])), torch.randn(5, 2, 3), torch.rand(5, 2)).shape
        torch.Size([5, 2, 4])
    """

    def __init__(self, in_feats: int, out_feats: int, *, gate_hidden: int = 8) -> None:
        super().__init__()
        self._in_feats = in_feats
        self.src_gate, self.dst_gate = (
            nn.Sequential(nn.Linear(1, gate_hidden), nn.SiLU(), nn.Linear(gate_hidden, 1)) for _ in range(2)
        )
        self.project = nn.Linear(in_feats, out_feats)

    def forward(
        self,
        graph: Any,
        feat: Float[Tensor, "cells nodes d"],
        expression: Tensor | Pair,
        edge_weight: Float[Tensor, "edges *one"] | None = None,
    ) -> Float[Tensor, "cells dst d_out"]:
        """Convolve.

        Args:
            graph: a DGLGraph of one edge type, a block too.
            feat: states of the source nodes of every cell.
            expression: basal expression; a (source, destination) pair where the two sides are different nodes.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        if feat.shape[-1] != self._in_feats:
            raise ConfigError("states do not fit the layer", expected=f"{self._in_feats}", found=f"{feat.shape[-1]}")
        adjacency = adjacency_of(graph, feat)
        src, dst = self._sides(graph, expression)
        if src.shape[:2] != feat.shape[:2] or len(dst) != len(feat):
            raise GraphIntegrityError(
                "the expression does not fit the states",
                expected=f"{tuple(feat.shape[:2])} and ({len(feat)}, {adjacency.num_dst})",
                found=f"{tuple(src.shape)} and {tuple(dst.shape)}",
            )
        heard = gated_aggregate(
            adjacency,
            feat,
            self.src_gate(src.unsqueeze(-1)).squeeze(-1),
            self.dst_gate(dst.unsqueeze(-1)).squeeze(-1),
            weights_of(edge_weight, adjacency, feat),
        )
        return self.project(heard / adjacency.in_degrees.clamp(min=1).to(heard.dtype).unsqueeze(-1))

    @staticmethod
    def _sides(graph: Any, expression: Tensor | Pair) -> Pair:
        if isinstance(expression, tuple):
            return expression
        if graph.is_block:
            return expression, expression[:, : graph.num_dst_nodes()]
        if graph.srctypes != graph.dsttypes:
            raise GraphIntegrityError(
                "one expression tensor was given for a relation between two node types",
                remedy="call the layer with a pair (source expression, destination expression)",
            )
        return expression, expression
