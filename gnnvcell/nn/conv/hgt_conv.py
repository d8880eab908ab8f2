"""HGTConv: attention with matrices by node type and by relation."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.nn.conv._inputs import Features, TypedWeight, feature_pair, stack_of, weights_of
from gnnvcell.ops import dot_aggregate

Types = Int[Tensor, " typed"] | tuple[Int[Tensor, " typed"], Int[Tensor, " typed_dst"]]


class HGTConv(nn.Module):
    """Heterogeneous graph transformer [Hu et al., Heterogeneous Graph Transformer, WWW 2020].

    ``k_u = h_u K_t(u)``, ``q_v = h_v Q_t(v)``, ``m_u = h_u V_t(u)``, split into heads; for every head
    ``s_uv = <k_u A_r(uv), q_v> mu_r(uv) / sqrt(head_size)``
    ``alpha_uv = softmax over all in-edges (u -> v) of v, of every relation, of s_uv``
    ``o_v = sum over edges (u -> v) of w_uv alpha_uv m_u M_r(uv)``
    ``h'_v = norm(g_t(v) dropout(o_v L_t(v)) + (1 - g_t(v)) h_v R)``

    ``t(u)`` is the type of node u and ``r(uv)`` the relation of an edge; ``K Q V L`` are matrices by node type, ``A M``
    by relation and head, ``mu`` numbers by relation and head, ``g = sigmoid(skip)`` by node type, ``R`` a matrix where
    widths differ, else nothing. ``w_uv`` is the edge's weight, 1 when left out; it scales the attention after the
    softmax (DGL's layer has none). One fused attention serves all relations: ``k A`` and ``m M`` are made per relation
    and source node, never per edge. Arguments, parameters and state dict are those of ``dgl.nn.HGTConv``.

    A node without in-edges gets ``o_v = 0``.

    Args:
        in_size: width of the features.
        head_size: width of a head.
        num_heads: number of heads.
        num_ntypes: number of node types.
        num_etypes: number of relations.
        dropout: of what a node hears.
        use_norm: whether the result is layer-normalised.

    Shapes: x (src, in_size) or a pair (src, in_size), (dst, in_size); ntype (src,) or a pair (src,), (dst,); etype
    (edges,); edge_weight (edges,); result (dst, num_heads * head_size).

    Raises:
        ConfigError: on the call, another width.
        GraphIntegrityError: on the call, a type or relation outside the range, or data that does not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = HGTConv(4, head_size=2, num_heads=2, num_ntypes=2, num_etypes=3)
        >>> graph, ntype, etype = dgl.graph(([0, 1], [2, 2])), torch.tensor([0, 0, 1]), torch.tensor([0, 2])
        >>> conv(graph, torch.randn(3, 4), ntype, etype).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_size: int,
        head_size: int,
        num_heads: int,
        num_ntypes: int,
        num_etypes: int,
        dropout: float = 0.2,
        use_norm: bool = False,
    ) -> None:
        super().__init__()
        width = head_size * num_heads
        self.in_size, self.head_size, self.num_heads = in_size, head_size, num_heads
        self.num_ntypes, self.num_etypes = num_ntypes, num_etypes
        self.linear_k = TypedWeight(in_size, width, num_ntypes)
        self.linear_q = TypedWeight(in_size, width, num_ntypes)
        self.linear_v = TypedWeight(in_size, width, num_ntypes)
        self.linear_a = TypedWeight(width, width, num_ntypes)
        self.relation_pri = nn.ParameterList(nn.Parameter(torch.ones(num_etypes)) for _ in range(num_heads))
        self.relation_att = nn.ModuleList(TypedWeight(head_size, head_size, num_etypes) for _ in range(num_heads))
        self.relation_msg = nn.ModuleList(TypedWeight(head_size, head_size, num_etypes) for _ in range(num_heads))
        self.skip = nn.Parameter(torch.ones(num_ntypes))
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width) if use_norm else None
        self.residual_w = nn.Parameter(torch.empty(in_size, width)) if in_size != width else None
        if self.residual_w is not None:
            nn.init.xavier_uniform_(self.residual_w)

    def forward(
        self,
        g: Any,
        x: Features,
        ntype: Types,
        etype: Int[Tensor, " edges"],
        *,
        presorted: bool = False,
        edge_weight: Float[Tensor, "edges *one"] | None = None,
    ) -> Float[Tensor, "dst d_out"]:
        """Attend.

        Args:
            g: a DGLGraph of one edge type, a block too.
            x: features of the nodes, or a (source, destination) pair.
            ntype: type of each node; a pair where x is one.
            etype: relation of each edge, in the graph's edge order. Hand over the same tensor every time: the
                relations are sorted once and remembered by it.
            presorted: taken for DGL's sake; nothing is faster for it here.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        src, dst = feature_pair(g, x, (self.in_size, self.in_size))
        src_types, dst_types = self._node_types(src, dst, ntype)
        stack = stack_of(g, etype, self.num_etypes, src, side="source")
        key, value = self._by_relation(src, src_types)
        query = self._per_head(dst_types.product(dst, self.linear_q.W))
        scale = weights_of(edge_weight, stack.adjacency, value)
        factor = 1 / math.sqrt(self.head_size)
        heard, _ = dot_aggregate(stack.adjacency, query, key, value, sm_scale=factor, scale=scale)
        heard = self.drop(dst_types.product(heard.flatten(1), self.linear_a.W))
        gate = torch.sigmoid(self.skip[dst_types.types]).unsqueeze(-1)
        own = dst if self.residual_w is None else dst @ self.residual_w
        out = heard * gate + own * (1 - gate)
        return out if self.norm is None else self.norm(out)

    def _by_relation(self, src: Tensor, types: "_NodeTypes") -> tuple[Tensor, Tensor]:
        """Keys and values (relations * src, heads, head_size) as each relation sees them."""
        both = types.product(src, torch.cat([self.linear_k.W, self.linear_v.W], dim=2))
        key, value = (self._per_head(part) for part in both.chunk(2, dim=1))
        # A number per relation and head goes into its matrix, which is small.
        attend = _stacked(self.relation_att) * torch.stack(list(self.relation_pri), dim=1)[:, :, None, None]
        key = torch.einsum("nhi,rhio->rnho", key, attend).flatten(0, 1)
        value = torch.einsum("nhi,rhio->rnho", value, _stacked(self.relation_msg)).flatten(0, 1)
        return key.contiguous(), value.contiguous()

    def _node_types(self, src: Tensor, dst: Tensor, ntype: Types) -> "tuple[_NodeTypes, _NodeTypes]":
        given = ntype if isinstance(ntype, tuple) else (ntype, ntype[: len(dst)])
        if len(given[0]) != len(src) or len(given[1]) != len(dst):
            raise GraphIntegrityError(
                "node types do not fit the graph",
                expected=f"{len(src)} source and {len(dst)} destination types",
                found=f"{len(given[0])} and {len(given[1])}",
                remedy="give a (source, destination) pair of types where the features are a pair",
            )
        of_src = _NodeTypes(given[0].to(src.device), self.num_ntypes)
        return of_src, of_src if dst is src else _NodeTypes(given[1].to(dst.device), self.num_ntypes)

    def _per_head(self, feat: Tensor) -> Tensor:
        return feat.reshape(len(feat), self.num_heads, self.head_size)


def _stacked(weights: nn.ModuleList) -> Tensor:
    """(relations, heads, head_size, head_size)."""
    return torch.stack([weight.W for weight in weights], dim=1)  # type: ignore[misc]


class _NodeTypes:
    """Nodes grouped by type, so that each type's matrix is one product."""

    def __init__(self, types: Tensor, num_types: int) -> None:
        self.types = types.long()
        if len(types) and not 0 <= int(types.min()) <= int(types.max()) < num_types:
            raise GraphIntegrityError(
                "a node has a type outside the range",
                expected=f"0 to {num_types - 1}",
                found=f"{int(types.min())} to {int(types.max())}",
            )
        if num_types > 1:
            self.order = torch.argsort(self.types, stable=True)
            self.back = torch.argsort(self.order)
            self.counts = torch.bincount(self.types, minlength=num_types).tolist()

    def product(self, feat: Tensor, matrices: Tensor) -> Tensor:
        """(nodes, d_out) ``feat[u] @ matrices[type of u]``."""
        if len(matrices) == 1:
            return feat @ matrices[0]
        parts = feat.index_select(0, self.order).split(self.counts)
        return torch.cat([part @ matrix for part, matrix in zip(parts, matrices, strict=True)]).index_select(
            0, self.back
        )
