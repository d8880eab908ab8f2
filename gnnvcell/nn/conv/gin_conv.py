"""GINConv: a sum of neighbours that tells multisets apart, and a function of it."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError
from gnnvcell.nn.conv._inputs import Features, adjacency_of, aggregate_nodes, feature_pair, weights_of

AGGREGATORS = ("sum", "max", "mean")


class GINConv(nn.Module):
    """Graph isomorphism network [Xu et al., How Powerful are Graph Neural Networks?, ICLR 2019].

    ``h'_v = act(f((1 + eps) h_v + aggregate over edges (u -> v) of w_uv h_u))``

    ``f`` is the given function (usually a perceptron), ``aggregate`` a sum, mean (by the number of in-edges) or
    maximum, and ``w_uv`` the edge's weight, 1 when left out. Arguments, parameters and state dict are those of
    ``dgl.nn.GINConv``.

    A node without in-edges hears 0 and gets ``act(f((1 + eps) h_v))``.

    Args:
        apply_func: f; the identity when left out.
        aggregator_type: "sum", "max" or "mean".
        init_eps: initial eps.
        learn_eps: whether eps is a parameter.
        activation: act; none when left out.

    Shapes: feat (src, ..., d) or a pair (src, ..., d), (dst, ..., d); edge_weight (edges,); result what f makes of
    (dst, ..., d). eps (1,).

    Raises:
        ConfigError: unknown aggregator.
        GraphIntegrityError: on the call, features or weights that do not fit the graph.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> conv = GINConv(aggregator_type="sum", init_eps=1.0)
        >>> conv(dgl.graph(([0, 1, 2], [1, 0, 0])), torch.tensor([[1.0], [3.0], [5.0]])).tolist()
        [[10.0], [7.0], [10.0]]
    """

    eps: Tensor

    def __init__(
        self,
        apply_func: Callable[[Tensor], Tensor] | None = None,
        aggregator_type: str = "sum",
        init_eps: float = 0,
        learn_eps: bool = False,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if aggregator_type not in AGGREGATORS:
            raise ConfigError(f"unknown aggregator {aggregator_type!r}", expected=", ".join(AGGREGATORS))
        self.apply_func = apply_func
        self._aggregator_type = aggregator_type
        self.activation = activation
        eps = torch.tensor([float(init_eps)])
        if learn_eps:
            self.eps = nn.Parameter(eps)
        else:
            self.register_buffer("eps", eps)

    def forward(
        self, graph: Any, feat: Features, edge_weight: Float[Tensor, "edges *one"] | None = None
    ) -> Float[Tensor, "dst *rest"]:
        """Convolve.

        Args:
            graph: a DGLGraph of one edge type, a block too.
            feat: features of the nodes, or a (source, destination) pair.
            edge_weight: in the graph's edge order. Gradients reach it.
        """
        src, dst = feature_pair(graph, feat, (None, None))
        adjacency = adjacency_of(graph, src)
        weights = weights_of(edge_weight, adjacency, src)
        heard = aggregate_nodes(adjacency, src, weights, reduce=self._aggregator_type)
        out = (1 + self.eps.to(dst.dtype)) * dst + heard
        if self.apply_func is not None:
            out = self.apply_func(out)
        return out if self.activation is None else self.activation(out)
