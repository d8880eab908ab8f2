"""RelationDiffusion: what starts at some genes spreads over all relations of the graph, with learned shares of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell import keys
from gnnvcell.errors import ConfigError
from gnnvcell.nn.hetero_layer import EType, name_of
from gnnvcell.ops import Adjacency, aggregate

_CALIBRATED = 64  # genes from which the scale of each hop is found


class RelationDiffusion(nn.Module):
    """Several channels of diffusion over a typed graph, each with its own mixture of relations in every hop::

        x^0 = start at genes, 0 at other nodes
        x^h_vk = sum_r g_hkr sum_u P_r[v, u] x^(h-1)_uk,    P_r[v, u] = w_uv / sqrt(out_r(u) in_r(v))
        result_ghk = asinh(a_hk x^h_gk)

    over the relations r into the type of v, with shares g = softmax over them and scales a, both learned; ``out`` and
    ``in`` are sums of edge weights. Terms and pathways take part: a gene reaches another by way of a term in two hops.
    A hop has only the relations that carry something and can still reach a gene. Scales begin so that the mean of what
    a gene starts is 1 at the genes it reaches; asinh is linear below that and logarithmic above, so that hubs and the
    start itself do not drown the others. The result is a function of the sum of what starts: two starts together are
    nearly their sum where they reach different genes.

    Args:
        graph: a DGL heterograph (``GeneGraph.graph``).
        hops: number of hops, at least 1.
        channels: number of mixtures.
        node_type: where things start and are read.

    Shapes: start (genes, actions); result (actions, genes, hops, channels).

    Raises:
        ConfigError: no hop, no channel, or no relation that leads from a gene to a gene within the hops.

    Example:
        >>> from gnnvcell._dgl import dgl
        >>> graph = dgl.heterograph({("gene", "string", "gene"): ([0, 1], [1, 2])})
        >>> RelationDiffusion(graph, hops=2, channels=1)(graph, torch.eye(3)[:, :1])[0, :, :, 0].argmax(dim=0)
        tensor([1, 2])
    """

    def __init__(self, graph: Any, *, hops: int = 3, channels: int = 4, node_type: str = keys.GENE) -> None:
        super().__init__()
        if hops < 1 or channels < 1:
            raise ConfigError("diffusion needs hops and channels", expected="1 or more", found=f"{hops}, {channels}")
        self.node_type, self.channels = node_type, channels
        self.relations = relations_of_hops([tuple(etype) for etype in graph.canonical_etypes], hops, node_type)
        self.shares = nn.ModuleList(
            nn.ParameterDict({name_of(r): nn.Parameter(0.5 * torch.randn(channels)) for r in _mixed(relations)})
            for relations in self.relations
        )
        self.log_scale = nn.Parameter(torch.zeros(hops, channels))
        self._kept: dict[EType, tuple[Tensor, int, Tensor]] = {}
        self._calibrate(graph)

    def forward(
        self,
        graph: Any,
        start: Float[Tensor, "genes actions"],
        *,
        edge_weight: Mapping[EType, Float[Tensor, " edges"]] | None = None,
    ) -> Float[Tensor, "actions genes hops channels"]:
        """Diffuse.

        Args:
            graph: the graph it was made for, or one of the same types.
            start: what starts at each gene, for every action.
            edge_weight: canonical edge type to weights, in place of the graph's own.
        """
        reached = torch.stack(self._hops(graph, start, edge_weight), dim=2)  # (genes, actions, hops, channels)
        return torch.asinh(reached * self.log_scale.exp()).permute(1, 0, 2, 3)

    def _hops(self, graph: Any, start: Tensor, edge_weight: Mapping[EType, Tensor] | None) -> list[Tensor]:
        """(genes, actions, channels) after each hop."""
        weights: dict[EType, tuple[Adjacency, Tensor]] = {}
        state = {self.node_type: start[:, :, None]}  # one channel, until relations are mixed
        found = []
        for relations, shares in zip(self.relations, self.shares, strict=True):
            for relation in relations:
                if relation not in weights:
                    weights[relation] = self._weighted(graph, relation, edge_weight, start.device)
            state = self._hop(relations, shares, weights, state)  # type: ignore[arg-type]
            at_genes = state.get(self.node_type)
            if at_genes is None:  # the way back from a term is yet to come
                at_genes = torch.zeros(1, device=start.device)
            found.append(at_genes.expand(*start.shape, self.channels))
        return found

    def _hop(
        self,
        relations: Sequence[EType],
        shares: nn.ParameterDict,
        weights: Mapping[EType, tuple[Adjacency, Tensor]],
        state: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for node_type in sorted({relation[2] for relation in relations}):
            into = [relation for relation in relations if relation[2] == node_type]
            messages = [_message(*weights[relation], state[relation[0]]) for relation in into]
            if len(into) == 1:
                out[node_type] = messages[0]
                continue
            share = torch.stack([shares[name_of(relation)] for relation in into]).softmax(dim=0)
            out[node_type] = torch.stack([m * s for m, s in zip(messages, share, strict=True)]).sum(dim=0)
        return out

    def _weighted(
        self, graph: Any, relation: EType, given: Mapping[EType, Tensor] | None, device: torch.device
    ) -> tuple[Adjacency, Tensor]:
        """The adjacency of a relation, and P_r in edge order; made once for the graph's own weights."""
        adjacency = Adjacency.of(graph, relation, device=device)
        if given is not None and relation in given:
            return adjacency, symmetric_weights(adjacency, given[relation].to(device))
        own = graph.edges[relation].data.get(keys.WEIGHT)
        if own is None:
            own = torch.ones(graph.num_edges(relation))
        kept = self._kept.get(relation)
        if kept is None or kept[0] is not own or kept[1] != own._version or kept[2].device != device:
            with torch.inference_mode(mode=False), torch.no_grad():
                kept = self._kept[relation] = (own, own._version, symmetric_weights(adjacency, own.to(device)))
        return adjacency, kept[2]

    @torch.no_grad()
    def _calibrate(self, graph: Any) -> None:
        genes = graph.num_nodes(self.node_type)
        some = torch.linspace(0, genes - 1, min(genes, _CALIBRATED)).long()
        start = torch.zeros(genes, len(some))
        start[some, torch.arange(len(some))] = 1.0
        for hop, reached in enumerate(self._hops(graph, start, None)):
            mean = reached.sum(dim=(0, 1)) / (reached > 0).sum(dim=(0, 1)).clamp_min(1)
            self.log_scale[hop] = -torch.where(mean > 0, mean, torch.ones_like(mean)).log()


