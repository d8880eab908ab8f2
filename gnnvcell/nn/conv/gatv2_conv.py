"""GATv2Conv: additive attention over the in-edges of a node."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError
from gnnvcell.nn.conv._inputs import Features, adjacency_of, feature_pair, require_in_edges, weights_of, width_pair
from gnnvcell.ops import Adjacency, gatv2_aggregate


class GATv2Conv(nn.Module):
    """Graph attention of the second kind [Brody et al., How Attentive are Graph Attention Networks?, ICLR 2022].

    ``s_uv = a . LeakyReLU(W_src h_u + W_dst h_v)``
    ``alpha_uv = softmax over the in-edges (u -> v) of v of s_uv``
    ``h'_v = act(sum over edges (u -> v) of w_uv alpha_uv W_src h_u + residual_v)``, for every head.

    ``w_uv`` is the edge's weight, 1 when left out: it scales the attention after the softmax, as in
    ``dgl.nn.GATConv`` (``dgl.nn.GATv2Conv``, whose arguments, parameters and state dict these are, takes none).
    Nothing of size edges x heads x out_feats is made.

    A node without in-edges gets ``act(residual_v)``, or ``act(0)`` without a residual.

    Args:
        in_feats: width of the features, or a (source, destination) pair of widths.
        out_feats: width of the result per head.
        num_heads: number of heads.
        feat_drop: dropout of the features.
        attn_drop: dropout of the attention.
        negative_slope: of the LeakyReLU.
        residual: whether the destination's features are added, through a matrix where widths differ.
        activation: act; none when left out.
        allow_zero_in_degree: whether nodes without in-edges are let through.
        bias: whether W_src, W_dst and the residual's matrix come with a vector.
        share_weights: whether W_dst is W_src.

    Shapes: feat (src, in_feats) or a pair (src, in_feats[0]), (dst, in_feats[1]); edge_weight (edges,); result
    (dst, num_heads, out_feats), and with ``get_attention`` (edges, num_heads, 1).

    Raises:
        ConfigError: shared weights for a pair of widths, or on the call another width.
        GraphIntegrityError: on the call, nodes without in-edges, or features or weights that do not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = GATv2Conv(3, 4, num_heads=2)
        >>> out, attention = conv(dgl.graph(([0, 1, 2], [1, 2, 0])), torch.randn(3, 3), get_attention=True)
        >>> out.shape, attention.flatten().tolist()
        (torch.Size([3, 2, 4]), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        num_heads: int,
        feat_drop: float = 0.0,
        attn_drop: float = 0.0,
        negative_slope: float = 0.2,
        residual: bool = False,
        activation: Callable[[Tensor], Tensor] | None = None,
        allow_zero_in_degree: bool = False,
        bias: bool = True,
        share_weights: bool = False,
    ) -> None:
        super().__init__()
        if share_weights and isinstance(in_feats, tuple):
            raise ConfigError("weights cannot be shared between two widths", expected="in_feats=one width")
        self._widths = width_pair(in_feats)
        self._num_heads, self._out_feats = num_heads, out_feats
        self._allow_zero_in_degree, self._slope = allow_zero_in_degree, negative_slope
        width = out_feats * num_heads
        self.fc_src = nn.Linear(self._widths[0], width, bias=bias)
        self.fc_dst = self.fc_src if share_weights else nn.Linear(self._widths[1], width, bias=bias)
        self.attn = nn.Parameter(torch.empty(1, num_heads, out_feats))
        self.feat_drop = nn.Dropout(feat_drop)
        self.attn_drop = nn.Dropout(attn_drop)
        self.res_fc: nn.Module | None = None
        if residual:
            same = self._widths[1] == width
            self.res_fc = nn.Identity() if same else nn.Linear(self._widths[1], width, bias=bias)
        self.activation = activation
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new matrices and attention vectors, Glorot-normal for a relu; vectors b = 0."""
        gain = nn.init.calculate_gain("relu")
        for linear in dict.fromkeys((self.fc_src, self.fc_dst, self.res_fc)):
            if isinstance(linear, nn.Linear):
                nn.init.xavier_normal_(linear.weight, gain=gain)
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)
        nn.init.xavier_normal_(self.attn, gain=gain)

    def set_allow_zero_in_degree(self, set_value: bool) -> None:
        """Let nodes without in-edges through or not; ``dgl.nn.HeteroGraphConv`` does."""
        self._allow_zero_in_degree = set_value

    def forward(
        self,
        graph: Any,
        feat: Features,
        get_attention: bool = False,
        edge_weight: Float[Tensor, "edges *one"] | None = None,
    ) -> Float[Tensor, "dst heads d_out"] | tuple[Float[Tensor, "dst heads d_out"], Float[Tensor, "edges heads 1"]]:
        """Attend.

        Args:
            graph: a DGLGraph of one edge type, a block too.
            feat: features of the nodes, or a (source, destination) pair.
            get_attention: whether to return the attention too, after dropout and edge weights. Gradients do not go
                through its softmax.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        src, dst = feature_pair(graph, feat, self._widths)
        adjacency = adjacency_of(graph, src)
        if not self._allow_zero_in_degree:
            require_in_edges(adjacency)
        one = dst is src
        src = self.feat_drop(src)
        # The destination nodes of a block are its first source nodes: the same rows, dropped alike.
        dst = src if one else src[: len(dst)] if not isinstance(feat, tuple) else self.feat_drop(dst)
        value = self._per_head(self.fc_src(src))
        query = value if one and self.fc_dst is self.fc_src else self._per_head(self.fc_dst(dst))
        scale = self._scale(adjacency, value, edge_weight)
        attn = self.attn[0].to(value.dtype)
        out, attention = gatv2_aggregate(adjacency, value, query, attn, slope=self._slope, scale=scale)
        if self.res_fc is not None:
            out = out + self._per_head(self.res_fc(dst))
        if self.activation is not None:
            out = self.activation(out)
        if not get_attention:
            return out
        return out, (attention if scale is None else attention * scale).unsqueeze(-1)

    def _per_head(self, feat: Tensor) -> Tensor:
        return feat.reshape(len(feat), self._num_heads, self._out_feats)

    def _scale(self, adjacency: Adjacency, feat: Tensor, edge_weight: Tensor | None) -> Tensor | None:
        """(edges, heads or 1): dropout mask times edge weights."""
        weights = weights_of(edge_weight, adjacency, feat)
        scale = None if weights is None else weights.unsqueeze(1)
        if self.training and self.attn_drop.p > 0:
            kept = self.attn_drop(feat.new_ones(adjacency.num_edges, self._num_heads))
            return kept if scale is None else kept * scale
        return scale
