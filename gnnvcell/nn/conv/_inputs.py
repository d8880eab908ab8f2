"""What layers do with their arguments before the arithmetic: pairs of features, adjacencies, weights, degrees."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops import Adjacency, RelationStack, aggregate
from gnnvcell.ops.eager import eager

Features = (
    Float[Tensor, "src *extra d_src"] | tuple[Float[Tensor, "src *extra d_src"], Float[Tensor, "dst *extra d_dst"]]
)


def adjacency_of(graph: Any, feat: Tensor) -> Adjacency:
    """The remembered adjacency of a graph of one edge type, on the features' device."""
    return _adjacency(graph, feat.device)


def stack_of(
    graph: Any, etypes: Int[Tensor, " edges"], num_relations: int, feat: Tensor, *, side: str = "destination"
) -> RelationStack:
    """The remembered stack of relations of a graph whose edges carry them, on the features' device."""
    return _stack(graph, etypes, num_relations, side, feat.device)


# DGL graphs are no tensors: looking one up is a graph break.
@eager
def _adjacency(graph: Any, device: torch.device) -> Adjacency:
    return Adjacency.of(graph, device=device)


@eager
def _stack(graph: Any, etypes: Tensor, num_relations: int, side: str, device: torch.device) -> RelationStack:
    return RelationStack.of(graph, etypes, num_relations, side=side, device=device)


def width_pair(in_feats: int | tuple[int, int]) -> tuple[int, int]:
    """(source, destination) widths of a layer."""
    return in_feats if isinstance(in_feats, tuple) else (in_feats, in_feats)


def feature_pair(graph: Any, feat: Features, widths: tuple[int | None, int | None]) -> tuple[Tensor, Tensor]:
    """(source, destination) features of a call.

    One tensor stands for both sides where source and destination are of one node type; the destination nodes of a
    block are the first of its source nodes.

    Args:
        graph: a DGLGraph of one edge type, a block too.
        feat: one tensor or a pair.
        widths: what the layer was made for; None is any.

    Raises:
        GraphIntegrityError: one tensor for two node types, or another number of rows than nodes.
        ConfigError: another width than the layer's.
    """
    if isinstance(feat, tuple):
        src, dst = feat
    elif graph.is_block:
        src, dst = feat, feat[: graph.num_dst_nodes()]
    elif graph.srctypes == graph.dsttypes:
        src = dst = feat
    else:
        raise GraphIntegrityError(
            "one feature tensor was given for a relation between two node types",
            expected="a pair (source features, destination features)",
            found=f"{tuple(feat.shape)} for {graph.canonical_etypes[0]}",
            remedy="call the layer with (source features, destination features)",
        )
    _require_shape(src, graph.num_src_nodes(), widths[0], "source")
    if dst is not src:
        _require_shape(dst, graph.num_dst_nodes(), widths[1], "destination")
    return src, dst


def source_features(graph: Any, feat: Features, width: int | None) -> Tensor:
    """The source features alone, for layers that read no others.

    Raises:
        GraphIntegrityError: another number of rows than source nodes.
        ConfigError: another width than the layer's.
    """
    src = feat[0] if isinstance(feat, tuple) else feat
    _require_shape(src, graph.num_src_nodes(), width, "source")
    return src


def _require_shape(feat: Tensor, nodes: int, width: int | None, side: str) -> None:
    if len(feat) != nodes:
        raise GraphIntegrityError(
            f"{side} features do not fit the graph", expected=f"{nodes} {side} nodes", found=f"{len(feat)} rows"
        )
    if width is not None and feat.shape[-1] != width:
        raise ConfigError(
            f"{side} features do not fit the layer",
            expected=f"width {width}",
            found=f"width {feat.shape[-1]}",
            remedy="make the layer with the features' width as in_feats",
        )