def symmetric_weights(adjacency: Adjacency, weight: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
    """``w_uv / sqrt(out(u) in(v))`` in edge order; 0 where an end has no weight.

    Args:
        adjacency: the edges.
        weight: in edge order, >= 0.
    """
    leaving = aggregate(adjacency.transpose, weight.new_ones(adjacency.num_dst, 1), weight)[:, 0]
    arriving = aggregate(adjacency, weight.new_ones(adjacency.num_src, 1), weight)[:, 0]
    source, target = torch.empty_like(adjacency.edge_ids), torch.empty_like(adjacency.edge_ids)
    source[adjacency.edge_ids] = adjacency.indices.long()
    target[adjacency.edge_ids] = adjacency.rows.long()
    both = leaving[source] * arriving[target]
    return weight * torch.where(both > 0, both, torch.ones_like(both)).rsqrt()


def relations_of_hops(relations: Sequence[EType], hops: int, node_type: str) -> list[list[EType]]:
    """The relations of each hop that carry what started at a node type and can still reach one of it.

    Raises:
        ConfigError: a hop has none.
    """
    carrying, found = {node_type}, []
    for _ in range(hops):
        found.append([r for r in relations if r[0] in carrying])
        carrying = {r[2] for r in found[-1]}
    useful = {node_type}  # of what arrives in the last hop, the genes' are read
    for hop in reversed(range(hops)):
        found[hop] = [r for r in found[hop] if r[2] in useful]
        useful = {node_type} | {r[0] for r in found[hop]}
    if not found[-1]:
        raise ConfigError(
            f"no relation leads from nodes of type {node_type!r} to others of it in {hops} hops",
            found=", ".join(name for _, name, _ in relations) or "no relations",
            remedy="more hops, or relations that do",
        )
    return found


def _message(adjacency: Adjacency, weight: Tensor, state: Tensor) -> Tensor:
    """(nodes, actions, channels) of what arrives."""
    return aggregate(adjacency, state.flatten(1), weight).view(-1, *state.shape[1:])


def _mixed(relations: Sequence[EType]) -> list[EType]:
    """Relations that share their destination with others; one that does not has nothing to be weighed against."""
    into = [relation[2] for relation in relations]
    return [relation for relation in relations if into.count(relation[2]) > 1]
