"""Several feature tables beside each other, such as ESM and a graph embedding, each with its own mask."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.features.feature_table import FeatureReport, FeatureTable, some
from gnnvcell.genes import GeneVocab


@dataclass(frozen=True, eq=False)
class JoinedFeatures:
    """The features of genes in several tables.

    Args:
        symbols: (genes,) the genes.
        values: (genes, sum of widths) float32, the tables side by side; zero where missing, which ``present`` tells.
        present: (genes, tables) whether a table has features of a gene.
        columns: name of a table to its columns of ``values``.
        reports: name of a table to what became of its rows.

    Example:
        >>> esm = FeatureTable(np.array(["TP53", "MYC"]), np.ones((2, 2)), "esm")
        >>> graph = FeatureTable(np.array(["MYC", "KLF1"]), np.ones((2, 1)), "graph")
        >>> joined = join_features({"esm": esm, "graph": graph}, GeneVocab.from_symbols(["TP53", "MYC", "GATA1"]))
        >>> joined.present.tolist(), joined.columns["graph"], joined.counts
        ([[True, False], [True, True], [False, False]], slice(2, 3, None), {'all': 1, 'some': 1, 'none': 1})
    """

    symbols: NDArray
    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    columns: Mapping[str, slice]
    reports: Mapping[str, FeatureReport]

    @property
    def counts(self) -> dict[str, int]:
        """How many genes have features in all tables, in some of them, and in none."""
        every, some_of = self.present.all(axis=1), self.present.any(axis=1)
        return {"all": int(every.sum()), "some": int((some_of & ~every).sum()), "none": int((~some_of).sum())}

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(genes, sum of widths) ``present`` for every column of ``values``."""
        widths = [columns.stop - columns.start for columns in self.columns.values()]
        return np.repeat(self.present, widths, axis=1)

    def table(self, source: str = "joined features") -> FeatureTable:
        """The genes that have features in all tables, as one table: no row of it holds a zero for what is missing.

        Raises:
            DataError: no gene has features in all tables.
        """
        every = self.present.all(axis=1)
        if not every.any():
            raise DataError(
                "no gene has features in all tables", found=str(self), remedy="use values and present, with a mask"
            )
        return FeatureTable(self.symbols[every], self.values[every], f"{source}: {' + '.join(self.columns)}")

    def __str__(self) -> str:
        counts = self.counts
        head = f"{len(self.symbols):,} genes: {counts['all']:,} in all {len(self.columns)} tables, "
        head += f"{counts['some']:,} in some, {counts['none']:,} in none"
        without = self.symbols[~self.present.any(axis=1)].tolist()
        return "\n".join([head + (f": {some(without)}" if without else ""), *map(str, self.reports.values())])


def join_features(tables: Mapping[str, FeatureTable], vocab: GeneVocab) -> JoinedFeatures:
    """Put the features of several tables side by side, for the genes of a vocabulary.

    Scales are kept; where they differ, join ``table.standardised()``.

    Args:
        tables: name of a table to the table, in the order of the columns.
        vocab: the genes.

    Raises:
        DataError: no tables, or one that has features of no gene of the vocabulary (with its name).
    """
    if not tables:
        raise DataError("there are no feature tables to join", expected="at least one")
    values, present, reports, columns, start = [], [], {}, {}, 0
    for name, table in tables.items():
        try:
            found, has, reports[name] = table.for_genes(vocab)
        except DataError as error:
            raise DataError(f"{name}: {error.problem}", found=error.found, remedy=error.remedy) from error
        values.append(found)
        present.append(has)
        columns[name] = slice(start, start + table.width)
        start += table.width
    return JoinedFeatures(vocab.symbols, np.concatenate(values, axis=1), np.stack(present, axis=1), columns, reports)
