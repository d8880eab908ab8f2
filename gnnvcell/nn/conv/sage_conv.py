"""SAGEConv: a node's own features and an aggregate of its neighbours', each with its own matrix."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.nn.conv._inputs import Features, adjacency_of, feature_pair, weights_of, width_pair
from gnnvcell.ops import Adjacency, aggregate

AGGREGATORS = ("mean", "gcn", "pool")


class SAGEConv(nn.Module):
    """GraphSAGE [Hamilton et al., Inductive Representation Learning on Large Graphs, NeurIPS 2017].

    ``mean``: ``h'_v = act(W_self h_v + b + W_neigh mean over edges (u -> v) of w_uv h_u)``
    ``pool``: ``h'_v = act(W_self h_v + b + W_neigh max over edges (u -> v) of w_uv relu(W_pool h_u + b_pool))``
    ``gcn``:  ``h'_v = act(W_neigh (h_v + sum over edges (u -> v) of w_uv h_u) / (in(v) + 1) + b)``

    ``in(v)`` is the number of in-edges and ``w_uv`` the edge's weight, 1 when left out; the mean divides by ``in(v)``,
    not by the sum of weights. After act comes ``norm``, if there is one. Arguments, parameters and state dict are
    those of ``dgl.nn.SAGEConv``, of which the "lstm" aggregator, which depends on the order of edges, is left out.

    A node without in-edges hears 0: it gets its own term alone.

    Args:
        in_feats: width of the features, or a (source, destination) pair of widths.
        out_feats: width of the result.
        aggregator_type: "mean", "gcn" or "pool".
        feat_drop: dropout of the features.
        bias: whether there is a vector b.
        norm: applied last; none when left out.
        activation: act; none when left out.

    Shapes: feat (src, in_feats) or a pair (src, in_feats[0]), (dst, in_feats[1]); edge_weight (edges,); result
    (dst, out_feats).

    Raises:
        ConfigError: unknown aggregator, two widths for "gcn", or on the call another width.
        GraphIntegrityError: on the call, features or weights that do not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = SAGEConv(1, 1, "mean", bias=False)
        >>> for matrix in (conv.fc_self.weight, conv.fc_neigh.weight):
        ...     _ = torch.nn.init.ones_(matrix)
        >>> conv(dgl.graph(([0, 1, 2], [1, 0, 0])), torch.tensor([[1.0], [3.0], [5.0]])).tolist()
        [[5.0], [4.0], [5.0]]
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        aggregator_type: str,
        feat_drop: float = 0.0,
        bias: bool = True,
        norm: Callable[[Tensor], Tensor] | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._widths = width_pair(in_feats)
        _require_aggregator(aggregator_type, self._widths)
        src_width, dst_width = self._widths
        self._out_feats, self._aggre_type = out_feats, aggregator_type
        self.norm = norm
        self.feat_drop = nn.Dropout(feat_drop)
        self.activation = activation
        if aggregator_type == "pool":
            self.fc_pool = nn.Linear(src_width, src_width)
        self.fc_neigh = nn.Linear(src_width, out_feats, bias=False)
        if aggregator_type != "gcn":
            self.fc_self = nn.Linear(dst_width, out_feats, bias=bias)
        else:
            self.bias = nn.Parameter(torch.zeros(out_feats)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new matrices, Glorot-uniform for a relu."""
        gain = nn.init.calculate_gain("relu")
        if self._aggre_type == "pool":
            nn.init.xavier_uniform_(self.fc_pool.weight, gain=gain)
        if self._aggre_type != "gcn":
            nn.init.xavier_uniform_(self.fc_self.weight, gain=gain)
        nn.init.xavier_uniform_(self.fc_neigh.weight, gain=gain)

    def forward(
        self, graph: Any, feat: Features, edge_weight: Float[Tensor, "edges *one"] | None = None
    ) -> Float[Tensor, "dst d_out"]:
        """Convolve.

        Args:
            graph: a DGLGraph of one edge type, a block too.
            feat: features of the nodes, or a (source, destination) pair.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        pair = (self.feat_drop(feat[0]), self.feat_drop(feat[1])) if isinstance(feat, tuple) else self.feat_drop(feat)
        src, dst = feature_pair(graph, pair, self._widths)
        adjacency = adjacency_of(graph, src)
        if self._aggre_type == "gcn":
            out = self._gcn(adjacency, src, dst, edge_weight)
        else:
            out = self.fc_self(dst) + self._heard(adjacency, src, edge_weight)
        if self.activation is not None:
            out = self.activation(out)
        return out if self.norm is None else self.norm(out)

    def _heard(self, adjacency: Adjacency, src: Tensor, edge_weight: Tensor | None) -> Tensor:
        if self._aggre_type == "pool":
            pooled = torch.relu(self.fc_pool(src))
            weights = weights_of(edge_weight, adjacency, pooled)
            return self.fc_neigh(aggregate(adjacency, pooled, weights, reduce="max"))
        if self._narrows():
            src = self.fc_neigh(src)
        out = aggregate(adjacency, src, weights_of(edge_weight, adjacency, src), reduce="mean")
        return out if self._narrows() else self.fc_neigh(out)

    def _gcn(self, adjacency: Adjacency, src: Tensor, dst: Tensor, edge_weight: Tensor | None) -> Tensor:
        if self._narrows():
            src, dst = self.fc_neigh(src), self.fc_neigh(dst)
        heard = aggregate(adjacency, src, weights_of(edge_weight, adjacency, src))
        out = (heard + dst) / (adjacency.in_degrees + 1).to(heard.dtype).unsqueeze(-1)
        if not self._narrows():
            out = self.fc_neigh(out)
        return out if self.bias is None else out + self.bias

    def _narrows(self) -> bool:
        return self._widths[0] > self._out_feats


def _require_aggregator(name: str, widths: tuple[int, int]) -> None:
    if name == "lstm":
        raise ConfigError(
            'the aggregator "lstm" is not offered: its result depends on the order of the edges',
            expected=", ".join(AGGREGATORS),
            found=name,
            remedy="use another, or dgl.nn.SAGEConv",
        )
    if name not in AGGREGATORS:
        raise ConfigError(
            f"unknown aggregator {name!r}", expected=", ".join(AGGREGATORS), remedy=did_you_mean(name, AGGREGATORS)
        )
    if name == "gcn" and widths[0] != widths[1]:
        raise ConfigError("gcn adds source and destination features", expected="equal widths", found=str(widths))
