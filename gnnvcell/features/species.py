"""Feature tables of several species side by side: a gene is found by species and name, never by name alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, DataError, FileFormatError
from gnnvcell.features.feature_table import FeatureReport, FeatureTable, some
from gnnvcell.files import open_text
from gnnvcell.genes import GeneVocab
from gnnvcell.genes.spelling import species_name


@dataclass(frozen=True, eq=False)
class SpeciesFeatures:
    """Features of the genes of several species, one species after the other.

    Args:
        values: (genes of all species, width) float32, zero where missing, which ``present`` tells.
        present: (genes of all species,) whether there are features.
        taxon: (genes of all species,) NCBI taxon of each gene.
        symbols: (genes of all species,) symbol of each gene within its species.
        vocabs: taxon to the vocabulary of its genes.
        start: taxon to the row of its first gene.
        reports: taxon to what became of its table's rows, with the coverage.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    taxon: NDArray[np.int64]
    symbols: NDArray
    vocabs: Mapping[int, GeneVocab]
    start: Mapping[int, int]
    reports: Mapping[int, FeatureReport]

    def rows(self, taxa: Sequence[int] | NDArray, names: Sequence[str] | NDArray) -> NDArray[np.int64]:
        """(names,) row of each gene, looked up among the genes of its own species; -1 where it is not one of them.

        Args:
            taxa: (names,) NCBI taxon of each name.
            names: (names,) any names that the species' vocabulary knows.

        Raises:
            DataError: lists of different lengths.
            ConfigError: a species that is not here.
        """
        if len(taxa) != len(names):
            raise DataError("species and names do not pair", found=f"{len(taxa):,} species, {len(names):,} names")
        given, listed = np.asarray(taxa, dtype=np.int64), np.asarray(names, dtype=str)
        rows = np.full(len(listed), -1, dtype=np.int64)
        for taxon in dict.fromkeys(given.tolist()):
            if taxon not in self.vocabs:
                raise ConfigError(
                    f"there are no features of {species_name(taxon)} (taxon {taxon})",
                    expected=", ".join(f"{known} ({species_name(known)})" for known in self.vocabs),
                )
            own = np.flatnonzero(given == taxon)
            index = self.vocabs[taxon].lookup(listed[own].tolist())
            rows[own] = np.where(index >= 0, index + self.start[taxon], -1)
        return rows

    def __str__(self) -> str:
        return "\n".join(f"{species_name(taxon)}: {report}" for taxon, report in self.reports.items())


def species_features(tables: Mapping[int, FeatureTable], vocabs: Sequence[GeneVocab]) -> SpeciesFeatures:
    """Line up one feature table per species, all of the same model, with the genes of each.

    Args:
        tables: NCBI taxon to the table of that species.
        vocabs: the genes of each species; the order of the rows. Each knows its own taxon.

    Raises:
        ConfigError: a species without a table or without a vocabulary, or with two vocabularies.
        DataError: tables of different widths, or one with features of no gene of its species.

    Example:
        >>> human = FeatureTable(np.array(["MYC"]), np.array([[1.0]]), "human")
        >>> mouse = FeatureTable(np.array(["Myc"]), np.array([[2.0]]), "mouse")
        >>> vocabs = [GeneVocab.from_symbols(["MYC", "TP53"]), GeneVocab.from_symbols(["Myc"], species=10090)]
        >>> both = species_features({9606: human, 10090: mouse}, vocabs)
        >>> both.values[both.rows([10090, 9606], ["Myc", "MYC"])].tolist(), both.rows([9606], ["Myc"]).tolist()
        ([[2.0], [1.0]], [-1])
    """
    by_taxon = {vocab.species: vocab for vocab in vocabs}
    if len(by_taxon) < len(vocabs) or by_taxon.keys() != tables.keys() or not vocabs:
        raise ConfigError(
            "tables and vocabularies are not of the same species",
            expected="one table and one vocabulary of each",
            found=f"tables of {sorted(tables)}, vocabularies of {[vocab.species for vocab in vocabs]}",
            remedy="give each vocabulary its taxon: GeneVocab.from_symbols(symbols, species=10090)",
        )
    widths = {species_name(taxon): table.width for taxon, table in tables.items()}
    if len(set(widths.values())) > 1:
        raise DataError(
            "feature tables of several species have different widths",
            expected="embeddings by the same model",
            found=some([f"{name}: {width:,}" for name, width in widths.items()]),
        )
    values, present, start, reports, rows = [], [], {}, {}, 0
    for taxon, vocab in by_taxon.items():
        try:
            found, has, reports[taxon] = tables[taxon].for_genes(vocab)
        except DataError as error:
            raise DataError(
                f"{species_name(taxon)}: {error.problem}", found=error.found, remedy=error.remedy
            ) from error
        values.append(found)
        present.append(has)
        start[taxon], rows = rows, rows + len(vocab)
    taxa = np.repeat(list(by_taxon), [len(vocab) for vocab in by_taxon.values()])
    symbols = np.concatenate([vocab.symbols for vocab in by_taxon.values()])
    return SpeciesFeatures(np.concatenate(values), np.concatenate(present), taxa, symbols, by_taxon, start, reports)


