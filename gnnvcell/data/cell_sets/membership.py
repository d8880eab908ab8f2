"""Gene sets (GMT files: pathways, DSigDB-like signatures) as a membership matrix over the genes of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.genes import GeneVocab
from gnnvcell.genes.gmt import read_gmt


@dataclass(frozen=True, eq=False)
class GeneSetMembership:
    """Which gene is in which set.

    Args:
        genes: (genes,) names.
        sets: (sets,) names.
        matrix: (genes, sets) bool CSR.
        covered: share of the genes that are in any set.
        left_out: number of sets that were left out, for their size.
    """

    genes: NDArray
    sets: NDArray
    matrix: sp.csr_array
    covered: float
    left_out: int


def gene_set_membership(
    path: str | Path, genes: Sequence[str] | NDArray, *, min_genes: int = 1, max_genes: int | None = None
) -> GeneSetMembership:
    """Attach the sets of a GMT file to genes; a gene is found by its symbol or an earlier one.

    Args:
        path: GMT file, plain or gzipped.
        genes: (genes,) names.
        min_genes, max_genes: sets with fewer or more of these genes are left out, and counted.

    Raises:
        FileFormatError: not a GMT file.
        DataError: none of the sets has enough of the genes.
    """
    vocab = GeneVocab.from_symbols([str(gene) for gene in genes])
    names, rows, columns, left_out = [], [], [], 0
    for one in read_gmt(Path(path)):
        found = np.unique(vocab.lookup(one.genes))
        found = found[found >= 0]
        if len(found) < min_genes or (max_genes is not None and len(found) > max_genes):
            left_out += 1
            continue
        rows.append(found)
        columns.append(np.full(len(found), len(names)))
        names.append(one.name)
    if not names:
        raise DataError(
            f"no set of {path} has {min_genes} or more of the genes",
            found=", ".join(map(str, list(genes)[:3])),
            remedy="check the species and the kind of names, or lower min_genes",
        )
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = sp.csr_array((np.ones(len(row), bool), (row, column)), shape=(len(vocab), len(names)))
    covered = len(np.unique(row)) / len(vocab)
    return GeneSetMembership(np.asarray(genes, dtype=str), np.array(names), matrix, covered, left_out)
