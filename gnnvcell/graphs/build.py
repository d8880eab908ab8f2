"""Build a gene graph from a recipe: read every source, resolve names once, merge, filter, assemble, account for all.

The module is callable, so that ``gnnvcell.graphs.build(recipe)`` and ``from gnnvcell.graphs.build import build`` are
the same function; ``python -m gnnvcell.graphs.build RECIPE --source-dir DIR --out DIR`` runs it.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError, GnnvcellError, GnnvcellWarning, MissingFileError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import FileRecord, Manifest, SourceRecord
from gnnvcell.graphs.recipe import Plan, PlannedSource, read_recipe
from gnnvcell.graphs.resolve import GeneMatches, Resolved, clean, examples, match_genes, node_lists, onto_nodes
from gnnvcell.graphs.sources.base import Reading, SourceContext, file_record
from gnnvcell.graphs.vocabulary import Vocabulary, choose_vocabulary

Progress = bool | Callable[[str], None]
LOW_COVERAGE = 0.5
HIGH_DENSITY = 0.2
_DENSITY_GENES = 200


@dataclass(frozen=True)
class _Read:
    """A source with what it read."""

    planned: PlannedSource
    reading: Reading

    @property
    def key(self) -> str:
        return self.planned.key


def build(
    recipe: str | Path | Mapping[str, Any] | Sequence[Any],
    *,
    source_dir: str | Path | None = None,
    genes: Sequence[str] | NDArray | None = None,
    vocab: GeneVocab | None = None,
    overrides: Sequence[str] = (),
    progress: Progress = True,
) -> GeneGraph:
    """Build a gene graph.

    The nodes are the genes of all sources, merged under their previous symbols and accessions; or exactly ``genes``; or
    exactly those of ``vocab``. Genes without edges stay. Self loops are dropped, edges that turn out to join the same
    pair are merged (largest weight; contradicting signs become 0), then the source's and the recipe's filters run.

    Args:
        recipe: path of a TOML recipe, a dict (``{"sources": {...}}`` or the sources alone), or a list of sources.
        source_dir: folder of the files; goes before the recipe's own.
        genes: the graph's genes in this order, by symbol; other names the sources know them by count as them.
        vocab: the graph's genes with all the names they go by.
        overrides: changes to the recipe, such as ``sources.string_db.args.confidence=0.9``.
        progress: whether to print what happens on stderr, or a function that is called with each line.

    Returns:
        The graph; ``graph.manifest.report()`` says what was read, kept and not matched.

    Raises:
        ConfigError: a recipe with unknown keys, types or settings, or both ``genes`` and ``vocab``.
        FileFormatError: a file is missing, damaged or of another format.
        EmptyGraphError: a source or a relation has no edges left.
        GeneError: ``genes`` are empty or repeat, or a source is of another species.

    Warns:
        GnnvcellWarning: fewer than half of a source's gene names are matched, or a relation joins more than a fifth of
            all pairs of its genes.

    Example:
        >>> graph = build({"string_db": {"type": "string"}}, source_dir="raw")  # doctest: +SKIP
    """
    report = _reporter(progress)
    plan = read_recipe(recipe, source_dir=source_dir, overrides=overrides)
    reads, skipped = _read_sources(plan, report)
    vocabulary, notes = choose_vocabulary(
        [(read.key, read.reading) for read in reads], plan, genes=genes, vocab=vocab, report=report
    )
    matches = {
        read.key: vocabulary.restrict(GeneMatches.of(read.reading.tables, vocabulary.full, source=read.key))
        for read in reads
    }
    resolved, nodes = _resolve(reads, vocabulary.vocab, matches)
    records = {read.key: _record(read, resolved[read.key], matches[read.key]) for read in reads}
    manifest = Manifest.create(
        records,
        name=plan.recipe.name,
        species=plan.recipe.species,
        skipped=skipped,
        recipe=plan.recipe.model_dump(mode="json"),
        notes=notes,
    )
    tables = [item.table for key in resolved for item in resolved[key]]
    graph = GeneGraph.from_tables(tables, vocabulary.vocab, nodes, manifest, _labels(reads, nodes))
    report(_summary(graph))
    for read in reads:
        _warn_of_low_coverage(records[read.key], graph, vocabulary)
    _warn_of_density(graph)
    return graph


def _reporter(progress: Progress) -> Callable[[str], None]:
    if callable(progress):
        return progress
    return (lambda text: print(text, file=sys.stderr, flush=True)) if progress else (lambda text: None)


def _read_sources(plan: Plan, report: Callable[[str], None]) -> tuple[list[_Read], dict[str, str]]:
    """Every source read, and the optional ones that were not there with the reason."""
    reads, skipped = [], {}
    for planned in plan.sources:
        label = f"[{planned.key}]"
        context = SourceContext(
            plan.source_dir, plan.recipe.species, lambda text, label=label: report(f"{label} {text}")
        )
        started = time.perf_counter()
        try:
            reading = planned.source.read(context)
        except MissingFileError as error:
            if not planned.entry.optional:
                raise
            skipped[planned.key] = f"optional and not there: {error.problem}"
            report(f"{label} skipped, {skipped[planned.key]}")
            continue
        edges = sum(len(table) for table in reading.tables)
        if not edges:
            raise EmptyGraphError(
                f"the source {planned.key!r} gave no edges",
                found=f"{reading.lines_read:,} lines read from {', '.join(p.name for p in reading.files)}",
                remedy="check the file, and loosen the source's thresholds",
            )
        reads.append(_Read(planned, reading))
        report(f"{label} {edges:,} edges from {reading.lines_read:,} lines in {time.perf_counter() - started:.1f} s")
    if not reads:
        raise EmptyGraphError("no source of the recipe was read", found=str(skipped), remedy="check source_dir")
    return reads, skipped


def _resolve(
    reads: Sequence[_Read], vocab: GeneVocab, matches: Mapping[str, GeneMatches]
) -> tuple[dict[str, list[Resolved]], dict[str, NDArray]]:
    """Every relation in the nodes of the graph, by source; and the names of the nodes that are not genes."""
    symbols = np.asarray(vocab.symbols, dtype=str)
    names = relation_names([(r.key, r.planned.type, [t.relation for t in r.reading.tables]) for r in reads])
    raw = [
        match_genes(read.key, table, names[read.key, table.relation], matches[read.key], symbols)
        for read in reads
        for table in read.reading.tables
    ]
    nodes = node_lists(raw)
    filters = {read.key: read.planned.filters for read in reads}
    cleaned = []
    for item in raw:
        item.table = onto_nodes(item.table, nodes)
        cleaned.append(clean(item, filters[item.source], matches[item.source]))
    # Filters can leave terms and pathways without any edge; those are not nodes of the graph.
    nodes = node_lists(cleaned)
    for item in cleaned:
        item.table = onto_nodes(item.table, nodes)
    return {read.key: [item for item in cleaned if item.source == read.key] for read in reads}, nodes


def relation_names(given: Sequence[tuple[str, str, Sequence[str]]]) -> dict[tuple[str, str], str]:
    """(source key, relation as the source names it) to the relation's name in the graph.

    Args:
        given: per source its key, its type and its relations.

    Returns:
        The source's own name; with the source's key in front of it (``key_relation``) where two sources are of one type
        or give the same relation.
    """
    types = [kind for _, kind, _ in given]
    relations = [relation for _, _, names in given for relation in names]
    return {
        (key, relation): f"{key}_{relation}" if types.count(kind) > 1 or relations.count(relation) > 1 else relation
        for key, kind, names in given
        for relation in names
    }


def _labels(reads: Sequence[_Read], nodes: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Node type to readable labels of its nodes, empty where a source gave none."""
    known: dict[str, dict[str, str]] = {}
    for read in reads:
        for ntype, labels in read.reading.labels.items():
            known.setdefault(ntype, {}).update(labels)
    return {
        ntype: np.array([known[ntype].get(name, "") for name in names.tolist()], dtype=str)
        for ntype, names in nodes.items()
        if ntype in known
    }


