"""The genes of a graph: those of all sources under one identity each, or exactly the ones that were asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import ConfigError, GeneError, MissingFileError
from gnnvcell.genes import GeneVocab, Identities, NameSource, read_hgnc
from gnnvcell.graphs.accessions import may_be_symbols
from gnnvcell.graphs.manifest import NOT_SELECTED
from gnnvcell.graphs.recipe import Plan
from gnnvcell.graphs.resolve import GeneMatches, used_names
from gnnvcell.graphs.sources.base import Reading, SourceContext

_UNKNOWN = "unknown"
# Names that say of themselves that they are, or were, symbols.
_SYMBOLS = ("symbol", "previous", _UNKNOWN)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The graph's vocabulary, and the wider one that names are matched in.

    Matching in the wider one first keeps two things apart: names nobody knows, and genes that are known but are not
    among those asked for.

    Args:
        vocab: the genes of the graph.
        full: every gene of the sources.
        position: (full genes,) index in ``vocab``, -1 where the gene is not in it; None where the two are the same.
        own: names that mean a gene of ``vocab`` whatever ``full`` says: those that were asked for.
        left_out: the reason that is given for genes of ``full`` that are not in ``vocab``.
        given: whether the caller gave ``vocab`` itself.
    """

    vocab: GeneVocab
    full: GeneVocab
    position: NDArray[np.int64] | None = None
    own: dict[str, int] = field(default_factory=dict)
    left_out: str = NOT_SELECTED
    given: bool = False

    def restrict(self, matches: GeneMatches) -> GeneMatches:
        """Matches in ``full`` as matches in ``vocab``."""
        if self.position is None:
            return matches
        index, reasons = {}, {}
        for name, row in matches.index.items():
            index[name] = self.own.get(name, int(self.position[row]) if row >= 0 else -1)
            reasons[name] = matches.reasons[name]
            if name in self.own:
                reasons[name] = "symbol"
            elif row >= 0 and index[name] < 0:
                reasons[name] = self.left_out
        return GeneMatches(index, reasons)


def choose_vocabulary(
    readings: Sequence[tuple[str, Reading]],
    plan: Plan,
    *,
    genes: Sequence[str] | NDArray | None,
    vocab: GeneVocab | None,
    report: Callable[[str], None],
) -> tuple[Vocabulary, list[str]]:
    """The vocabulary of a graph, and notes for its manifest.

    Raises:
        ConfigError: both ``genes`` and ``vocab``.
        GeneError: ``genes`` are empty or repeat, or the vocabulary is of another species.
        MissingFileError: the recipe's HGNC table is not there and not optional.
    """
    if genes is not None and vocab is not None:
        raise ConfigError("genes and vocab both say which genes the graph has", remedy="give one of them")
    species = plan.recipe.species
    if vocab is not None:
        if vocab.species != species:
            raise GeneError(
                f"the vocabulary is of species {vocab.species}, the recipe of {species}", remedy="use the same species"
            )
        return Vocabulary(vocab, vocab, given=True), []
    asked = None if genes is None else _checked_genes(genes)
    hgnc, notes = _read_hgnc(plan, report)
    known: list[NameSource] = [reading.identities for _, reading in readings if reading.identities is not None]
    if asked is not None:
        known.insert(0, Identities(asked, {}))
    full = _union([*known, *hgnc], [_gene_names(reading) for _, reading in readings], species)
    if asked is None:
        return _of_sources(readings, full), notes
    chosen, merged = _as_asked(asked, full, species)
    return chosen, [*notes, *merged]


def _checked_genes(genes: Sequence[str] | NDArray) -> list[str]:
    if isinstance(genes, str):
        raise GeneError(f"genes is one name, {genes!r}", remedy="put it in a list")
    asked = [str(gene).strip() for gene in genes]
    if not asked or not all(asked):
        raise GeneError("genes is empty, or one of its names is", remedy="name at least one gene, or leave genes out")
    if len(set(asked)) < len(asked):
        twice = next(gene for gene in asked if asked.count(gene) > 1)
        raise GeneError(f"the gene {twice!r} is in genes twice", remedy="name each gene once")
    return asked


