"""without_edges: a gene graph less some edges, quickly enough to ask of hundreds of edges what they carry."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.gene_graph import GeneGraph

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def without_edges(graph: GeneGraph, removed: Mapping[str, Pairs | None]) -> GeneGraph:
    """The graph less some edges; nodes, the order of the other edges, and relations that lose all edges stay.

    What did not change is shared with the graph and not copied, so that a deletion takes milliseconds.

    Args:
        graph: the graph; not changed.
        removed: relation to (sources, destinations) in node indices, of a symmetric relation in either direction; None
            removes all its edges. Pairs that the relation does not link are passed over.

    Raises:
        ConfigError: an unknown relation, or indices outside its nodes.
    """
    kept = {relation: _kept(graph, relation, pairs) for relation, pairs in removed.items()}
    edges, data = {}, {}
    for etype in graph.graph.canonical_etypes:
        src, dst = graph.graph.edges(etype=etype, order="eid")
        values = dict(graph.graph.edges[etype].data)
        rows = kept.get(etype[1].removeprefix(keys.REVERSE_PREFIX) if etype not in graph.etypes else etype[1])
        if rows is not None:
            src, dst, values = src[rows], dst[rows], {name: value[rows] for name, value in values.items()}
        edges[etype], data[etype] = (src, dst), values
    sizes = {ntype: graph.graph.num_nodes(ntype) for ntype in graph.graph.ntypes}
    made = dgl.heterograph(edges, num_nodes_dict=sizes, idtype=graph.graph.idtype)
    for etype, values in data.items():
        made.edges[etype].data.update(values)
    manifest = graph.manifest.with_history(f"edges deleted: {', '.join(removed)}")
    found = GeneGraph(made, graph.vocab, manifest, graph.node_names, graph.node_labels)
    found._structure.update({name: kept for name, kept in graph._structure.items() if name not in removed})
    return found


def same_edges(one: GeneGraph, other: GeneGraph, relation: str) -> bool:
    """Whether a relation has the same edges with the same weights, in the same order, in two graphs.

    Raises:
        ConfigError: one of them has no such relation.
    """
    ours, theirs = (graph.graph.edges(etype=graph.etype(relation), order="eid") for graph in (one, other))
    weights = [graph.graph.edges[graph.etype(relation)].data[keys.WEIGHT] for graph in (one, other)]
    return all(
        len(a) == len(b) and torch.equal(a, b) for a, b in zip((*ours, weights[0]), (*theirs, weights[1]), strict=True)
    )


def _kept(graph: GeneGraph, relation: str, pairs: Pairs | None) -> torch.Tensor:
    """Rows of the edges that stay."""
    etype = graph.etype(relation)
    src, dst = (end.numpy().astype(np.int64) for end in graph.graph.edges(etype=etype, order="eid"))
    if pairs is None:
        return torch.zeros(0, dtype=torch.int64)
    width = max(graph.graph.num_nodes(etype[2]), 1)
    first, second = (np.asarray(end, dtype=np.int64) for end in pairs)
    for end, ntype in ((first, etype[0]), (second, etype[2])):
        count = graph.graph.num_nodes(ntype)
        if len(end) and not 0 <= end.min() <= end.max() < count:
            raise ConfigError(f"an edge to delete from {relation!r} is outside its {count:,} nodes of {ntype!r}")
    wanted = first * width + second
    if graph.is_symmetric(relation):
        wanted = np.concatenate([wanted, second * width + first])
    return torch.from_numpy(np.flatnonzero(~np.isin(src * width + dst, wanted)))
