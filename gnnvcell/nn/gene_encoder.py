"""GeneGraphEncoder: gene embeddings from a typed gene graph and what is known of its nodes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gnnvcell import keys
from gnnvcell._dgl import dgl
from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, GraphIntegrityError, did_you_mean
from gnnvcell.nn.hetero_layer import EType, GatedHeteroLayer
from gnnvcell.nn.node_features import NodeFeatures
from gnnvcell.nn.source_fusion import SourceFusion


class GeneGraphEncoderConfig(Config):
    """Settings of the encoder.

    Args:
        width: d of all embeddings.
        layers: number of layers; 0 gives the projected features.
        conv: layer of every relation: gcn, sage, gin or gatv2.
        heads: of attention, in layers and in fusion.
        fusion: "joint" lets every layer see all relations; the others give every source a tower of layers and fuse what
            the towers say: concat, gated_sum, attention or mean.
        jumping: what is read out: the last layer, or the mean, maximum or projected concatenation of all.
        residual, norm: of every layer.
        dropout: of messages.
        edge_dropout: share of edges that are left out of a training step, the others weighing more in return.
        checkpoint_layers: recompute layers in the backward pass instead of keeping what they made.
    """

    width: int = Field(default=128, ge=1)
    layers: int = Field(default=2, ge=0)
    conv: Literal["gcn", "sage", "gin", "gatv2"] = "gcn"
    heads: int = Field(default=4, ge=1)
    fusion: Literal["joint", "concat", "gated_sum", "attention", "mean"] = "joint"
    jumping: Literal["last", "mean", "max", "concat"] = "last"
    residual: bool = True
    norm: bool = True
    dropout: float = Field(default=0.1, ge=0, lt=1)
    edge_dropout: float = Field(default=0.0, ge=0, lt=1)
    checkpoint_layers: bool = False


class GeneGraphEncoder(nn.Module):
    """Features of nodes -> layers of gated message passing over all relations -> gene embeddings.

    Nodes without features learn theirs (``NodeFeatures``); a layer is ``GatedHeteroLayer``; sources are read together
    or in towers of their own (``SourceFusion``). A layer has only the relations whose messages can still reach what is
    returned: the last one has those into ``node_type``, and so on backwards. The graph is given on every call and never
    copied; without gradient and in evaluation mode, the embeddings are remembered until parameters or graph change.

    Args:
        graph: a DGL heterograph, whose node and edge types the encoder is made for (``GeneGraph.graph``).
        features: node type to (nodes, width), such as ESM embeddings of genes.
        present: node type to (nodes,) bool, which rows of the features hold something; all when left out.
        sources: source to its relations (``GeneGraph.source_relations``), reverse ones go with them; needed by every
            fusion but "joint".
        node_type: whose embeddings are returned.
        config: settings.

    Shapes: result (genes, width).

    Raises:
        ConfigError: unknown node type or relation, or towers without sources.
        GraphIntegrityError: features that do not fit the graph, or a graph of other types on the call.

    Example:
        >>> graph = dgl.heterograph({("gene", "string", "gene"): ([0, 1], [1, 2])})
        >>> encoder = GeneGraphEncoder(graph, config=GeneGraphEncoderConfig(width=8, layers=1))
        >>> encoder(graph).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        graph: Any,
        *,
        features: Mapping[str, Float[Tensor, "nodes feats"]] | None = None,
        present: Mapping[str, Bool[Tensor, " nodes"]] | None = None,
        sources: Mapping[str, Sequence[str]] | None = None,
        node_type: str = keys.GENE,
        config: GeneGraphEncoderConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = cfg = config or GeneGraphEncoderConfig()
        features, present = features or {}, present or {}
        for name in (node_type, *features, *present):
            if name not in graph.ntypes:
                raise ConfigError(f"the graph has no node type {name!r}", remedy=did_you_mean(name, graph.ntypes))
        self.node_type = node_type
        self._num_nodes = {name: graph.num_nodes(name) for name in graph.ntypes}
        self._relations: list[EType] = [tuple(etype) for etype in graph.canonical_etypes]
        self.inputs = nn.ModuleDict(
            {
                name: NodeFeatures(count, cfg.width, features=features.get(name), present=present.get(name))
                for name, count in self._num_nodes.items()
            }
        )
        towers = self._towers(graph, sources)
        self.sources = list(towers)
        self.towers = nn.ModuleList(
            nn.ModuleList(
                GatedHeteroLayer(
                    relations,
                    cfg.width,
                    conv=cfg.conv,
                    heads=cfg.heads,
                    residual=cfg.residual,
                    norm=cfg.norm,
                    dropout=cfg.dropout,
                )
                for relations in _relations_of_layers(source, tower, cfg.layers, node_type)
            )
            for source, tower in towers.items()
        )
        if cfg.jumping == "concat":
            self.jump = nn.ModuleList(nn.Linear((cfg.layers + 1) * cfg.width, cfg.width) for _ in towers)
        self.fusion = None
        if cfg.fusion != "joint":
            self.fusion = SourceFusion(len(towers), cfg.width, how=cfg.fusion, heads=cfg.heads)
        self._remembered: tuple[Any, tuple, Tensor] | None = None
        self._moved: dict[EType, tuple[Tensor, int, Tensor]] = {}

    def _towers(self, graph: Any, sources: Mapping[str, Sequence[str]] | None) -> dict[str, list[EType]]:
        """Source to its canonical edge types; one entry for all when they are read together."""
        if self.config.fusion == "joint":
            return {"all": self._relations}
        if not sources:
            raise ConfigError(
                f"fusion {self.config.fusion!r} needs to know which source gave which relation",
                remedy="pass sources=gene_graph.source_relations",
            )
        found = {}
        for source, relations in sources.items():
            unknown = [r for r in relations if r not in graph.etypes]
            if unknown:
                raise ConfigError(
                    f"source {source!r} names a relation that the graph does not have: {unknown[0]!r}",
                    remedy=did_you_mean(unknown[0], graph.etypes),
                )
            both = [name for relation in relations for name in (relation, keys.REVERSE_PREFIX + relation)]
            there = dict.fromkeys(name for name in both if name in graph.etypes)
            found[source] = [graph.to_canonical_etype(name) for name in there]
        return found

    def forward(
        self, graph: Any, *, edge_weight: Mapping[EType, Float[Tensor, " edges"]] | None = None
    ) -> Float[Tensor, "genes d"]:
        """Embeddings of all genes, from the whole graph.

        Args:
            graph: of the types and node counts the encoder was made for.
            edge_weight: canonical edge type to weights; the graph's own ("weight") when left out. Embeddings of given
                weights are not remembered.
        """
        self._require_fitting(graph)
        if edge_weight is not None:
            return self._whole(graph, dict(edge_weight))
        weights = self._weights(graph)
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling() or _untracked(weights):
            return self._whole(graph, weights)
        state = self._state(weights)
        kept = self._remembered
        if kept is None or kept[0] is not graph._graph or kept[1] != state:
            kept = self._remembered = (graph._graph, state, self._whole(graph, weights))
        return kept[2]

    def _whole(self, graph: Any, weights: dict[EType, Tensor]) -> Tensor:
        hops = self.config.layers
        return self._encode([graph] * hops, dict.fromkeys(graph.ntypes), [weights] * hops)

    def sampled(
        self, graph: Any, genes: Int[Tensor, " genes"], *, fanouts: Sequence[int | Mapping[EType, int]]
    ) -> Float[Tensor, "genes d"]:
        """Embeddings of some genes, from sampled neighbourhoods (``dgl.dataloading.NeighborSampler``).

        Where fan-outs cover the graph (-1 takes every neighbour), these are the rows of the whole graph's embeddings.

        Args:
            graph: as of ``forward``.
            genes: indices.
            fanouts: in-edges per node and edge type, outermost layer first, one entry per layer.

        Raises:
            ConfigError: not one fan-out per layer.
        """
        if len(fanouts) != self.config.layers:
            raise ConfigError("not one fan-out per layer", expected=f"{self.config.layers}", found=f"{len(fanouts)}")
        self._require_fitting(graph)
        sampler = dgl.dataloading.NeighborSampler(list(fanouts))
        if not self.config.layers:
            return self._encode([], {**dict.fromkeys(graph.ntypes), self.node_type: genes}, [])
        _, _, blocks = sampler.sample_blocks(graph, {self.node_type: genes.to(graph.device, graph.idtype)})
        return self.encode_blocks(blocks, self._weights(graph))

    def encode_blocks(self, blocks: Sequence[Any], weights: Mapping[EType, Tensor]) -> Float[Tensor, "genes d"]:
        """Embeddings of the last block's genes: for blocks that a ``dgl.dataloading.DataLoader`` hands over.

        Args:
            blocks: one per layer.
            weights: of the whole graph's edges, by canonical edge type.
        """
        device = next(self.parameters()).device
        nodes = {t: blocks[0].srcnodes[t].data[dgl.NID].to(device) for t in blocks[0].srctypes}
        picked = [
            {
                etype: weights[etype][block.edges[etype].data[dgl.EID].to(device)]
                for etype in block.canonical_etypes
                if etype in weights
            }
            for block in blocks
        ]
        return self._encode(list(blocks), nodes, picked)

    def _encode(
        self, hops: list[Any], nodes: Mapping[str, Tensor | None], weights: list[dict[EType, Tensor]]
    ) -> Tensor:
        start = {name: self.inputs[name](chosen) for name, chosen in nodes.items()}
        thinned = [self._thinned(hop_weights, hop) for hop_weights, hop in zip(weights, hops, strict=True)]
        said = []
        for index, tower in enumerate(self.towers):
            h, seen = start, [start[self.node_type]]
            for layer, hop, hop_weights in zip(tower.children(), hops, thinned, strict=True):
                if self.config.checkpoint_layers and torch.is_grad_enabled():
                    h = checkpoint(layer, hop, h, hop_weights, use_reentrant=False)
                else:
                    h = layer(hop, h, hop_weights)
                seen.append(h[self.node_type])
            said.append(self._jumped(index, seen))
        return said[0] if self.fusion is None else self.fusion(torch.stack(said))

    def _jumped(self, tower: int, seen: list[Tensor]) -> Tensor:
        """What is read from all layers; the last layer's nodes are the first of every earlier one's."""
        if self.config.jumping == "last":
            return seen[-1]
        stacked = torch.stack([h[: len(seen[-1])] for h in seen])
        if self.config.jumping == "mean":
            return stacked.mean(dim=0)
        if self.config.jumping == "max":
            return stacked.amax(dim=0)
        return self.jump[tower](torch.cat(stacked.unbind(), dim=1))

    def _thinned(self, weights: dict[EType, Tensor], graph: Any) -> dict[EType, Tensor]:
        """Weights with some edges left out while training."""
        rate = self.config.edge_dropout
        if not self.training or rate == 0:
            return weights
        device = next(self.parameters()).device
        thinned = {}
        for etype in graph.canonical_etypes:
            weight = weights.get(etype)
            if weight is None:
                weight = torch.ones(graph.num_edges(etype), device=device)
            thinned[etype] = torch.dropout(weight, rate, train=True)
        return thinned

    def _weights(self, graph: Any) -> dict[EType, Tensor]:
        """The graph's own edge weights on the encoder's device, copied there once."""
        device = next(self.parameters()).device
        weights: dict[EType, Tensor] = {}
        for etype in map(tuple, graph.canonical_etypes):
            own = graph.edges[etype].data.get(keys.WEIGHT)
            if own is None:
                continue
            if own.is_inference():  # has no version to be known by
                weights[etype] = own.to(device)
                continue
            kept = self._moved.get(etype)
            if kept is None or kept[0] is not own or kept[1] != own._version or kept[2].device != device:
                with torch.inference_mode(mode=False):
                    kept = self._moved[etype] = (own, own._version, own.to(device))
            weights[etype] = kept[2]
        return weights

    def _state(self, weights: Mapping[EType, Tensor]) -> tuple:
        """What the embeddings depend on besides the graph; its own weights stay where they are in ``_moved``."""
        held = tuple((p.data_ptr(), p._version) for p in (*self.parameters(), *self.buffers()))
        given = tuple((k, w.data_ptr(), w._version, len(w)) for k, w in weights.items())
        return given, held, torch.is_inference_mode_enabled()  # what inference made is of no use in training

    def _require_fitting(self, graph: Any) -> None:
        found = {name: graph.num_nodes(name) for name in graph.ntypes}
        missing = [r for r in self._relations if r not in graph.canonical_etypes]
        if found != self._num_nodes or missing:
            raise GraphIntegrityError(
                "the graph is not one that the encoder was made for",
                expected=f"{self._num_nodes}, {len(self._relations)} relations",
                found=f"{found}" + (f" without {missing[0]}" if missing else ""),
                remedy="make the encoder with this graph",
            )


def _relations_of_layers(source: str, relations: list[EType], layers: int, node_type: str) -> list[list[EType]]:
    """The relations of each layer whose messages reach nodes of one type by the last layer."""
    wanted, found = {node_type}, []
    for _ in range(layers):
        found.append([relation for relation in relations if relation[2] in wanted])
        if not found[-1]:
            raise ConfigError(
                f"no relation of the source {source!r} leads to nodes of type {node_type!r}",
                found=", ".join(name for _, name, _ in relations) or "no relations",
                remedy="leave the source out, or add relations that do",
            )
        wanted |= {relation[0] for relation in found[-1]}
    return found[::-1]


def _untracked(weights: Mapping[EType, Tensor]) -> bool:
    """Whether a weight was made in inference mode: nobody could tell whether it was changed."""
    return any(weight.is_inference() for weight in weights.values())
