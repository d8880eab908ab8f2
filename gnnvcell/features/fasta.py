"""Protein sequences from fasta files: the name of each protein's gene, and the letters that residues have."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gnnvcell.errors import DataError, FileFormatError
from gnnvcell.files import open_text

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
UNKNOWN = "BJOUXZ"  # residues that are none of the twenty, or not told apart
STOP = "*"

_NUCLEOTIDES = set("ACGTUN")
_ENOUGH = 60  # residues; a text this long of nucleotide letters alone is no protein
_GENE = re.compile(r"\bGN=(\S+)")
_UNIPROT = re.compile(r"(?:sp|tr)\|([A-Z0-9-]+)\|")
_ENSEMBL_SYMBOL = re.compile(r"\bgene_symbol:(\S+)")
_ENSEMBL_GENE = re.compile(r"\bgene:(\S+)")


@dataclass(frozen=True)
class Record:
    """One entry of a fasta file.

    Args:
        name: what the protein's gene is called, by the best name that the header has.
        protein: the protein's own id: an accession, or the first word of the header.
        other_names: further names of the gene or protein that the header has.
        sequence: residues as they are written, without white space.
    """

    name: str
    protein: str
    other_names: tuple[str, ...]
    sequence: str


@dataclass(frozen=True)
class Proteins:
    """One protein sequence for each name.

    Args:
        sequences: name to sequence.
        isoforms: how many further sequences of the same names were left out.
    """

    sequences: Mapping[str, str]
    isoforms: int = 0


def read_proteins(path: str | Path) -> Proteins:
    """The proteins of a fasta file, plain or gzipped: the longest of each name, the first of those equally long.

    Names are those of ``read_records``.

    Raises:
        FileFormatError: what ``read_records`` raises.
    """
    sequences: dict[str, str] = {}
    records = 0
    for record in read_records(path):
        records += 1
        known = sequences.get(record.name)
        if known is None or residues(record.sequence) > residues(known):
            sequences[record.name] = record.sequence
    return Proteins(sequences, records - len(sequences))


def residues(sequence: str) -> int:
    """Number of residues of a sequence; stops are none."""
    return len(sequence) - sequence.count(STOP)


def read_records(path: str | Path) -> Iterator[Record]:
    """The entries of a fasta file, plain or gzipped, in their order.

    The gene's name is the first of: the symbol of UniProt's ``GN=``; the ``gene_symbol:`` or the ``gene:`` of an
    Ensembl peptide header (``>ENSP... pep ... gene:ENSG... gene_symbol:TP53``; versions of ids are dropped); the
    accession of ``sp|P04637|P53_HUMAN``; the first word of the header.

    Raises:
        FileFormatError: missing, empty or damaged file, no fasta, a header without a name, or one without a sequence.
    """
    path = Path(path)
    header, parts = None, []
    with open_text(path) as handle:
        for number, text in enumerate(handle, start=1):
            line = text.strip()
            if line.startswith(">"):
                if header:
                    yield _record(path, header, parts)
                header, parts = _names(path, line, number), []
            elif line and header is None:
                raise FileFormatError(
                    f"{path} is not fasta", expected="a first line that begins with >", found=line[:60]
                )
            elif line:
                parts.append("".join(line.split()))
    if header is None:
        raise FileFormatError(f"{path} has no sequences in it", expected="fasta")
    yield _record(path, header, parts)


def refuse_nucleotides(sequences: Iterable[str]) -> None:
    """Raise where sequences are those of transcripts.

    Raises:
        DataError: together at least 60 letters, and none of them but A, C, G, T, U and N.
    """
    total, first = 0, ""
    for sequence in sequences:
        first = first or sequence
        total += len(sequence)
        if not set(sequence.upper()) <= _NUCLEOTIDES:
            return
    if total >= _ENOUGH:
        raise DataError(
            "the sequences are nucleotides",
            expected="proteins",
            found=first[:20],
            remedy="use the protein fasta, not the transcripts'",
        )


def _names(path: Path, line: str, number: int) -> tuple[str, str, tuple[str, ...]]:
    """Name of the gene, id of the protein, other names."""
    words = line[1:].split()
    if not words:
        raise FileFormatError(f"{path}: the header in line {number} has no name", found=line, remedy="name the protein")
    accession = _UNIPROT.match(words[0])
    protein = accession[1] if accession else words[0]
    patterns = [_GENE]
    if len(words) > 1 and words[1] == "pep":
        protein = _without_version(protein)
        patterns = [_ENSEMBL_SYMBOL, _ENSEMBL_GENE]
    found = [_without_version(match[1]) for pattern in patterns if (match := pattern.search(line))]
    name, *others = dict.fromkeys([*found, protein])
    return name, protein, tuple(others)


def _without_version(name: str) -> str:
    head, _, tail = name.partition(".")
    return head if tail.isdigit() and head.startswith("ENS") else name


def _record(path: Path, header: tuple[str, str, tuple[str, ...]], parts: list[str]) -> Record:
    name, protein, others = header
    if not parts:
        raise FileFormatError(
            f"{path}: {name!r} has no sequence", expected="residues after the header", remedy="was the file cut off?"
        )
    return Record(name, protein, others, "".join(parts))
