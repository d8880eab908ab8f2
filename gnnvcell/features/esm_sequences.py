"""Sequences as ESM reads them, each once, and which of them make which row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.features.fasta import AMINO_ACIDS, STOP, UNKNOWN, Record, refuse_nucleotides
from gnnvcell.features.feature_table import some
from gnnvcell.features.isoforms import Isoforms, rows_of

_VALID = set(AMINO_ACIDS + UNKNOWN + STOP)
_OWN_TOKENS = "BOUXZ"  # letters beyond the twenty that ESM has tokens for


@dataclass(frozen=True)
class EsmSequences:
    """What is embedded, and what the rows are made of.

    Args:
        distinct: sequences of letters that ESM has tokens for, each once.
        members: name of a row to positions in ``distinct``.
        used: positions of the records that were used.
        counts: what was counted on the way.
    """

    distinct: list[str]
    members: dict[str, list[int]]
    used: list[int]
    counts: dict[str, int]

    def rows(self, embeddings: NDArray[np.float32]) -> tuple[NDArray, NDArray[np.float32]]:
        """Names and (rows, width) values: the mean over a row's members of (distinct, width) embeddings."""
        names = np.array(list(self.members), dtype=str)
        values = np.empty((len(names), embeddings.shape[1]), dtype=np.float32)
        for row, at in enumerate(self.members.values()):
            values[row] = embeddings[at].mean(axis=0, dtype=np.float64)
        return names, values


def esm_sequences(records: Sequence[Record], isoforms: Isoforms) -> EsmSequences:
    """Prepare the proteins of a fasta file for ESM.

    Small letters are capitals. B, O, U, X and Z are ESM's own tokens and stay; J, which has none, becomes X. Stops at
    the end are cut off; a stop within a protein becomes X, so that its neighbours do not move together. A protein of
    which nothing but X is left has no row. Everything is counted.

    Raises:
        DataError: characters that are no residues, nucleotides, or nothing left to embed.
    """
    refuse_nucleotides(record.sequence for record in records)
    rows = rows_of(records, isoforms)
    counts: Counter[str] = Counter()
    position: dict[str, int] = {}
    members: dict[str, list[int]] = {}
    used: list[int] = []
    for name, at in rows.members.items():
        for record in at:
            sequence = _cleaned(records[record], counts)
            if sequence.strip("X"):
                members.setdefault(name, []).append(position.setdefault(sequence, len(position)))
                used.append(record)
            else:
                counts["proteins without a known residue left out"] += 1
    if not members:
        raise DataError("not one protein has a known residue", expected="sequences of amino acids")
    kept = {
        Isoforms.LONGEST: "shorter or equally long isoforms left out",
        Isoforms.MEAN: "further isoforms averaged into their gene's row",
        Isoforms.ALL: "further isoforms with a row of their own",
    }
    heads = {
        "proteins": len(records),
        kept[isoforms]: rows.isoforms,
        "ids of proteins that repeat, told apart by #2 and so on": rows.renamed,
        "proteins with a sequence that another has too": len(used) - len(position),
    }
    found = {what: count for what, count in (heads | dict(counts)).items() if count}
    return EsmSequences(list(position), members, used, found)


def _cleaned(record: Record, counts: Counter[str]) -> str:
    capitals = record.sequence.upper()
    wrong = sorted(set(capitals) - _VALID)
    if wrong:
        raise DataError(
            f"the sequence of {record.name!r} has characters that are no residues",
            expected=f"{AMINO_ACIDS}, {UNKNOWN} or {STOP}",
            found=some([repr(letter) for letter in wrong]),
            remedy="take out gaps and numbers; is it an alignment?",
        )
    sequence = capitals.rstrip(STOP)
    counts["stops at the end cut off"] += len(capitals) - len(sequence)
    counts["stops within proteins read as X"] += sequence.count(STOP)
    counts["residues J read as X"] += sequence.count("J")
    counts[f"residues {' '.join(_OWN_TOKENS)}, which are ESM's own tokens"] += sum(map(sequence.count, _OWN_TOKENS))
    return sequence.replace(STOP, "X").replace("J", "X")
