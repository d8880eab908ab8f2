"""GeneGraph: a DGL heterograph of genes and knowledge, with the vocabulary of its genes and its provenance."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell._dgl import dgl
from gnnvcell.config import digest_of
from gnnvcell.errors import ConfigError, GeneError, GraphIntegrityError, did_you_mean
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.canonical import canonical_table, mirrored
from gnnvcell.graphs.edges import EdgeTable, EType
from gnnvcell.graphs.manifest import Manifest

if TYPE_CHECKING:
    import networkx as nx

    from gnnvcell.graphs.info import GraphInfo

_INT32_MAX = np.iinfo(np.int32).max


class GeneGraph:
    """A typed gene graph: ``graph`` is the DGLGraph, ``vocab`` names its genes, ``manifest`` says where edges come from.

    Make one with ``gnnvcell.graphs.build`` or ``GeneGraph.from_tables``. Every edge type has ``weight`` (float32) and,
    where signs are known, ``sign`` (int8). A symmetric relation holds every pair in both directions under one edge type,
    first all pairs with source < destination, then their mirror images in the same order. A directed or bipartite
    relation has a reverse type ``rev_<relation>`` with the same edge order.

    Args:
        graph: the heterograph; it has a node type ``gene``.
        vocab: (genes,) vocabulary; gene i is node i of type ``gene``.
        manifest: provenance.
        node_names: for every other node type the names of its nodes, in order.

    Raises:
        GraphIntegrityError: the parts do not fit together.

    Example:
        >>> graph = gnnvcell.graphs.build("graphs/example/recipe.toml")  # doctest: +SKIP
        >>> graph.relations  # doctest: +SKIP
        ['string', 'annotated_bp', 'is_a', 'member_of', 'scgpt']
    """

    def __init__(
        self, graph: Any, vocab: GeneVocab, manifest: Manifest, node_names: Mapping[str, NDArray] | None = None
    ) -> None:
        self.graph = graph
        self.vocab = vocab
        self.manifest = manifest
        self.node_names: dict[str, NDArray] = {
            ntype: np.asarray(names, dtype=str) for ntype, names in (node_names or {}).items()
        }
        self._structure: dict[str, sp.csr_matrix] = {}
        self._check()
        self.etypes: list[EType] = [etype for etype in graph.canonical_etypes if not self._is_reverse(etype)]
        repeated = {e[1] for e in self.etypes if [x[1] for x in self.etypes].count(e[1]) > 1}
        if repeated:
            raise GraphIntegrityError(f"several edge types share the relation name {sorted(repeated)[0]!r}")

    def _check(self) -> None:
        sizes = {ntype: self.graph.num_nodes(ntype) for ntype in self.graph.ntypes}
        named = {keys.GENE: len(self.vocab), **{ntype: len(names) for ntype, names in self.node_names.items()}}
        if sizes != named:
            raise GraphIntegrityError(
                "the nodes of a graph and their names do not fit",
                expected=f"names for {sizes}",
                found=str(named),
                remedy="use GeneGraph.from_tables, subset or select",
            )
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
    ) -> "GeneGraph":
        """The graph of edge tables whose codes are node indices.

        A pair of an undirected table may be given once, or in both directions with equal weight and sign. Node types
        that no relation touches are kept, as are genes without edges.

        Args:
            tables: one per relation; an empty one gives an empty relation.
            vocab: vocabulary of the genes.
            node_names: names of the nodes of every other node type.
            manifest: provenance; an empty one when left out.

        Raises:
            GraphIntegrityError: an edge is given twice, codes are out of range, or a relation's name repeats.
        """
        sizes = {keys.GENE: len(vocab), **{ntype: len(names) for ntype, names in (node_names or {}).items()}}
        relations = [table.relation for table in tables]
        if len(set(relations)) != len(relations):
            twice = next(name for name in relations if relations.count(name) > 1)
            raise GraphIntegrityError(f"two edge tables have the relation name {twice!r}", remedy="rename one")
        prepared = [canonical_table(table, sizes) for table in tables]
        return cls(heterograph(prepared, sizes), vocab, manifest or Manifest.create(), node_names)

    # --- reading it

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
        return len(self.vocab)

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
        """
        etype, symmetric = self.etype(relation), self.is_symmetric(relation)
        src, dst, weight, sign = self.edges(relation)
        table = EdgeTable(
            etype, src, dst, weight, self.names(etype[0]), self.names(etype[2]), sign, directed=not symmetric
        )
        return table.take(src <= dst) if symmetric else table

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
            self._structure[relation] = sp.coo_matrix((positions, (src, dst)), shape=shape).tocsr()
            self._structure[relation].sort_indices()
        kept = self._structure[relation]
        weight = self.graph.edges[etype].data[keys.WEIGHT].cpu().numpy()
        values = weight[kept.data - 1] if weighted else np.ones(kept.nnz, dtype=np.float32)
        return sp.csr_matrix((values, kept.indices.copy(), kept.indptr.copy()), shape=kept.shape)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the content: genes, node names, edges, weights, signs. The manifest is not part of it."""
        from gnnvcell.graphs.storage import content_digest

        return content_digest([self.table(r) for r in self.relations], self.vocab.digest(), self.node_names)

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
        wanted = [relations] if isinstance(relations, str) else list(relations)
        etypes = {self.etype(relation) for relation in wanted}
        if not etypes:
            raise ConfigError("no relation was selected", remedy=did_you_mean("", self.relations))
        tables = [self.table(etype[1]) for etype in self.etypes if etype in etypes]
        touched = {end for source, _, destination in etypes for end in (source, destination)}
        node_names = {ntype: names for ntype, names in self.node_names.items() if ntype in touched}
        kept = [table.relation for table in tables]
        manifest = self.manifest.of_relations(kept).with_history(f"relations selected: {', '.join(kept)}")
        return GeneGraph.from_tables(tables, self.vocab, node_names, manifest)

    def subset(self, genes: Sequence[str] | Sequence[int] | NDArray) -> "GeneGraph":
        """The graph on some genes, in the order given; nodes of other types all stay.

        Args:
            genes: names of any kind the vocabulary knows, or indices.

        Raises:
            GeneError: an unknown, ambiguous or repeated gene, or none at all.
        """
        rows = self._gene_rows(genes)
        position = np.full(self.num_genes, -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        vocab = self.vocab.subset(rows)
        names = np.asarray(vocab.symbols, dtype=str)
        tables = [_subset_table(self.table(relation), position, names) for relation in self.relations]
        manifest = self.manifest.with_history(f"subset to {len(rows):,} of {self.num_genes:,} genes")
        return GeneGraph.from_tables(tables, vocab, self.node_names, manifest)

    def _gene_rows(self, genes: Sequence[str] | Sequence[int] | NDArray) -> NDArray[np.int64]:
        given = np.asarray(genes)
        if not len(given):
            raise GeneError("no gene was given", remedy="name at least one gene")
        if given.dtype.kind in "iu":
            rows = given.astype(np.int64)
            missing = (rows < 0) | (rows >= self.num_genes)
        else:
            rows = self.vocab.lookup(given.astype(str))
            missing = rows < 0
        if missing.any():
            raise GeneError(
                f"{int(missing.sum())} of {len(given)} genes are not in the graph",
                found=", ".join(map(str, given[missing][:5])),
                remedy=did_you_mean(str(given[missing][0]), map(str, self.vocab.symbols)),
            )
        unique, counts = np.unique(rows, return_counts=True)
        if len(unique) != len(rows):
            raise GeneError("genes repeat", found=str(self.vocab.symbols[unique[counts > 1][0]]), remedy="name each once")
        return rows

    def with_edges(self, tables: Mapping[str, EdgeTable]) -> "GeneGraph":
        """The graph with the edges of some relations replaced; nodes, vocabulary and other relations stay.

        Args:
            tables: relation to its new edges, in node indices, of the same edge type and directedness as ``table``.

        Raises:
            ConfigError: an unknown relation, or a table of another edge type.
        """
        for relation, table in tables.items():
            if table.etype != self.etype(relation) or table.directed == self.is_symmetric(relation):
                raise ConfigError(
                    f"the new edges of {relation!r} are of another kind",
                    expected=f"{self.etype(relation)}, {'undirected' if self.is_symmetric(relation) else 'directed'}",
                    found=f"{table.etype}, {'directed' if table.directed else 'undirected'}",
                )
        replaced = [tables[relation] if relation in tables else self.table(relation) for relation in self.relations]
        manifest = self.manifest.with_history(f"edges replaced: {', '.join(tables)}")
        return GeneGraph.from_tables(replaced, self.vocab, self.node_names, manifest)

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


def heterograph(tables: Sequence[EdgeTable], sizes: Mapping[str, int]) -> Any:
    """The DGL heterograph of canonical edge tables, with mirrored pairs and reverse types."""
    edges: dict[EType, tuple[torch.Tensor, torch.Tensor]] = {}
    data: dict[EType, dict[str, torch.Tensor]] = {}
    large = max([*sizes.values(), *(2 * len(table) for table in tables), 0]) > _INT32_MAX
    dtype = np.int64 if large else np.int32
    for table in tables:
        src, dst, weight, sign = mirrored(table, dtype)
        ends = torch.from_numpy(src), torch.from_numpy(dst)
        values = {keys.WEIGHT: torch.from_numpy(weight)}
        if sign is not None:
            values[keys.SIGN] = torch.from_numpy(sign)
        edges[table.etype], data[table.etype] = ends, values
        if is_directed(table):
            reverse = (table.etype[2], keys.REVERSE_PREFIX + table.relation, table.etype[0])
            edges[reverse], data[reverse] = ends[::-1], values
    graph = dgl.heterograph(edges, num_nodes_dict=dict(sizes), idtype=torch.int64 if large else torch.int32)
    for etype, values in data.items():
        graph.edges[etype].data.update(values)
    return graph
