"""RelGraphConv: a matrix per relation, whole, shared through bases or block-diagonal."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gnnvcell.nn.conv._inputs import Features, TypedWeight, feature_pair, stack_of, weights_of
from gnnvcell.ops import RelationStack, basis_aggregate, block_aggregate


class RelGraphConv(nn.Module):
    """R-GCN [Schlichtkrull et al., Modeling Relational Data with Graph Convolutional Networks, ESWC 2018].

    ``h'_v = act(sum over relations r, edges (u -r-> v) of n_uv w_uv h_u W_r + b + h_v W_0)``

    ``W_r`` is a matrix of its own (regularizer None), ``sum_b a_rb V_b`` ("basis") or block-diagonal ("bdd"); ``n_uv``
    is the edge's normaliser and ``w_uv`` its weight (they multiply; either may be left out); ``b`` and the self loop
    ``h_v W_0`` can be switched off. With ``layer_norm`` the sum is normalised before b and the self loop are added;
    dropout comes last. Messages are summed before matrices are applied: nothing of size edges x width is made.
    Arguments, parameters and state dict are those of ``dgl.nn.RelGraphConv``.

    A node without in-edges gets ``act(b + h_v W_0)``.

    Args:
        in_feat: width of the features.
        out_feat: width of the result.
        num_rels: number of relations.
        regularizer: None, "basis" or "bdd".
        num_bases: number of bases or blocks; num_rels when left out.
        bias: whether there is a vector b.
        activation: act; none when left out.
        self_loop: whether there is W_0.
        dropout: of the result.
        layer_norm: whether the sum over relations is layer-normalised.

    Shapes: feat (src, in_feat) or a pair (src, in_feat), (dst, in_feat); etypes (edges,); norm (edges, 1) or (edges,);
    edge_weight (edges,); result (dst, out_feat). linear_r.W (num_rels, in_feat, out_feat), (num_bases, in_feat,
    out_feat) or (num_rels, in_feat * out_feat / num_bases); linear_r.coeff (num_rels, num_bases).

    Raises:
        ConfigError: unknown regularizer, widths that do not split into blocks, or on the call another width.
        GraphIntegrityError: on the call, a relation outside the range, or data that does not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = RelGraphConv(1, 1, num_rels=2, bias=False, self_loop=False)
        >>> _ = conv.linear_r.W.data.copy_(torch.tensor([[[1.0]], [[10.0]]]))
        >>> graph, etypes = dgl.graph(([0, 1], [2, 2])), torch.tensor([0, 1])
        >>> conv(graph, torch.tensor([[1.0], [2.0], [3.0]]), etypes).tolist()
        [[0.0], [0.0], [21.0]]
    """

    def __init__(
        self,
        in_feat: int,
        out_feat: int,
        num_rels: int,
        regularizer: str | None = None,
        num_bases: int | None = None,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
        self_loop: bool = True,
        dropout: float = 0.0,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        bases = num_rels if num_bases is None else num_bases
        self._in_feat, self._out_feat, self._num_rels, self._blocks = in_feat, out_feat, num_rels, bases
        self._regularizer = regularizer
        self.linear_r = TypedWeight(in_feat, out_feat, num_rels, regularizer, bases)
        self.activation = activation
        self.h_bias = nn.Parameter(torch.zeros(out_feat)) if bias else None
        self.layer_norm_weight = nn.LayerNorm(out_feat) if layer_norm else None
        self.loop_weight = nn.Parameter(torch.empty(in_feat, out_feat)) if self_loop else None
        if self.loop_weight is not None:
            nn.init.xavier_uniform_(self.loop_weight, gain=nn.init.calculate_gain("relu"))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        g: Any,
        feat: Features,
        etypes: Int[Tensor, " edges"],
        norm: Float[Tensor, "edges *column"] | None = None,
        *,
        presorted: bool = False,
        edge_weight: Float[Tensor, "edges *one"] | None = None,
    ) -> Float[Tensor, "dst d_out"]:
        """Convolve.

        Args:
            g: a DGLGraph of one edge type, a block too.
            feat: features of the nodes, or a (source, destination) pair.
            etypes: relation of each edge, in the graph's edge order. Hand over the same tensor every time: the
                relations are sorted once and remembered by it.
            norm: normaliser of each edge. Gradients reach it.
            presorted: taken for DGL's sake; nothing is faster for it here.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        src, dst = feature_pair(g, feat, (self._in_feat, self._in_feat))
        stack = stack_of(g, etypes, self._num_rels, src)
        weight = weights_of(edge_weight, stack.adjacency, src)
        normaliser = weights_of(norm, stack.adjacency, src)
        if normaliser is not None:
            weight = normaliser if weight is None else normaliser * weight
        h = self._messages(stack, src, weight)
        if self.layer_norm_weight is not None:
            h = self.layer_norm_weight(h)
        if self.h_bias is not None:
            h = h + self.h_bias
        if self.loop_weight is not None:
            h = h + dst @ self.loop_weight
        return self.dropout(h if self.activation is None else self.activation(h))

    def _messages(self, stack: RelationStack, src: Tensor, weight: Tensor | None) -> Tensor:
        matrices = self.linear_r.W
        if self._regularizer == "basis":
            return basis_aggregate(stack, src, self.linear_r.coeff, matrices, weight)
        if self._regularizer == "bdd":
            count = self._blocks
            blocks = matrices.reshape(self._num_rels, count, self._in_feat // count, self._out_feat // count)
            return block_aggregate(stack, src, blocks, weight)
        return block_aggregate(stack, src, matrices.unsqueeze(1), weight)  # one block: the whole matrix