def _record(read: _Read, resolved: Sequence[Resolved], matches: GeneMatches) -> SourceRecord:
    planned, reading = read.planned, read.reading
    unmatched = matches.unmatched()
    return SourceRecord(
        key=read.key,
        type=planned.type,
        settings=planned.source.settings(),
        filters=tuple(filter_record(f) for f in planned.filters),
        files=tuple(FileRecord.parse(file_record(path)) for path in reading.files),
        release=planned.entry.release,
        licence=planned.licence,
        citation=type(planned.source).citation,
        urls=tuple(entry if isinstance(entry, str) else entry.url for entry in planned.entry.urls),
        lines_read=reading.lines_read,
        relations=tuple(item.table.relation for item in resolved),
        relation_records=tuple(item.record() for item in resolved),
        genes_matched=matches.matched(),
        genes_unmatched={reason: len(names) for reason, names in unmatched.items()},
        unmatched_examples=examples(unmatched),
        notes=tuple(reading.notes),
    )


def filter_record(edge_filter: Callable) -> dict[str, Any]:
    """A filter as plain values, for the manifest."""
    record = getattr(edge_filter, "record", None)
    return record() if record else {"type": repr(edge_filter)}


def _summary(graph: GeneGraph) -> str:
    touched = np.zeros(graph.num_genes, dtype=bool)
    for etype in graph.etypes:
        src, dst, _, _ = graph.edges(etype[1])
        for ntype, codes in ((etype[0], src), (etype[2], dst)):
            if ntype == keys.GENE:
                touched[codes] = True
    isolated = int((~touched).sum())
    return f"{graph.manifest.report()}\n{graph!r}; {isolated:,} genes have no edge"


