"""Graphs as keys of caches: what is derived from a graph is derived once for its content."""

from gnnvcell.graphs.gene_graph import GeneGraph


class GraphByDigest:
    """A graph, equal to others of the same content."""

    def __init__(self, graph: GeneGraph) -> None:
        self.graph, self.digest = graph, graph.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphByDigest) and self.digest == other.digest
