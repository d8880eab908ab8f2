"""Composition features: what a protein is made of, from its sequence alone, without any trained weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.features.fasta import AMINO_ACIDS, STOP, UNKNOWN, Proteins, read_proteins, refuse_nucleotides
from gnnvcell.features.feature_table import FeatureTable, in_file, some
from gnnvcell.files import sha256_of

# Groups of residues as EMBOSS pepstats has them, after Taylor, J Theor Biol 119:205 (1986). They overlap.
CLASSES = {
    "positive": "HKR",
    "negative": "DE",
    "polar": "DEHKNQRST",
    "hydrophobic": "ACFGILMPVWY",
    "aromatic": "FHWY",
    "small": "ACDGNPSTV",
}
# Kyte & Doolittle, J Mol Biol 157:105 (1982), table 2, in the order of AMINO_ACIDS.
HYDROPATHY = np.array(
    [1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8, 1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3]
)

_MEMBERS = np.array([[letter in group for letter in AMINO_ACIDS] for group in CLASSES.values()], dtype=np.float64)
_UNKNOWN_CODE, _STOP_CODE, _INVALID = 20, 21, 255
_CODES = np.full(256, _INVALID, dtype=np.uint8)
_CODES[np.frombuffer((AMINO_ACIDS + UNKNOWN + STOP).encode(), dtype=np.uint8)] = [
    *range(20),
    *[_UNKNOWN_CODE] * len(UNKNOWN),
    _STOP_CODE,
]


def composition_columns(*, dipeptides: bool = True) -> tuple[str, ...]:
    """Names of the columns that ``composition_features`` makes, in their order."""
    pairs = [f"fraction_{first}{second}" for first in AMINO_ACIDS for second in AMINO_ACIDS] if dipeptides else []
    single = [f"fraction_{letter}" for letter in AMINO_ACIDS]
    return (*single, "log_length", *(f"fraction_{name}" for name in CLASSES), "mean_hydropathy", *pairs)


def composition_features(
    proteins: str | Path | Mapping[str, str] | Proteins, *, dipeptides: bool = True
) -> FeatureTable:
    """Features of proteins from their sequences: 428 columns, or 28 without dipeptides.

    In order: fractions of the 20 amino acids; natural logarithm of the number of residues; fractions of six overlapping
    classes (positive, negative, polar, hydrophobic, aromatic, small; after Taylor, J Theor Biol 1986); mean hydropathy
    (Kyte & Doolittle, J Mol Biol 1982; -4.5 to 4.5); fractions of the 400 pairs of neighbours.

    Residues B, J, O, U, X and Z count for the length but not for the fractions, nor do pairs with one of them; ``*``
    (stop) counts for nothing. The table's source says how many there were. Small letters are read as capitals.

    Args:
        proteins: a fasta file, plain or gzipped (see ``read_proteins``), or name to sequence.
        dipeptides: whether to add the 400 pairs.

    Raises:
        FileFormatError: what ``read_proteins`` raises, or a file's sequences are unusable as below.
        DataError: no sequences, one without any of the 20 amino acids, letters that are no residues, or nucleotides.

    Example:
        >>> composition_features({"A1": "MKK"}, dipeptides=False).values[0, [8, 20, 21, 27]].round(3).tolist()
        [0.6669999957084656, 1.0989999771118164, 0.6669999957084656, -1.9670000076293945]
    """
    if isinstance(proteins, str | Path):
        try:
            return _features(read_proteins(proteins), dipeptides, str(proteins), sha256_of(proteins))
        except DataError as error:
            raise in_file(Path(proteins), error) from error
    given = proteins if isinstance(proteins, Proteins) else Proteins(proteins)
    return _features(given, dipeptides, "given sequences", "")


def _features(proteins: Proteins, dipeptides: bool, source: str, sha256: str) -> FeatureTable:
    sequences = proteins.sequences
    if not sequences:
        raise DataError("there are no sequences", expected="at least one protein")
    refuse_nucleotides(sequences.values())
    values = np.empty((len(sequences), len(composition_columns(dipeptides=dipeptides))), dtype=np.float32)
    unknown = stops = 0
    for row, (name, sequence) in enumerate(sequences.items()):
        codes = _encode(name, sequence)
        unknown += int((codes == _UNKNOWN_CODE).sum())
        stops += int((codes == _STOP_CODE).sum())
        values[row] = _describe(name, codes, dipeptides)
    counted = ((proteins.isoforms, "other isoforms"), (unknown, "unknown residues"), (stops, "stops"))
    notes = "; ".join(f"{count:,} {what} left out" for count, what in counted if count)
    label = f"composition of {len(sequences):,} proteins, {source}" + (f" ({notes})" if notes else "")
    return FeatureTable(np.array(list(sequences), dtype=str), values, label, sha256)


def _encode(name: str, sequence: str) -> NDArray[np.uint8]:
    capitals = sequence.upper()
    codes = _CODES[np.frombuffer(capitals.encode("ascii", "replace"), dtype=np.uint8)]
    if (codes == _INVALID).any():
        wrong = sorted(set(capitals) - set(AMINO_ACIDS + UNKNOWN + STOP))
        raise DataError(
            f"the sequence of {name!r} has characters that are no residues",
            expected=f"{AMINO_ACIDS}, {UNKNOWN} or {STOP}",
            found=some([repr(letter) for letter in wrong]),
            remedy="take out gaps and numbers; is it an alignment?",
        )
    return codes


def _describe(name: str, codes: NDArray[np.uint8], dipeptides: bool) -> NDArray[np.float64]:
    known = codes < _UNKNOWN_CODE
    counts = np.bincount(codes[known], minlength=20)
    if not counts.sum():
        raise DataError(f"the sequence of {name!r} has none of the 20 amino acids", remedy="leave this protein out")
    fractions = counts / counts.sum()
    length = np.log((codes != _STOP_CODE).sum())
    parts = [fractions, [length], _MEMBERS @ fractions, [HYDROPATHY @ fractions]]
    if dipeptides:
        both = known[:-1] & known[1:]
        pairs = np.bincount(codes[:-1][both].astype(np.int64) * 20 + codes[1:][both], minlength=400)
        parts.append(pairs / max(int(pairs.sum()), 1))
    return np.concatenate(parts)
