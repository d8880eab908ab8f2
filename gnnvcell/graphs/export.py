"""Gene graphs for other libraries."""

from typing import TYPE_CHECKING

from gnnvcell import keys
from gnnvcell.graphs.edges import EType

if TYPE_CHECKING:
    import networkx as nx

    from gnnvcell.graphs.gene_graph import GeneGraph


def to_networkx(graph: "GeneGraph", *, reverse: bool = False) -> "nx.MultiDiGraph":
    """A networkx MultiDiGraph of a gene graph.

    Nodes are named as in the graph and carry ``node_type`` and, where there is one, ``label``; a name that two node
    types share is prefixed with the type (``pathway:TP53``) for every type but genes. Edges have the relation as
    key and carry ``weight``, ``relation`` and, where known, ``sign``. A symmetric pair is there in both directions.

    Args:
        graph: the gene graph.
        reverse: also the reverse types of directed and bipartite relations.
    """
    import networkx as nx

    result = nx.MultiDiGraph(species=graph.manifest.species, digest=graph.digest)
    nodes = {ntype: _unique_names(graph, ntype) for ntype in graph.graph.ntypes}
    for ntype, names in nodes.items():
        result.add_nodes_from(names, node_type=ntype)
        for name, label in zip(names, graph.node_labels.get(ntype, ()), strict=False):
            result.nodes[name]["label"] = str(label)
    for etype in graph.etypes:
        _add_edges(result, graph, etype, nodes[etype[0]], nodes[etype[2]], reverse=reverse)
    return result


def _add_edges(
    result: "nx.MultiDiGraph",
    graph: "GeneGraph",
    etype: EType,
    sources: list[str],
    targets: list[str],
    *,
    reverse: bool,
) -> None:
    relation = etype[1]
    src, dst, weight, sign = graph.edges(relation)
    signs = [None] * len(src) if sign is None else sign.tolist()
    both = reverse and not graph.is_symmetric(relation)
    for u, v, w, s in zip(src.tolist(), dst.tolist(), weight.tolist(), signs, strict=True):
        attributes = {keys.WEIGHT: w, "relation": relation} | ({} if s is None else {keys.SIGN: s})
        result.add_edge(sources[u], targets[v], key=relation, **attributes)
        if both:
            back = keys.REVERSE_PREFIX + relation
            result.add_edge(targets[v], sources[u], key=back, **{**attributes, "relation": back})


def _unique_names(graph: "GeneGraph", ntype: str) -> list[str]:
    names = graph.names(ntype).tolist()
    if ntype == keys.GENE:
        return names
    others = {name for other in graph.graph.ntypes if other != ntype for name in graph.names(other).tolist()}
    return [f"{ntype}:{name}" if name in others else name for name in names]