def _read_hgnc(plan: Plan, report: Callable[[str], None]) -> tuple[list[NameSource], list[str]]:
    entry = plan.recipe.genes
    if not entry.hgnc:
        return [], []
    if plan.recipe.species != 9606:
        raise ConfigError("HGNC names human genes", found=f"species {plan.recipe.species}", remedy="leave hgnc out")
    try:
        path = SourceContext(plan.source_dir).find([], what="HGNC's table", explicit=Path(entry.hgnc))
    except MissingFileError as error:
        if not entry.optional:
            raise
        note = f"gene names without HGNC: optional and not there ({error.problem})"
        report(f"[genes] {note}")
        return [], [note]
    found = read_hgnc(path)
    note = f"{len(found.symbols):,} approved genes and their other names from {path.name}"
    report(f"[genes] {note}")
    return [found], [note]


def _gene_names(reading: Reading) -> list[str]:
    """Sorted unique gene names that an edge of the reading uses."""
    names = [used_names(table, keys.GENE) for table in reading.tables]
    return np.unique(np.concatenate([np.zeros(0, dtype=str), *names])).tolist()


def _union(known: Sequence[NameSource], names: Sequence[list[str]], species: int) -> GeneVocab:
    """Genes of the sources that know other names of them, and then the names of edges that are not among those.

    A name that is an alias or an id of a known gene is that gene, and not a new one.
    """
    first = GeneVocab.from_identities(known, species=species)
    sources = list(known)
    for listed in names:
        reasons = first.align(listed).reasons.tolist()
        good = may_be_symbols(listed)
        new = [name for name, reason, ok in zip(listed, reasons, good, strict=True) if ok and reason in _SYMBOLS]
        sources.append(Identities(new, {}))
    return GeneVocab.from_identities(sources, species=species)


def _of_sources(readings: Sequence[tuple[str, Reading]], full: GeneVocab) -> Vocabulary:
    """Every gene that a source lists or has an edge of, except where all that is known of it is an accession."""
    rows: set[int] = set()
    for _, reading in readings:
        listed = [] if reading.identities is None else [str(symbol) for symbol in reading.identities.symbols]
        for names in (listed, _gene_names(reading)):
            found = full.lookup(names).tolist()
            symbols = [str(full.symbols[row]) if row >= 0 else name for row, name in zip(found, names, strict=True)]
            rows |= {row for row, ok in zip(found, may_be_symbols(symbols), strict=True) if ok and row >= 0}
    chosen = np.array(sorted(rows), dtype=np.int64)
    position = np.full(len(full), -1, dtype=np.int64)
    position[chosen] = np.arange(len(chosen))
    return Vocabulary(full.subset(chosen), full, position, left_out=_UNKNOWN)


def _as_asked(asked: list[str], full: GeneVocab, species: int) -> tuple[Vocabulary, list[str]]:
    """Exactly the genes asked for, under the names they were asked for, with all other names that mean them."""
    rows = full.lookup(asked).tolist()
    position = np.full(len(full), -1, dtype=np.int64)
    notes = []
    for index, row in enumerate(rows):
        if row >= 0 and position[row] >= 0:
            notes.append(f"{asked[position[row]]} and {asked[index]} are names of one gene; both are nodes, as asked")
        elif row >= 0:
            position[row] = index
    own = {name: index for index, name in enumerate(asked)}
    aliases: dict[str, list[tuple[str, int]]] = {}
    symbols = [(name, row) for row, name in enumerate(full.symbols.tolist())]
    for kind, pairs in {**full.aliases, "previous": [*full.aliases.get("previous", []), *symbols]}.items():
        meant = full.lookup([name for name, _ in pairs]).tolist()
        # A name that means several genes means none here, even where only one of them was asked for.
        aliases[kind] = [
            (name, int(position[row]))
            for (name, row), owner in zip(pairs, meant, strict=True)
            if owner == row and position[row] >= 0 and name not in own
        ]
    return Vocabulary(GeneVocab(asked, aliases, species=species), full, position, own=own), notes
