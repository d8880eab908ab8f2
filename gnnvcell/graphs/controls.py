"""Control graphs: what is left of a model's score when the graph is wrong in one known way.

A control has the genes, the vocabulary and the node types of the graph it is made from, and differs in its edges:

=============  =====================================================================  =================================
control        edges                                                                  what a remaining score comes from
=============  =====================================================================  =================================
rewired        random, every node keeps its degree in every relation                  degrees (how studied a gene is)
permuted       the same graph with the genes' names shuffled                          nothing that the graph says
empty          none                                                                   the model without a graph
dense          every gene linked to one hub                                           averages over all genes
complete       every gene linked to every gene (up to 2,000 genes)                    averages over all genes
size_matched   a random part, of equal size in every relation                         (compares sources at equal size)
=============  =====================================================================  =================================

Each is ``control(graph, *, seed) -> GeneGraph``; the same seed gives the same graph. What was done, with its seed, is
the last line of ``manifest.history``.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gnnvcell import keys
from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.graphs.double_edge_swap import Swapped, double_edge_swap
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import Manifest, RelationRecord, SourceRecord
from gnnvcell.registry import Registry

MAX_COMPLETE_GENES = 2000
HUB = "all genes"


# ``control(graph, *, seed) -> GeneGraph``; some take more settings by keyword.
Control = Callable[..., GeneGraph]

CONTROLS: Registry[Control] = Registry("control graph")


@CONTROLS.register("rewired")
def rewired(graph: GeneGraph, *, seed: int, swaps_per_edge: float = 10.0) -> GeneGraph:
    """The degree-matched random graph: double-edge swaps in every relation by itself.

    Every node keeps its number of edges (out and in, where edges have a direction) in every relation exactly; no self
    loop and no repeated edge arises. Weights and signs travel with the edges, so their distribution stays; where edges
    have a direction, each source also keeps its own weights. Bipartite relations keep the size of every term and the
    number of terms of every gene; term-term relations are rewired as directed ones and may then hold cycles, and
    gene-term relations are no longer closed under ancestors.

    Args:
        graph: the graph to rewire.
        seed: seed of the swaps. A relation is rewired alike whatever other relations the graph has.
        swaps_per_edge: swaps tried, as a multiple of the number of edges; ten mix well. ``history`` says what share of
            the edges is still there, and what share of them a random graph with these degrees would have.

    Raises:
        ConfigError: a negative seed, or ``swaps_per_edge`` is not positive.
        GraphIntegrityError: a relation has self loops.
    """
    tables, notes = [], []
    for table in _tables(graph):
        swapped = double_edge_swap(
            table.src,
            table.dst,
            num_src=len(table.src_names),
            num_dst=len(table.dst_names),
            directed=table.directed,
            same_nodes=table.etype[0] == table.etype[2],
            rng=_generator(seed, table.relation),
            swaps_per_edge=swaps_per_edge,
        )
        tables.append(replace(table, src=swapped.src, dst=swapped.dst))
        notes.append(_mixing(table, swapped))
    return _control(graph, tables, f"control rewired, seed {seed}: {'; '.join(notes)}")


@CONTROLS.register("permuted")
def permuted(graph: GeneGraph, *, seed: int) -> GeneGraph:
    """The same graph with the genes' names shuffled: one permutation of all genes, applied to every relation.

    Isomorphic to the original. Genes without edges take part, so which genes have a neighbourhood changes too.

    Args:
        graph: the graph to permute.
        seed: seed of the permutation, which depends on it and on the number of genes only.

    Raises:
        ConfigError: a negative seed.
    """
    order = _generator(seed, "permuted").permutation(graph.num_genes)
    tables = [
        replace(
            table,
            src=order[table.src] if table.etype[0] == keys.GENE else table.src,
            dst=order[table.dst] if table.etype[2] == keys.GENE else table.dst,
        )
        for table in _tables(graph)
    ]
    return _control(graph, tables, f"control permuted, seed {seed}")


@CONTROLS.register("empty")
def empty(graph: GeneGraph, *, seed: int) -> GeneGraph:
    """The same nodes and edge types with no edge at all.

    Message passing then gives every gene the sum or mean over nothing (zero) from every relation; a model must fall
    back to what it knows without a graph, and say so (``Prediction.support`` is 0 everywhere).

    Args:
        graph: the graph to empty.
        seed: not used for anything random; recorded.

    Raises:
        ConfigError: a negative seed.
    """
    _generator(seed, "empty")
    tables = [table.take(np.zeros(0, dtype=np.int64)) for table in _tables(graph)]
    return _control(graph, tables, f"control empty, seed {seed}")


@CONTROLS.register("dense")
def dense(graph: GeneGraph, *, seed: int) -> GeneGraph:
    """Every gene linked to one hub: a single relation ``(gene, all_genes, pathway)`` of weight 1.

    Two hops of mean aggregation over it (gene, hub, gene) are the same as one hop over the complete graph with self
    loops, at N instead of N^2 edges, so it exists for any number of genes. A model that scores as well on it as on the
    real graph has learned from averages over all genes, not from who is linked to whom. (A model that weighs a term by
    how rare it is gives this hub the weight 0, which is the right answer: it tells nothing apart.) Models that use only
    gene-gene relations need ``complete``.

    Args:
        graph: the graph whose genes are taken; its own relations and terms are left out.
        seed: not used for anything random; recorded.

    Raises:
        ConfigError: a negative seed.
    """
    _generator(seed, "dense")
    genes, hub = graph.names(keys.GENE), np.array([HUB])
    table = EdgeTable(
        (keys.GENE, "all_genes", keys.PATHWAY),
        src=np.arange(graph.num_genes, dtype=np.int64),
        dst=np.zeros(graph.num_genes, dtype=np.int64),
        weight=np.ones(graph.num_genes, dtype=np.float32),
        src_names=genes,
        dst_names=hub,
        directed=True,
    )
    return _uniform(graph, table, f"control dense, seed {seed}", {keys.PATHWAY: hub})


@CONTROLS.register("complete")
def complete(graph: GeneGraph, *, seed: int) -> GeneGraph:
    """Every gene linked to every other gene: a single symmetric relation ``(gene, complete, gene)`` of weight 1.

    Args:
        graph: the graph whose genes are taken; its own relations and terms are left out.
        seed: not used for anything random; recorded.

    Raises:
        ConfigError: a negative seed, or more than 2,000 genes (N^2 edges).
    """
    _generator(seed, "complete")
    if graph.num_genes > MAX_COMPLETE_GENES:
        pairs = graph.num_genes * (graph.num_genes - 1) // 2
        raise ConfigError(
            f"a complete graph of {graph.num_genes:,} genes would have {pairs:,} pairs",
            expected=f"at most {MAX_COMPLETE_GENES:,} genes",
            found=f"{graph.num_genes:,}",
            remedy="use the control 'dense' (one hub, any number of genes), or subset the graph first",
        )
    src, dst = np.triu_indices(graph.num_genes, k=1)
    genes = graph.names(keys.GENE)
    weight = np.ones(len(src), dtype=np.float32)
    table = EdgeTable((keys.GENE, "complete", keys.GENE), src, dst, weight, genes, genes)
    return _uniform(graph, table, f"control complete, seed {seed}", {})


@CONTROLS.register("size_matched")
def size_matched(graph: GeneGraph, *, seed: int, num_edges: int | None = None) -> GeneGraph:
    """A random part of every relation of genes, all of one size, to compare sources at an equal number of edges.

    Relations between terms (is_a, part_of, the pathway tree) say how terms hang together and are kept whole.

    Args:
        graph: the graph to thin.
        seed: seed of the choice of edges. A relation is thinned alike whatever other relations the graph has.
        num_edges: edges to leave in every relation (an undirected pair counts once); the size of the smallest
            relation of genes when left out.

    Raises:
        ConfigError: a negative seed, no relation of genes, or ``num_edges`` is not between 1 and the size of the
            smallest relation of genes.
    """
    tables = _tables(graph)
    sizes = {t.relation: len(t) for t in tables if keys.GENE in (t.etype[0], t.etype[2])}
    if not sizes:
        raise ConfigError("the graph has no relation of genes", remedy=did_you_mean("", graph.relations))
    smallest = min(sizes, key=lambda relation: sizes[relation])
    wanted = sizes[smallest] if num_edges is None else num_edges
    if not 1 <= wanted <= sizes[smallest]:
        raise ConfigError(
            f"cannot leave {wanted:,} edges in every relation",
            expected=f"1 to {sizes[smallest]:,}, the size of the smallest relation ({smallest!r})",
            found=str(wanted),
            remedy="ask for fewer edges, or leave small relations out with graph.select([...])",
        )
    thinned = [_thin(table, wanted, seed) if table.relation in sizes else table for table in tables]
    return _control(
        graph, thinned, f"control size_matched, seed {seed}: {wanted:,} edges in each of {len(sizes)} relations"
    )


def make_control(
    graph: GeneGraph, kind: str, *, seed: int, num_edges: int | None = None, swaps_per_edge: float | None = None
) -> GeneGraph:
    """The control graph of a kind, by name.

    Args:
        graph: the graph to make it from.
        kind: a name in ``CONTROLS``.
        seed: seed of everything random.
        num_edges: for ``size_matched`` only.
        swaps_per_edge: for ``rewired`` only.

    Raises:
        ConfigError: an unknown kind, or a setting that the kind does not have; and what the control itself raises.
    """
    control = CONTROLS.get(kind)
    for name, value, owner in (("num_edges", num_edges, size_matched), ("swaps_per_edge", swaps_per_edge, rewired)):
        if value is not None and control is not owner:
            raise ConfigError(f"the control {kind!r} has no setting {name!r}", remedy="leave it out")
    if control is size_matched:
        return size_matched(graph, seed=seed, num_edges=num_edges)
    if control is rewired and swaps_per_edge is not None:
        return rewired(graph, seed=seed, swaps_per_edge=swaps_per_edge)
    return control(graph, seed=seed)


def _thin(table: EdgeTable, wanted: int, seed: int) -> EdgeTable:
    rows = _generator(seed, table.relation).choice(len(table), size=wanted, replace=False)
    return table.take(np.sort(rows))


def _tables(graph: GeneGraph) -> list[EdgeTable]:
    return [graph.table(relation) for relation in graph.relations]


def _generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for every relation, so that adding a relation does not change the others."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"bad seed {seed!r}", expected="an integer >= 0")
    return np.random.default_rng([int(seed), zlib.crc32(name.encode())])


def _mixing(table: EdgeTable, swapped: Swapped) -> str:
    return (
        f"{table.relation} {swapped.accepted:,} of {swapped.attempts:,} swaps done on {len(table):,} edges, "
        f"{swapped.share_kept:.1%} of the edges kept ({swapped.share_expected:.1%} expected of a random graph)"
    )


def _control(graph: GeneGraph, tables: Sequence[EdgeTable], event: str) -> GeneGraph:
    manifest = graph.manifest.with_history(event)
    return GeneGraph.from_tables(tables, graph.vocab, graph.node_names, manifest, graph.node_labels)


def _uniform(graph: GeneGraph, table: EdgeTable, event: str, node_names: Mapping[str, np.ndarray]) -> GeneGraph:
    """A graph of one made-up relation; its manifest names the control as the source: no file was read for it."""
    kind = event.split(",")[0].removeprefix("control ")
    counts = {"read": len(table), "unmatched": 0, "self_loops": 0, "duplicates": 0, "filtered": 0, "kept": len(table)}
    record = RelationRecord(relation=table.relation, etype=table.etype, **counts)
    source = SourceRecord(key=kind, type="control", relations=(table.relation,), relation_records=(record,))
    old = graph.manifest
    manifest = Manifest.create({kind: source}, name=f"{kind} control of {old.name}".strip(), species=old.species)
    for line in (*old.history, event):
        manifest = manifest.with_history(line)
    return GeneGraph.from_tables([table], graph.vocab, node_names, manifest)
