"""Telling accessions from gene symbols: to keep accessions out of symbol lists, and to explain what does not match."""

import re
from collections import Counter
from collections.abc import Iterable

from gnnvcell.genes.spelling import UNIPROT

_UNIPROT = "UniProt accessions"

# Kinds whose form no gene symbol has.
_CERTAIN = {
    "Ensembl gene ids": r"ENS([A-Z]{3,4})?G\d{11}(\.\d+)?",
    "Ensembl transcript ids": r"ENS([A-Z]{3,4})?T\d{11}(\.\d+)?",
    "Ensembl protein ids": r"(\d+\.)?ENS([A-Z]{3,4})?P\d{11}(\.\d+)?",
    "Entrez ids": r"\d+",
    "RefSeq accessions": r"[NX][MRP]_\d+(\.\d+)?",
    "HGNC ids": r"HGNC:\d+",
    _UNIPROT: r"[A-NR-Z]\d([A-Z][A-Z\d]{2}\d){2}(-\d+)?",
    "UniProt entry names": r"[A-Z\d]{1,10}_[A-Z][A-Z\d]{2,4}",
}
# Six characters of UniProt look like some symbols (P2RY11, H2BC12, B3GNT2), so this kind counts only by the column.
_UNIPROT6 = rf"(?=.{{6}}(-\d+)?$)({UNIPROT.pattern})(-\d+)?"

_CERTAIN_RE = {kind: re.compile(pattern) for kind, pattern in _CERTAIN.items()}
_ANY_CERTAIN = re.compile("|".join(f"(?:{pattern})" for pattern in _CERTAIN.values()))
_UNIPROT6_RE = re.compile(_UNIPROT6)
_MAJORITY = 0.5


def accession_kind(name: str) -> str:
    """What kind of accession a name is beyond doubt; empty for what may be a symbol."""
    return next((kind for kind, pattern in _CERTAIN_RE.items() if pattern.fullmatch(name)), "")


def may_be_symbols(names: Iterable[str]) -> list[bool]:
    """For each name of one file whether it may be taken for a gene symbol.

    Names in the form of UniProt's six-character accessions pass as symbols, unless half of all names have it.
    """
    names = list(names)
    six = [_UNIPROT6_RE.fullmatch(name) is not None for name in names]
    refuse_six = bool(names) and sum(six) >= _MAJORITY * len(names)
    return [
        _ANY_CERTAIN.fullmatch(name) is None and not (is_six and refuse_six)
        for name, is_six in zip(names, six, strict=True)
    ]


def likely_kind(names: Iterable[str]) -> str:
    """What most of the names seem to be ("UniProt accessions"), for an error; empty where no kind has the majority."""
    names = list(names)
    kinds = Counter(kind for name in names if (kind := accession_kind(name)))
    kinds[_UNIPROT] += sum(_UNIPROT6_RE.fullmatch(name) is not None for name in names)
    kind, count = kinds.most_common(1)[0]
    return kind if names and count > _MAJORITY * len(names) else ""