def weights_of(
    edge_weight: Shaped[Tensor, "edges *one"] | None, adjacency: Adjacency, feat: Tensor
) -> Float[Tensor, " edges"] | None:
    """Edge weights (edges,) of the features' type; (edges, 1) is taken as well.

    Raises:
        GraphIntegrityError: not one weight per edge.
    """
    if edge_weight is None:
        return None
    if len(edge_weight) != adjacency.num_edges or edge_weight.numel() != adjacency.num_edges:
        raise GraphIntegrityError(
            "edge weights do not fit the graph",
            expected=f"({adjacency.num_edges},) in the graph's edge order",
            found=str(tuple(edge_weight.shape)),
        )
    # Tensors that fit stay the objects they are: an adjacency remembers the row order of constant weights by them.
    flat = edge_weight if edge_weight.dim() == 1 else edge_weight.reshape(-1)
    return flat.to(feat.dtype)


def require_in_edges(adjacency: Adjacency) -> None:
    """Refuse destination nodes without in-edges.

    Raises:
        GraphIntegrityError: there are such nodes.
    """
    if adjacency.silent_nodes:
        raise GraphIntegrityError(
            "there are nodes without in-edges, which no message reaches",
            expected="an in-edge at every destination node",
            found=f"{adjacency.silent_nodes} of {adjacency.num_dst} without",
            remedy="add self loops with dgl.add_self_loop(graph), or make the layer with allow_zero_in_degree=True",
        )


def aggregate_nodes(
    adjacency: Adjacency,
    feat: Float[Tensor, "src *extra d"],
    weight: Float[Tensor, " edges"] | None = None,
    *,
    reduce: str = "sum",
) -> Float[Tensor, "dst *extra d"]:
    """``ops.aggregate`` of features with nodes first, as DGL's layers take them."""
    return aggregate(adjacency, feat.movedim(0, -2), weight, reduce=reduce).movedim(-2, 0)


def scale_by_degree(
    feat: Float[Tensor, "nodes *rest"], degrees: Shaped[Tensor, " nodes"], power: float
) -> Float[Tensor, "nodes *rest"]:
    """``feat * degrees ** power`` row by row; a degree of 0 counts as 1. Computed in float32 at least."""
    wide = torch.where(degrees > 0, degrees, 1).to(torch.promote_types(feat.dtype, torch.float32))
    return feat * wide.pow(power).to(feat.dtype).reshape(-1, *[1] * (feat.dim() - 1))


class TypedWeight(nn.Module):
    """One matrix per type, under the names, shapes and initial values of ``dgl.nn.TypedLinear``.

    Args:
        in_size: input width.
        out_size: output width.
        num_types: number of types.
        regularizer: None (a matrix each), "basis" (shares of common matrices) or "bdd" (block diagonal).
        num_bases: number of common matrices, or of diagonal blocks.

    Raises:
        ConfigError: unknown regularizer, no ``num_bases`` for one, or widths that do not split into blocks.
    """

    def __init__(
        self, in_size: int, out_size: int, num_types: int, regularizer: str | None = None, num_bases: int | None = None
    ) -> None:
        super().__init__()
        if regularizer not in (None, "basis", "bdd"):
            raise ConfigError(f"unknown regularizer {regularizer!r}", expected='None, "basis" or "bdd"')
        count = num_bases or 0
        if regularizer is not None and count < 1:
            raise ConfigError(f"{regularizer} needs num_bases", expected="1 or more", found=str(num_bases))
        if regularizer == "bdd" and (in_size % count or out_size % count):
            raise ConfigError(
                "the widths do not split into blocks",
                expected=f"multiples of num_bases={count}",
                found=f"{in_size} and {out_size}",
            )
        shapes = {
            None: (num_types, in_size, out_size),
            "basis": (count, in_size, out_size),
            "bdd": (num_types, in_size * out_size // max(count, 1)),
        }
        self.W = nn.Parameter(torch.empty(shapes[regularizer]))
        if regularizer == "basis":
            self.coeff = nn.Parameter(torch.empty(num_types, count))
        self._bound = 1 / math.sqrt(in_size // count if regularizer == "bdd" else in_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values."""
        nn.init.uniform_(self.W, -self._bound, self._bound)
        if hasattr(self, "coeff"):
            nn.init.xavier_uniform_(self.coeff, gain=nn.init.calculate_gain("relu"))
