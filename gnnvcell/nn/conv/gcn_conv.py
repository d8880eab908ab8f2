"""GCNConv: graph convolution with degree normalisation."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError
from gnnvcell.nn.conv._inputs import (
    Features,
    adjacency_of,
    aggregate_nodes,
    require_in_edges,
    scale_by_degree,
    source_features,
    weights_of,
)
from gnnvcell.ops import Adjacency

NORMS = ("none", "both", "right", "left")


class GCNConv(nn.Module):
    """Graph convolution [Kipf and Welling, Semi-Supervised Classification with GCNs, ICLR 2017].

    ``h'_v = act(b + sum over edges (u -> v) of (w_uv / c_uv) h_u W)``

    ``c_uv`` is 1 (norm "none"), ``sqrt(out(u)) sqrt(in(v))`` ("both"), ``in(v)`` ("right": the mean of messages) or
    ``out(u)`` ("left": a random walk), with ``in`` and ``out`` the numbers of edges, 0 counting as 1; ``w_uv`` is the
    edge's weight, 1 when left out. As in ``dgl.nn.GraphConv``, whose arguments, parameters and state dict these are,
    degrees do not see the weights; for the paper's weighted form give weights that ``dgl.nn.EdgeWeightNorm`` has
    normalised, and norm "none".

    A node without in-edges gets ``act(b)``.

    Args:
        in_feats: width of the source features.
        out_feats: width of the result.
        norm: "none", "both", "right" or "left".
        weight: whether there is a matrix W.
        bias: whether there is a vector b.
        activation: act; none when left out.
        allow_zero_in_degree: whether nodes without in-edges are let through.

    Shapes: feat (src, ..., in_feats) or a pair of which the source's is read; edge_weight (edges,); result
    (dst, ..., out_feats). weight (in_feats, out_feats), bias (out_feats,).

    Raises:
        ConfigError: unknown norm, or on the call a matrix given to a layer that has one, or another width.
        GraphIntegrityError: on the call, nodes without in-edges, or features or weights that do not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> graph = dgl.graph(([0, 1, 2], [1, 0, 0]))
        >>> conv = GCNConv(1, 1, norm="right", weight=False, allow_zero_in_degree=True)
        >>> conv(graph, torch.tensor([[1.0], [3.0], [5.0]])).tolist()
        [[4.0], [1.0], [0.0]]
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        norm: str = "both",
        weight: bool = True,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
        allow_zero_in_degree: bool = False,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ConfigError(f"unknown norm {norm!r}", expected=", ".join(NORMS))
        self._in_feats, self._out_feats, self._norm = in_feats, out_feats, norm
        self._allow_zero_in_degree = allow_zero_in_degree
        self.weight = nn.Parameter(torch.empty(in_feats, out_feats)) if weight else None
        self.bias = nn.Parameter(torch.empty(out_feats)) if bias else None
        self.reset_parameters()
        self._activation = activation

    def reset_parameters(self) -> None:
        """Draw new values: Glorot-uniform W, b = 0."""
        if self.weight is not None:
            nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def set_allow_zero_in_degree(self, set_value: bool) -> None:
        """Let nodes without in-edges through or not; ``dgl.nn.HeteroGraphConv`` does."""
        self._allow_zero_in_degree = set_value

    def forward(
        self,
        graph: Any,
        feat: Features,
        weight: Float[Tensor, "d_src d_out"] | None = None,
        edge_weight: Float[Tensor, "edges *one"] | None = None,
    ) -> Float[Tensor, "dst *extra d_out"]:
        """Convolve.

        Args:
            graph: a DGLGraph of one edge type, a block too.
            feat: source features, or a pair.
            weight: the matrix, for a layer made with ``weight=False``.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        matrix = self._matrix(weight)
        h = source_features(graph, feat, self._in_feats)
        adjacency = adjacency_of(graph, h)
        if not self._allow_zero_in_degree:
            require_in_edges(adjacency)
        if self._norm in ("left", "both"):
            h = scale_by_degree(h, adjacency.out_degrees, -1.0 if self._norm == "left" else -0.5)
        h = self._heard(adjacency, h, matrix, edge_weight)
        if self._norm in ("right", "both"):
            h = scale_by_degree(h, adjacency.in_degrees, -1.0 if self._norm == "right" else -0.5)
        if self.bias is not None:
            h = h + self.bias
        return h if self._activation is None else self._activation(h)

    def _heard(self, adjacency: Adjacency, h: Tensor, matrix: Tensor | None, edge_weight: Tensor | None) -> Tensor:
        if matrix is not None and self._in_feats > self._out_feats:  # narrower messages first
            h, matrix = h @ matrix, None
        h = aggregate_nodes(adjacency, h, weights_of(edge_weight, adjacency, h))
        return h if matrix is None else h @ matrix

    def _matrix(self, given: Tensor | None) -> Tensor | None:
        if given is not None and self.weight is not None:
            raise ConfigError(
                "a weight matrix was given to a layer that has its own", remedy="make the layer with weight=False"
            )
        return self.weight if given is None else given
