"""GatedHeteroLayer: one layer of message passing over all relations of a heterograph."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.nn.conv import GATv2Conv, GCNConv, GINConv, SAGEConv
from gnnvcell.ops import Adjacency
from gnnvcell.ops.eager import eager

EType = tuple[str, str, str]
CONVS = ("gcn", "sage", "gin", "gatv2")
_NO_MESSAGE = -1e9  # gate logit of a relation that does not reach a node


def make_conv(name: str, width: int, heads: int) -> nn.Module:
    """A layer of one relation, width to width, that lets nodes without in-edges through.

    Args:
        name: of ``CONVS``; "gcn" averages over in-edges, so that sampled blocks agree with the whole graph.
        width: d.
        heads: of "gatv2"; divides d.

    Raises:
        ConfigError: unknown name, or heads that do not divide the width.
    """
    if name not in CONVS:
        raise ConfigError(f"unknown layer {name!r}", expected=", ".join(CONVS), remedy=did_you_mean(name, CONVS))
    if name == "gcn":
        return GCNConv(width, width, norm="right", allow_zero_in_degree=True)
    if name == "sage":
        return SAGEConv(width, width, "mean")
    if name == "gin":
        return GINConv(nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)), "sum")
    if width % heads:
        raise ConfigError("the heads do not divide the width", expected=f"a divisor of {width}", found=f"{heads}")
    return GATv2Conv(width, width // heads, heads, allow_zero_in_degree=True)


class GatedHeteroLayer(nn.Module):
    """Messages of every relation, weighed node by node, added to what the node was.

    ``m_rv = conv_r(h)_v`` for every relation r into the type of v
    ``g_v = softmax over relations r that reach v of (a_r . m_rv + b_r)``
    ``h'_v = LayerNorm(h_v + dropout(SiLU(sum_r g_rv m_rv)))``

    A node that no relation reaches keeps h. A node type that only one relation leads to has no gate: nothing is to be
    weighed. The convolutions may be this library's or DGL's: anything that is called as ``conv(graph, (h_src, h_dst),
    edge_weight=w)``.

    Args:
        relations: canonical edge types.
        width: d of all node types.
        conv: layer of every relation, a name of ``CONVS``.
        heads: of attention.
        residual: whether h_v is added.
        norm: whether the result is normalised.
        dropout: of the messages.

    Shapes: h {node type: (nodes, d)}; result {destination type: (nodes, d)}.

    Raises:
        ConfigError: no relations, or an unknown convolution.
    """

    def __init__(
        self,
        relations: Sequence[EType],
        width: int,
        *,
        conv: str = "gcn",
        heads: int = 4,
        residual: bool = True,
        norm: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not relations:
            raise ConfigError("a layer without relations", expected="at least one canonical edge type")
        self.relations: list[EType] = [(src, name, dst) for src, name, dst in relations]
        self.convs = nn.ModuleDict({name_of(r): make_conv(conv, width, heads) for r in self.relations})
        into = [relation[2] for relation in self.relations]
        weighed = [name_of(relation) for relation in self.relations if into.count(relation[2]) > 1]
        self.gate = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in weighed})
        self.gate_bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(1)) for name in weighed})
        types = sorted({relation[2] for relation in self.relations})
        self.norms = nn.ModuleDict({t: nn.LayerNorm(width) if norm else nn.Identity() for t in types})
        self.residual, self.dropout = residual, dropout

    def forward(
        self, graph: Any, h: Mapping[str, Tensor], edge_weight: Mapping[EType, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "nodes d"]]:
        """One layer.

        Args:
            graph: a heterograph, or a block of one.
            h: source features of every node type.
            edge_weight: per canonical edge type (edges,); 1 where left out.
        """
        out = {t: self._updated(graph, t, h, edge_weight or {}) for t in self.norms}
        # Types that no relation reaches hand on what they are.
        return {t: out[t] if t in out else _destinations(graph, t, h) for t in h}

    def _updated(self, graph: Any, node_type: str, h: Mapping[str, Tensor], weights: Mapping[EType, Tensor]) -> Tensor:
        own = _destinations(graph, node_type, h)
        messages, logits = [], []
        for relation in self.relations:
            if relation[2] != node_type:
                continue
            part, name = graph[relation], name_of(relation)
            message = self.convs[name](part, (h[relation[0]], own), edge_weight=weights.get(relation)).flatten(1)
            reached = _reached(part, message.device)
            if name in self.gate:
                logit = message @ self.gate[name] + self.gate_bias[name]
            else:
                logit = message.new_zeros(len(message))
            messages.append(message)
            logits.append(logit.masked_fill(~reached, _NO_MESSAGE))
        stacked = torch.stack(logits, dim=1)
        gates = stacked.softmax(dim=1) * (stacked > _NO_MESSAGE)
        mixed = gates[:, :1] * messages[0]
        for i, message in enumerate(messages[1:], start=1):
            mixed = torch.addcmul(mixed, gates[:, i : i + 1], message)
        mixed = F.dropout(F.silu(mixed), self.dropout, self.training)
        changed = self.norms[node_type](own + mixed if self.residual else mixed)
        any_message = gates.sum(dim=1, keepdim=True) > 0
        return torch.where(any_message, changed, own)  # of the wider type: autocast normalises in float32


@eager
def _reached(graph: Any, device: torch.device) -> Tensor:
    return Adjacency.of(graph, device=device).in_degrees > 0


def _destinations(graph: Any, node_type: str, h: Mapping[str, Tensor]) -> Tensor:
    """A block's destination nodes are the first of its source nodes."""
    return h[node_type][: graph.num_dst_nodes(node_type)] if graph.is_block else h[node_type]


def name_of(relation: EType) -> str:
    """A relation as a module's name."""
    return "__".join(relation).replace(".", "_")