@dataclass(frozen=True, eq=False)
class OrthologueReport:
    """What became of a table whose rows were given the names of another species' genes.

    Args:
        rows: rows that were renamed.
        without: names of the table that have no orthologue.
        several: names of the table with several orthologues, or that share one with another name; they are left out,
            because no row of them stands for one gene.
    """

    rows: int
    without: Sequence[str]
    several: Sequence[str]

    def __str__(self) -> str:
        lines = [f"{self.rows:,} rows have one orthologue each"]
        lines += [f"  {len(self.without):,} have none: {some(self.without)}"] if self.without else []
        lines += [f"  {len(self.several):,} have several, or share one: {some(self.several)}"] if self.several else []
        return "\n".join(lines)


def by_orthologues(table: FeatureTable, pairs: Sequence[tuple[str, str]]) -> tuple[FeatureTable, OrthologueReport]:
    """A table whose rows have the names of another species' genes, by one-to-one orthologues.

    Args:
        table: features of one species.
        pairs: name in the table's species, name in the other; repeated pairs count once.

    Raises:
        DataError: no row has a one-to-one orthologue.
    """
    forward: dict[str, set[str]] = {}
    backward: dict[str, set[str]] = {}
    for own, other in pairs:
        forward.setdefault(own, set()).add(other)
        backward.setdefault(other, set()).add(own)
    names, rows, without, several = [], [], [], []
    for row, name in enumerate(table.names.tolist()):
        others = forward.get(name, set())
        if len(others) == 1 and len(backward[next(iter(others))]) == 1:
            names.append(next(iter(others)))
            rows.append(row)
        else:
            (several if others else without).append(name)
    if not rows:
        raise DataError(
            f"no row of {table.source or 'the table'} has a one-to-one orthologue",
            found=f"names such as {some(table.names.tolist(), 3)}; orthologues of {some(list(forward), 3)}",
            remedy="are the two columns the other way round, or names of another kind?",
        )
    renamed = FeatureTable(np.array(names, dtype=str), table.values[rows], f"{table.source}, by orthologues")
    return renamed, OrthologueReport(len(rows), without, several)


def read_orthologues(path: str | Path) -> list[tuple[str, str]]:
    """Pairs of names from a tsv file, plain or gzipped, of two columns with a header line.

    Raises:
        FileFormatError: missing, empty or damaged file, no pairs, lines of other than two columns, or empty names.
    """
    with open_text(path) as handle:
        lines = [line.rstrip("\r\n").split("\t") for line in handle if line.strip()]
    bad = next((number for number, line in enumerate(lines, start=1) if len(line) != 2 or not all(line)), 0)
    if bad or len(lines) < 2:
        raise FileFormatError(
            f"{path}: line {bad} is no pair of orthologues" if bad else f"{path} has no pairs in it",
            expected="a header line, then two names with a tab between them",
            found="\t".join(lines[bad - 1])[:60] if bad else "",
            remedy="leave genes without an orthologue out",
        )
    return [(own.strip(), other.strip()) for own, other in lines[1:]]
