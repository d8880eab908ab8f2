"""Which column of some cells is which gene of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.genes import GeneVocab

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class ColumnMatch:
    """Columns of cells in the order of a model's genes.

    Args:
        columns: (used,) int64 columns that are genes of the model, ascending.
        genes: (used,) int64 the genes that they are.
        unknown: names of the columns that are no gene of the model.
        repeated: names of the columns whose gene another column has by a better name.
        total: number of genes of the model.
    """

    columns: NDArray[np.int64]
    genes: NDArray[np.int64]
    unknown: Sequence[str]
    repeated: Sequence[str]
    total: int

    def __str__(self) -> str:
        lines = [f"genes: {len(self.genes):,} of the model's {self.total:,} are in the cells"]
        for names, why in ((self.unknown, "unknown to the model"), (self.repeated, "another column is the same gene")):
            if names:
                more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
                lines.append(f"  columns not used, {why}: {len(names):,}: {', '.join(names[:_SHOWN])}{more}")
        return "\n".join(lines)


def match_columns(vocab: GeneVocab, names: NDArray) -> ColumnMatch:
    """Find the genes of a model among the columns of some cells, by any name that the vocabulary knows.

    Where several columns are one gene, the one that is named by its symbol is used, failing that the first.

    Args:
        vocab: the model's genes.
        names: (columns,) unique gene names.

    Raises:
        DataError: not one column is a gene of the model.
    """
    place = vocab.lookup(names)
    known = np.flatnonzero(place >= 0)
    if not len(known):
        raise DataError(
            "none of the genes of the cells is known to the model",
            expected=", ".join(vocab.symbols[:_SHOWN].tolist()),
            found=", ".join(map(str, names[:_SHOWN])),
            remedy="name genes as the model does",
        )
    by_symbol = vocab.symbols[place[known]] == names[known]
    order = known[np.lexsort((known, ~by_symbol, place[known]))]
    used = np.sort(order[np.diff(place[order], prepend=-1) != 0])
    repeated = np.setdiff1d(known, used)
    unknown = np.flatnonzero(place < 0)
    return ColumnMatch(used, place[used], names[unknown].tolist(), names[repeated].tolist(), len(vocab))
