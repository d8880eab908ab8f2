"""SignedConv: activating and repressing edges are heard apart."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.nn.conv._inputs import Features, feature_pair, stack_of, weights_of, width_pair
from gnnvcell.ops import RelationStack, relation_aggregate

_SIGNS_KEPT = 16


class SignedConv(nn.Module):
    """One step over signed edges, such as activation and repression in gene regulation.

    ``h'_v = act(W_self h_v + b + W_pos mean over edges (u -+> v) of |w_uv| h_u - W_neg mean over edges (u --> v) of
    |w_uv| h_u)``

    ``-+>`` and ``-->`` are edges of sign +1 and -1 and ``w_uv`` the edge's weight, 1 when left out. Each mean divides
    by the number of a node's in-edges of that sign; edges of sign 0 (unknown) carry nothing and are not counted. The
    layer is this library's own. Its relative is SGCN [Derr et al., Signed Graph Convolutional Networks, ICDM 2018],
    which also gives the signs their own matrices, but keeps two states per node, for friends and for enemies by balance
    theory; here there is one state, and the sign of an edge is the sign of its effect.

    A node without signed in-edges gets ``act(W_self h_v + b)``.

    Args:
        in_feats: width of the features, or a (source, destination) pair of widths.
        out_feats: width of the result.
        bias: whether there is a vector b.
        activation: act; none when left out.

    Shapes: feat (src, in_feats) or a pair (src, in_feats[0]), (dst, in_feats[1]); sign and edge_weight (edges,); result
    (dst, out_feats).

    Raises:
        ConfigError: on the call, neither signs nor weights, or another width.
        GraphIntegrityError: on the call, a sign other than +1, -1 and 0, or data that does not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = SignedConv(1, 1, bias=False)
        >>> for linear in (conv.fc_self, conv.fc_pos, conv.fc_neg):
        ...     _ = torch.nn.init.ones_(linear.weight)
        >>> graph = dgl.graph(([0, 1], [2, 2]))
        >>> conv(graph, torch.tensor([[1.0], [5.0], [10.0]]), torch.tensor([1, -1])).tolist()
        [[1.0], [5.0], [6.0]]
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._widths = width_pair(in_feats)
        self.fc_self = nn.Linear(self._widths[1], out_feats, bias=bias)
        self.fc_pos = nn.Linear(self._widths[0], out_feats, bias=False)
        self.fc_neg = nn.Linear(self._widths[0], out_feats, bias=False)
        self.activation = activation
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new matrices, Glorot-uniform; b = 0."""
        for linear in (self.fc_self, self.fc_pos, self.fc_neg):
            nn.init.xavier_uniform_(linear.weight)
        if self.fc_self.bias is not None:
            nn.init.zeros_(self.fc_self.bias)

    def forward(
        self,
        graph: Any,
        feat: Features,
        sign: Num[Tensor, " edges"] | None = None,
        edge_weight: Float[Tensor, "edges *one"] | None = None,
    ) -> Float[Tensor, "dst d_out"]:
        """Convolve.

        Args:
            graph: a DGLGraph of one edge type, a block too.
            feat: features of the nodes, or a (source, destination) pair.
            sign: +1, -1 or 0 for each edge, in the graph's edge order; those of ``edge_weight`` when left out. Hand
                over the same tensor every time: edges are sorted by sign once and remembered by it.
            edge_weight: in the graph's edge order; only its size counts where the sign is given. Gradients reach it.
        """
        src, dst = feature_pair(graph, feat, self._widths)
        signs = edge_weight if sign is None else sign
        if signs is None:
            raise ConfigError(
                "edges have no sign", expected="sign or a signed edge_weight", remedy='give sign=graph.edata["sign"]'
            )
        stack = _stack_of_signs(graph, signs, src, exact=sign is not None)
        weights = weights_of(edge_weight, stack.adjacency, src)
        heard = relation_aggregate(stack, src, None if weights is None else weights.abs())[:2]
        counts = stack.adjacency.in_degrees.reshape(stack.num_relations, -1)[:2]
        positive, negative = heard / counts.clamp(min=1).to(heard.dtype).unsqueeze(-1)
        out = self.fc_self(dst) + self.fc_pos(positive) - self.fc_neg(negative)
        return out if self.activation is None else self.activation(out)


_REMEMBERED: dict[tuple[int, int, bool], tuple[Tensor, Tensor, int]] = {}  # oldest first


def _stack_of_signs(graph: Any, sign: Tensor, feat: Tensor, *, exact: bool) -> RelationStack:
    """Relations: 0 positive, 1 negative, and 2 of unknown sign where there are such edges."""
    if sign.requires_grad or sign.is_inference():  # changes from call to call, or nobody could tell: not kept
        src, dst = (ends.to(feat.device) for ends in graph.edges(order="eid"))
        relation, count = _relations(sign.detach(), exact)
        nodes = {"num_src": graph.num_src_nodes(), "num_dst": graph.num_dst_nodes()}
        return RelationStack(src, dst, relation.to(feat.device), count, **nodes)
    key = (id(sign), sign._version, exact)
    found = _REMEMBERED.pop(key, None)  # and put back as the youngest
    if found is None:
        with torch.inference_mode(mode=False):
            found = (sign, *_relations(sign, exact))  # the sign is kept, so that its identity stays its own
        for oldest in list(_REMEMBERED)[: len(_REMEMBERED) + 1 - _SIGNS_KEPT]:
            _REMEMBERED.pop(oldest, None)
    _REMEMBERED[key] = found
    _, relation, count = found
    return stack_of(graph, relation, count, feat)


def _relations(sign: Tensor, exact: bool) -> tuple[Tensor, int]:
    sign = sign.reshape(-1)
    values = torch.unique(sign) if exact else sign.sign().unique()
    signs = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64, device=values.device)
    if not bool(torch.isin(values.to(torch.float64), signs).all()):
        raise GraphIntegrityError(
            "signs are not signs", expected="+1, -1, or 0 where unknown", found=", ".join(map(str, values[:5].tolist()))
        )
    relation = torch.where(sign > 0, 0, torch.where(sign < 0, 1, 2))
    return relation, 3 if bool((sign == 0).any()) else 2
