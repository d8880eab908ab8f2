"""Gene graphs made from a gene graph: fewer relations, fewer genes, other edges."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, GeneError, did_you_mean
from gnnvcell.graphs.canonical import restricted
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph


def select(graph: GeneGraph, relations: Sequence[str]) -> GeneGraph:
    """The graph with only these relations; all genes stay, other node types stay where a relation touches them.

    Raises:
        ConfigError: an unknown relation, or none at all.
    """
    etypes = {graph.etype(relation) for relation in relations}
    if not etypes:
        raise ConfigError("no relation was selected", remedy=did_you_mean("", graph.relations))
    tables = [graph.table(etype[1]) for etype in graph.etypes if etype in etypes]
    touched = {end for etype in etypes for end in etype[::2]}
    names, labels = (
        {ntype: array for ntype, array in arrays.items() if ntype in touched}
        for arrays in (graph.node_names, graph.node_labels)
    )
    kept = [table.relation for table in tables]
    manifest = graph.manifest.of_relations(kept).with_history(f"relations selected: {', '.join(kept)}")
    return GeneGraph.from_tables(tables, graph.vocab, names, manifest, labels)


def subset(graph: GeneGraph, genes: Sequence[str] | Sequence[int] | NDArray) -> GeneGraph:
    """The graph on some genes, in the order given; nodes of other types all stay.

    Args:
        graph: the graph.
        genes: names of any kind the vocabulary knows, or indices.

    Raises:
        GeneError: an unknown, ambiguous or repeated gene, or none at all.
    """
    rows = _gene_rows(graph, np.asarray(genes))
    position = np.full(graph.num_genes, -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    vocab = graph.vocab.subset(rows)
    names = np.asarray(vocab.symbols, dtype=str)
    tables = [restricted(graph.table(relation), position, names) for relation in graph.relations]
    manifest = graph.manifest.with_history(f"subset to {len(rows):,} of {graph.num_genes:,} genes")
    return GeneGraph.from_tables(tables, vocab, graph.node_names, manifest, graph.node_labels)


def _gene_rows(graph: GeneGraph, given: NDArray) -> NDArray[np.int64]:
    if given.ndim != 1 or not len(given):
        raise GeneError("genes is not a list of genes", found=repr(given), remedy="name at least one gene, in a list")
    if given.dtype.kind in "iu":
        rows = given.astype(np.int64)
        missing = (rows < 0) | (rows >= graph.num_genes)
    else:
        rows = graph.vocab.lookup(given.astype(str))
        missing = rows < 0
    if missing.any():
        raise GeneError(
            f"{int(missing.sum())} of {len(given)} genes are not in the graph",
            found=", ".join(map(str, given[missing][:5])),
            remedy=did_you_mean(str(given[missing][0]), map(str, graph.vocab.symbols)),
        )
    unique, counts = np.unique(rows, return_counts=True)
    if len(unique) < len(rows):
        raise GeneError("genes repeat", found=str(graph.vocab.symbols[unique[counts > 1][0]]), remedy="name each once")
    return rows


def with_edges(graph: GeneGraph, tables: Mapping[str, EdgeTable]) -> GeneGraph:
    """The graph with the edges of some relations replaced; nodes, vocabulary and other relations stay.

    Raises:
        ConfigError: an unknown relation, or a table of another edge type or directedness.
    """
    for relation, table in tables.items():
        symmetric = graph.is_symmetric(relation)
        if table.etype != graph.etype(relation) or table.directed == symmetric:
            raise ConfigError(
                f"the new edges of {relation!r} are of another kind",
                expected=f"{graph.etype(relation)}, {'undirected' if symmetric else 'directed'}",
                found=f"{table.etype}, {'directed' if table.directed else 'undirected'}",
            )
    replaced = [tables[relation] if relation in tables else graph.table(relation) for relation in graph.relations]
    manifest = graph.manifest.with_history(f"edges replaced: {', '.join(tables)}")
    return GeneGraph.from_tables(replaced, graph.vocab, graph.node_names, manifest, graph.node_labels)