def _warn_of_low_coverage(record: SourceRecord, graph: GeneGraph, vocabulary: Vocabulary) -> None:
    if record.coverage >= LOW_COVERAGE:
        return
    if vocabulary.given and sum(record.genes_matched.values()) >= LOW_COVERAGE * graph.num_genes:
        return  # A small vocabulary was given, and the source covers it: nothing is wrong.
    warnings.warn(
        f"only {record.coverage:.0%} of the gene names of the source {record.key!r} are matched:\n{record.report()}",
        GnnvcellWarning,
        stacklevel=3,
    )


def _warn_of_density(graph: GeneGraph) -> None:
    """A dense relation says little about any gene, and most often comes from a threshold that does nothing."""
    for etype in graph.etypes:
        if etype[0] != etype[2]:
            continue
        table = graph.table(etype[1])
        nodes = len(np.unique(np.concatenate([table.src, table.dst])))
        density = len(table) / max(nodes * (nodes - 1) / (1 if table.directed else 2), 1)
        if nodes >= _DENSITY_GENES and density > HIGH_DENSITY:
            warnings.warn(
                f"the relation {etype[1]!r} joins {density:.0%} of all pairs of its {nodes:,} nodes: "
                "raise the source's threshold, or add a filter such as top_k",
                GnnvcellWarning,
                stacklevel=3,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``build`` from the command line and save the graph; 0 if it went well, 1 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m gnnvcell.graphs.build", description="Build and save a gene graph.")
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML recipe, such as graphs/human.toml")
    parser.add_argument("--source-dir", metavar="DIR", help="folder of the files (goes before the recipe's own)")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder to save the graph in")
    parser.add_argument("--genes", metavar="FILE", help="text file with one gene symbol per line: the graph's genes")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change a recipe setting")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    options = parser.parse_args(arguments)
    try:
        genes = Path(options.genes).read_text(encoding="utf-8").split() if options.genes else None
        graph = build(
            options.recipe,
            source_dir=options.source_dir,
            genes=genes,
            overrides=options.set,
            progress=not options.quiet,
        )
        graph.save(options.out)
    except (GnnvcellError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not options.quiet:
        print(graph.info())
        print(f"saved in {options.out}")
    return 0


class _CallableModule(ModuleType):
    """Lets ``gnnvcell.graphs.build`` be a module and a function."""

    def __call__(self, *args: Any, **kwargs: Any) -> GeneGraph:
        return build(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    sys.exit(main())
