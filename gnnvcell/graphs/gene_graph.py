"""GeneGraph: a DGL heterograph of genes and knowledge, with the vocabulary of its genes and its provenance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import ConfigError, GraphIntegrityError, did_you_mean
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.canonical import canonical_table
from gnnvcell.graphs.edges import EdgeTable, EType
from gnnvcell.graphs.heterograph import heterograph
from gnnvcell.graphs.manifest import Manifest

if TYPE_CHECKING:
    import networkx as nx

    from gnnvcell.graphs.info import GraphInfo


class GeneGraph:
    """A typed gene graph: ``graph`` is the DGLGraph, ``vocab`` names its genes, ``manifest`` tells the edges' origin.

    Make one with ``gnnvcell.graphs.build`` or ``GeneGraph.from_tables``. Every edge type has ``weight`` (float32) and,
    where signs are known, ``sign`` (int8). A symmetric relation holds every pair in both directions under one edge
    type, first all pairs with source < destination, then their mirror images in the same order. A directed or bipartite
    relation has a reverse type ``rev_<relation>`` with the same edge order.

    Args:
        graph: the heterograph; it has a node type ``gene``.
        vocab: (genes,) vocabulary; gene i is node i of type ``gene``. A function that makes it is called on first use.
        manifest: provenance.
        node_names: for every other node type the names of its nodes, in order.
        node_labels: for some of those node types a readable label of each node ("apoptotic process"), empty where none.

    Raises:
        GraphIntegrityError: the parts do not fit together.

    Example:
        >>> graph = gnnvcell.graphs.build("graphs/example/recipe.toml")  # doctest: +SKIP
        >>> graph.relations  # doctest: +SKIP
        ['string', 'annotated_bp', 'is_a', 'member_of', 'scgpt']
    """

    def __init__(
        self,
        graph: Any,
        vocab: GeneVocab | Callable[[], GeneVocab],
        manifest: Manifest,
        node_names: Mapping[str, NDArray] | None = None,
        node_labels: Mapping[str, NDArray] | None = None,
    ) -> None:
        self.graph = graph
        self._vocab = vocab
        self.manifest = manifest
        self.node_names: dict[str, NDArray] = {
            ntype: np.asarray(names, dtype=str) for ntype, names in (node_names or {}).items()
        }
        self.node_labels: dict[str, NDArray] = {
            ntype: np.asarray(labels, dtype=object) for ntype, labels in (node_labels or {}).items()
        }
        self._structure: dict[str, sp.csr_matrix] = {}
        self._check()
        self.etypes: list[EType] = [etype for etype in graph.canonical_etypes if not self._is_reverse(etype)]
        repeated = {e[1] for e in self.etypes if [x[1] for x in self.etypes].count(e[1]) > 1}
        if repeated:
            raise GraphIntegrityError(f"several edge types share the relation name {sorted(repeated)[0]!r}")

    def _check(self) -> None:
        sizes = {ntype: self.graph.num_nodes(ntype) for ntype in self.graph.ntypes}
        genes = len(self._vocab) if isinstance(self._vocab, GeneVocab) else sizes.get(keys.GENE)
        named = {keys.GENE: genes, **{ntype: len(names) for ntype, names in self.node_names.items()}}
        if sizes != named:
            raise GraphIntegrityError(
                "the nodes of a graph and their names do not fit",
                expected=f"names for {sizes}",
                found=str(named),
                remedy="use GeneGraph.from_tables, subset or select",
            )
        for ntype, labels in self.node_labels.items():
            if len(labels) != sizes.get(ntype):
                raise GraphIntegrityError(f"{len(labels)} labels for {sizes.get(ntype, 'unknown')} nodes of {ntype!r}")
        for etype in self.graph.canonical_etypes:
            data = self.graph.edges[etype].data
            if keys.WEIGHT not in data or data[keys.WEIGHT].dtype != torch.float32:
                raise GraphIntegrityError(f"{etype} has no float32 {keys.WEIGHT!r}", found=str(sorted(data)))

    def _is_reverse(self, etype: EType) -> bool:
        source, relation, destination = etype
        if not relation.startswith(keys.REVERSE_PREFIX):
            return False
        return (destination, relation.removeprefix(keys.REVERSE_PREFIX), source) in self.graph.canonical_etypes

    # --- making one

    @classmethod
    def from_tables(
        cls,
        tables: Sequence[EdgeTable],
        vocab: GeneVocab,
        node_names: Mapping[str, NDArray] | None = None,
        manifest: Manifest | None = None,
        node_labels: Mapping[str, NDArray] | None = None,
    ) -> "GeneGraph":
        """The graph of edge tables whose codes are node indices.

        A pair of an undirected table may be given once, or in both directions with equal weight and sign. Node types
        that no relation touches are kept, as are genes without edges.

        Args:
            tables: one per relation; an empty one gives an empty relation.
            vocab: vocabulary of the genes.
            node_names: names of the nodes of every other node type.
            manifest: provenance; an empty one when left out.
            node_labels: readable labels of the nodes of other node types.

        Raises:
            GraphIntegrityError: an edge is given twice, codes are out of range, or a relation's name repeats.
        """
        sizes = {keys.GENE: len(vocab), **{ntype: len(names) for ntype, names in (node_names or {}).items()}}
        relations = [table.relation for table in tables]
        if len(set(relations)) != len(relations):
            twice = next(name for name in relations if relations.count(name) > 1)
            raise GraphIntegrityError(f"two edge tables have the relation name {twice!r}", remedy="rename one")
        prepared = [canonical_table(table, sizes) for table in tables]
        return cls(heterograph(prepared, sizes), vocab, manifest or Manifest.create(), node_names, node_labels)

    # --- reading it

    @property
    def vocab(self) -> GeneVocab:
        """The vocabulary of the genes."""
        if not isinstance(self._vocab, GeneVocab):
            self._vocab = self._vocab()
        return self._vocab

    @property
    def relations(self) -> list[str]:
        """Names of the relations, without the reverse ones."""
        return [relation for _, relation, _ in self.etypes]

    @property
    def source_relations(self) -> dict[str, list[str]]:
        """Source key to the relations that it gave and that are still in the graph."""
        present = set(self.relations)
        claimed = {key: [r for r in names if r in present] for key, names in self.manifest.source_relations.items()}
        return {key: names for key, names in claimed.items() if names}

    @property
    def num_genes(self) -> int:
        """Number of genes, those without edges included."""
        return int(self.graph.num_nodes(keys.GENE))

    def etype(self, relation: str) -> EType:
        """The canonical edge type of a relation.

        Raises:
            ConfigError: the graph has no such relation.
        """
        for etype in self.etypes:
            if etype[1] == relation:
                return etype
        raise ConfigError(f"the graph has no relation {relation!r}", remedy=did_you_mean(relation, self.relations))

    def is_symmetric(self, relation: str) -> bool:
        """Whether the relation holds every pair in both directions (and so has no reverse type)."""
        source, _, destination = self.etype(relation)
        return (destination, keys.REVERSE_PREFIX + relation, source) not in self.graph.canonical_etypes

    def names(self, ntype: str) -> NDArray:
        """Names of the nodes of one type.

        Raises:
            ConfigError: the graph has no such node type.
        """
        if ntype == keys.GENE:
            return np.asarray(self.vocab.symbols, dtype=str)
        if ntype not in self.node_names:
            raise ConfigError(f"the graph has no node type {ntype!r}", remedy=did_you_mean(ntype, self.graph.ntypes))
        return self.node_names[ntype]

    def edges(self, relation: str) -> tuple[NDArray, NDArray, NDArray, NDArray | None]:
        """The edges of a relation as they are in the DGL graph: a symmetric relation has every pair twice.

        Returns:
            src (edges,) int64, dst (edges,) int64, weight (edges,) float32, and sign (edges,) int8 or None.
        """
        etype = self.etype(relation)
        src, dst = self.graph.edges(etype=etype, order="eid")
        data = self.graph.edges[etype].data
        sign = data[keys.SIGN].cpu().numpy() if keys.SIGN in data else None
        return (
            src.cpu().numpy().astype(np.int64),
            dst.cpu().numpy().astype(np.int64),
            data[keys.WEIGHT].cpu().numpy(),
            sign,
        )

    def table(self, relation: str) -> EdgeTable:
        """The edges of a relation as an edge table: a symmetric relation has every pair once (source <= destination).

        This is the form that ``with_edges`` and ``from_tables`` take.

        Raises:
            ConfigError: the graph has no such relation.
            GraphIntegrityError: the relation has no reverse type and yet is not symmetric.
        """
        etype, symmetric = self.etype(relation), self.is_symmetric(relation)
        src, dst, weight, sign = self.edges(relation)
        table = EdgeTable(
            etype, src, dst, weight, self.names(etype[0]), self.names(etype[2]), sign, directed=not symmetric
        )
        if not symmetric:
            return table
        if (src < dst).sum() != (src > dst).sum():
            raise GraphIntegrityError(
                f"{relation!r} has no reverse type, yet it does not hold every pair in both directions",
                remedy="make the graph with GeneGraph.from_tables, which adds mirror images and reverse types",
            )
        return table.take(src <= dst)

    def adjacency(self, relation: str, *, weighted: bool = True) -> sp.csr_matrix:
        """The adjacency matrix of a relation: rows are source nodes, columns are destination nodes.

        Args:
            relation: its name.
            weighted: entries are weights; otherwise 1.

        Returns:
            (sources, destinations) float32 csr matrix, sorted, yours to change.
        """
        etype = self.etype(relation)
        if relation not in self._structure:
            src, dst, _, _ = self.edges(relation)
            shape = (self.graph.num_nodes(etype[0]), self.graph.num_nodes(etype[2]))
            # Positions are counted from 1, because a stored 0 could be dropped.
            positions = np.arange(1, len(src) + 1, dtype=np.int64)
            structure = sp.csr_matrix((positions, (src, dst)), shape=shape)
            structure.sort_indices()
            self._structure[relation] = structure
        kept = self._structure[relation]
        weight = self.graph.edges[etype].data[keys.WEIGHT].cpu().numpy()
        values = weight[kept.data - 1] if weighted else np.ones(kept.nnz, dtype=np.float32)
        return sp.csr_matrix((values, kept.indices.copy(), kept.indptr.copy()), shape=kept.shape)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the content: genes, node names, edges, weights, signs. The manifest is not part of it."""
        from gnnvcell.graphs.storage import content_digest

        return content_digest(self)

    def info(self) -> "GraphInfo":
        """Nodes, edges, degrees, coverage by relation, and the overlap between relations."""
        from gnnvcell.graphs.info import describe

        return describe(self)

    def __repr__(self) -> str:
        nodes = ", ".join(f"{self.graph.num_nodes(ntype):,} {ntype}" for ntype in self.graph.ntypes)
        edges = ", ".join(f"{relation} {self.num_edges(relation):,}" for relation in self.relations)
        return f"GeneGraph(nodes: {nodes}; edges: {edges or 'none'})"

    def num_edges(self, relation: str) -> int:
        """Edges of a relation; a symmetric pair counts once."""
        stored = int(self.graph.num_edges(self.etype(relation)))
        if not self.is_symmetric(relation):
            return stored
        src, dst = self.graph.edges(etype=self.etype(relation))
        return (stored + int((src == dst).sum())) // 2

    # --- other graphs made from it

    def select(self, relations: str | Iterable[str]) -> "GeneGraph":
        """The graph with only these relations; all genes stay, other node types stay where a relation touches them.

        Raises:
            ConfigError: an unknown relation, or none at all.
        """
        from gnnvcell.graphs.derive import select

        return select(self, [relations] if isinstance(relations, str) else list(relations))

    def subset(self, genes: Sequence[str] | Sequence[int] | NDArray) -> "GeneGraph":
        """The graph on some genes, in the order given; nodes of other types all stay.

        Args:
            genes: names of any kind the vocabulary knows, or indices.

        Raises:
            GeneError: an unknown, ambiguous or repeated gene, or none at all.
        """
        from gnnvcell.graphs.derive import subset

        return subset(self, genes)

    def with_edges(self, tables: Mapping[str, EdgeTable]) -> "GeneGraph":
        """The graph with the edges of some relations replaced; nodes, vocabulary and other relations stay.

        Args:
            tables: relation to its new edges, in node indices, of the same edge type and directedness as ``table``.

        Raises:
            ConfigError: an unknown relation, or a table of another edge type.
        """
        from gnnvcell.graphs.derive import with_edges

        return with_edges(self, tables)

    def to_networkx(self, *, reverse: bool = False) -> "nx.MultiDiGraph":
        """A networkx MultiDiGraph; nodes carry ``node_type``, edges ``weight``, ``sign`` and their relation as key.

        Args:
            reverse: also the reverse types of directed and bipartite relations.
        """
        from gnnvcell.graphs.export import to_networkx

        return to_networkx(self, reverse=reverse)

    # --- on disk

    def save(self, path: str | Path) -> Path:
        """Write the graph as a folder, whole or not at all (``gnnvcell.graphs.storage`` has the format)."""
        from gnnvcell.graphs.storage import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "GeneGraph":
        """Read what ``save`` wrote, and verify its digest.

        Raises:
            FileFormatError: the folder or one of its files is missing, or was written by a newer version.
            GraphIntegrityError: a file was changed or damaged.
        """
        from gnnvcell.graphs.storage import load

        return load(path)
