"""Hops: the edges of all relations as steps between nodes, and those that lie between a target and where it may end."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.graphs.deleting import without_edges
from gnnvcell.graphs.gene_graph import GeneGraph

Hop = tuple[int, int]  # two nodes, the smaller number first


def hops_of(nodes: Sequence[int]) -> list[Hop]:
    """The steps of a walk."""
    return [(min(a, b), max(a, b)) for a, b in pairwise(nodes)]


class HopGraph:
    """Genes and terms as nodes of one undirected graph: two nodes are a hop apart where any relation links them.

    A hop is deleted from all relations that have it. Relations among terms are left out, as models leave them out, and
    so are terms with more than ``max_term_genes`` genes: there a path could go from any gene to any other.

    Args:
        graph: the gene graph.
        max_term_genes: largest terms that paths go through.
    """

    def __init__(self, graph: GeneGraph, *, max_term_genes: int) -> None:
        self.graph = graph
        self.offset, total = {}, 0
        for ntype in (keys.GENE, *(name for name in graph.graph.ntypes if name != keys.GENE)):
            self.offset[ntype] = total
            total += graph.graph.num_nodes(ntype)
        self.relations = [etype for etype in graph.etypes if keys.GENE in (etype[0], etype[2])]
        self._links = {etype[1]: graph.adjacency(etype[1]) for etype in self.relations}
        matrix = sp.csr_matrix((total, total), dtype=np.float32)
        for source, relation, destination in self.relations:
            adjacency = self._links[relation].tocoo()
            if source != destination:
                genes = adjacency.row if destination == keys.GENE else adjacency.col  # terms, seen from their genes
                small = np.bincount(genes)[genes] <= max_term_genes
                adjacency = sp.coo_matrix(
                    (adjacency.data[small], (adjacency.row[small], adjacency.col[small])), shape=adjacency.shape
                )
            values = np.asarray(adjacency.data, dtype=np.float32)
            weight = values / max(float(values.max(initial=0)), 1e-30)
            ends = adjacency.row + self.offset[source], adjacency.col + self.offset[destination]
            one = sp.csr_matrix((weight, ends), shape=(total, total))
            matrix = matrix.maximum(one).maximum(one.T)
        self.matrix = sp.csr_matrix(matrix)
        self._start: NDArray[np.int64] = np.asarray(self.matrix.indptr, dtype=np.int64)
        self._column: NDArray[np.int64] = np.asarray(self.matrix.indices, dtype=np.int64)
        self._weight: NDArray[np.float32] = np.asarray(self.matrix.data, dtype=np.float32)
        self.degree: NDArray[np.int64] = np.diff(self._start)

    def name(self, node: int) -> str:
        """The name of a node: a gene's symbol, or a term's label where it has one."""
        ntype, row = self._place(node)
        labels = self.graph.node_labels.get(ntype)
        if labels is not None and str(labels[row]):
            return str(labels[row])
        return str(self.graph.names(ntype)[row])

    def node_type(self, node: int) -> str:
        """The type of a node."""
        return self._place(node)[0]

    def relations_of(self, hop: Hop) -> list[str]:
        """The relations that link two nodes."""
        return [relation for relation, pair in self._pairs(hop) if self._linked(relation, pair)]

    def without(self, hops: Iterable[Hop]) -> GeneGraph:
        """The graph less some hops, in all relations."""
        removed: dict[str, tuple[list[int], list[int]]] = {}
        for hop in hops:
            for relation, (src, dst) in self._pairs(hop):
                ends = removed.setdefault(relation, ([], []))
                ends[0].append(src)
                ends[1].append(dst)
        return without_edges(self.graph, {name: (np.array(a), np.array(b)) for name, (a, b) in removed.items()})

    def neighbours(self, node: int) -> NDArray[np.int64]:
        """Nodes one hop away, those first whose link is strong and specific: weight / sqrt(degree)."""
        found, weight = self._near(node), self._weight[self._start[node] : self._start[node + 1]]
        return found[np.argsort(-weight / np.sqrt(self.degree[found]), kind="stable")]

    def _near(self, node: int) -> NDArray[np.int64]:
        return self._column[self._start[node] : self._start[node + 1]]

    def distances(self, starts: Sequence[int] | NDArray, most: int) -> NDArray[np.int64]:
        """(nodes,) hops to the nearest of some nodes; ``most + 1`` for all that are further."""
        found = np.full(len(self.degree), most + 1, dtype=np.int64)
        reached = np.unique(np.asarray(starts, dtype=np.int64))
        found[reached] = 0
        for step in range(1, most + 1):
            near = np.unique(np.concatenate([self._near(node) for node in reached.tolist()] or [reached]))
            reached = near[found[near] > step]
            found[reached] = step
        return found

    def between(self, from_target: NDArray, to_end: NDArray, most: int) -> NDArray[np.int64]:
        """(hops, 2) hops on a walk of at most ``most`` hops from a target to an end."""
        inside = np.flatnonzero(from_target + to_end <= most)
        position = np.full(len(from_target), -1, dtype=np.int64)
        position[inside] = np.arange(len(inside))
        part = self.matrix[inside][:, inside].tocoo()
        first, second = inside[part.row], inside[part.col]
        short = from_target[first] + 1 + to_end[second] <= most
        ends = np.sort(np.stack([first[short], second[short]], axis=1), axis=1)
        return np.unique(ends, axis=0)

    def _place(self, node: int) -> tuple[str, int]:
        ntype = max((name for name in self.offset if self.offset[name] <= node), key=lambda name: self.offset[name])
        return ntype, node - self.offset[ntype]

    def _pairs(self, hop: Hop) -> list[tuple[str, tuple[int, int]]]:
        """Relation to (source, destination) in its own node numbers, for all relations of these node types."""
        (first, a), (second, b) = self._place(hop[0]), self._place(hop[1])
        pairs = []
        for source, relation, destination in self.relations:
            if (source, destination) == (first, second):
                pairs.append((relation, (a, b)))
                if first == second and not self.graph.is_symmetric(relation):
                    pairs.append((relation, (b, a)))
            elif (source, destination) == (second, first):
                pairs.append((relation, (b, a)))
        return pairs

    def _linked(self, relation: str, pair: tuple[int, int]) -> bool:
        links = self._links[relation]
        return bool(np.isin(pair[1], links.indices[links.indptr[pair[0]] : links.indptr[pair[0] + 1]]))
