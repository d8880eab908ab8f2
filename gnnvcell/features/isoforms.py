"""Several proteins of one gene: the longest, their mean, or all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gnnvcell.errors import DataError
from gnnvcell.features.fasta import Record, residues
from gnnvcell.features.feature_table import some
from gnnvcell.genes import GeneVocab


class Isoforms(StrEnum):
    """What becomes of several proteins of one gene."""

    LONGEST = "longest"  # the longest is used; the first of those equally long
    MEAN = "mean"  # each protein is embedded, and the gene's row is their plain mean
    ALL = "all"  # each protein has a row of its own, named by its own id


@dataclass(frozen=True)
class Rows:
    """Which proteins make which row of a table.

    Args:
        members: name of the row to positions of its records.
        isoforms: records beyond the first of a gene.
        renamed: with ``Isoforms.ALL``: protein ids that repeat, so that "#2" and so on was put behind them.
    """

    members: dict[str, list[int]]
    isoforms: int
    renamed: int = 0


def rows_of(records: Sequence[Record], isoforms: Isoforms) -> Rows:
    """The rows that records make, in the order of their first record."""
    genes: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        genes.setdefault(record.name, []).append(position)
    extra = len(records) - len(genes)
    if isoforms is Isoforms.MEAN:
        return Rows(genes, extra)
    if isoforms is Isoforms.LONGEST:
        length = [residues(record.sequence) for record in records]
        return Rows({name: [max(at, key=length.__getitem__)] for name, at in genes.items()}, extra)
    members: dict[str, list[int]] = {}
    seen: dict[str, int] = {}
    for position, record in enumerate(records):
        count = seen[record.protein] = seen.get(record.protein, 0) + 1
        members[record.protein if count == 1 else f"{record.protein}#{count}"] = [position]
    return Rows(members, extra, sum(count - 1 for count in seen.values()))


def for_genes(records: Sequence[Record], genes: Sequence[str], species: int) -> tuple[list[Record], list[str]]:
    """The records of some genes, named as they were asked for, and all the genes' names as they are used.

    A record belongs to a gene if any name in its header means it: a symbol old or new, an id of gene or protein.

    Raises:
        GeneError: genes repeat or are empty.
        DataError: not one gene has a protein.
    """
    vocab = GeneVocab.from_symbols(genes, species=species)
    index = np.full(len(records), -1, dtype=np.int64)
    most = max((1 + len(record.other_names) for record in records), default=1)
    for rank in range(most):  # the best names first
        left = [at for at in np.flatnonzero(index < 0).tolist() if rank <= len(records[at].other_names)]
        names = [(records[at].name, *records[at].other_names)[rank] for at in left]
        if left:
            index[left] = vocab.lookup(names)
    found = [
        Record(str(vocab.symbols[row]), record.protein, record.other_names, record.sequence)
        for row, record in zip(index.tolist(), records, strict=True)
        if row >= 0
    ]
    if not found:
        raise DataError(
            f"none of the {len(genes):,} genes asked for has a protein",
            found=f"proteins of {some([record.name for record in records], 3)}",
            remedy="check the species and the kind of names",
        )
    return found, vocab.symbols.tolist()
