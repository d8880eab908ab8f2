"""The lookup table of a vocabulary: every name to one code, the best kind of name first, ambiguity kept."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import GeneError, did_you_mean
from gnnvcell.genes.identities import ALIAS_KINDS, KINDS
from gnnvcell.genes.spelling import UNIPROT, stored

WIDTH = 8  # codes are row * WIDTH + rank of the kind; there are fewer kinds than WIDTH
UNKNOWN, AMBIGUOUS = -1, -2
Entry = tuple[str, str, int]  # kind, name, row

_ENSEMBL_RANKS = (KINDS.index("ensembl"), KINDS.index("ensp"))
_UNIPROT_RANKS = (KINDS.index("uniprot"),)
_WITH_SUFFIX = ("ensembl", "ensp", "uniprot")


def check_symbols(symbols: Iterable[str] | NDArray) -> list[str]:
    """The symbols, stripped.

    Raises:
        GeneError: a single text instead of a list, an empty symbol, a line break in one, or a symbol twice.
    """
    if isinstance(symbols, str | bytes):
        raise GeneError(f"{symbols!r} is one name, not a list of symbols", remedy=f"write [{symbols!r}]")
    given: list[str] = symbols.tolist() if isinstance(symbols, np.ndarray) else list(symbols)
    names = [symbol.strip() if isinstance(symbol, str) else "" for symbol in given]
    bad = next((row for row, name in enumerate(names) if not name or "\n" in name), None)
    if bad is not None:
        raise GeneError(
            "a gene symbol is empty, missing or has a line break", found=f"{given[bad]!r} at position {bad}"
        )
    if len(set(names)) != len(names):
        repeated = [name for name, count in Counter(names).items() if count > 1]
        raise GeneError(
            f"{len(repeated)} gene symbols repeat",
            expected="each gene once",
            found=", ".join(repeated[:5]),
            remedy="drop the duplicates, or number them if they are different genes",
        )
    return names


def check_entries(
    aliases: Mapping[str, Iterable[tuple[str, int]]], symbols: Sequence[str], species: int
) -> list[Entry]:
    """Aliases as distinct (kind, name, row), spelled as a vocabulary keeps them.

    Raises:
        GeneError: an unknown kind, a row outside the symbols, or a name with a line break.
    """
    entries: dict[Entry, None] = {}  # a set that keeps its order, so that runs are alike
    for kind, pairs in aliases.items():
        if kind not in ALIAS_KINDS:
            raise GeneError(f"unknown kind of gene name {kind!r}", remedy=did_you_mean(kind, ALIAS_KINDS))
        for name, row in pairs:
            if not 0 <= row < len(symbols):
                raise GeneError(
                    f"the {kind} name {name!r} points to row {row}", expected=f"a row of {len(symbols)} genes"
                )
            name = stored(kind, name, species) if kind in _WITH_SUFFIX else name.strip()
            if "\n" in name:
                raise GeneError(f"the {kind} name {name!r} has a line break")
            if name and name != symbols[row]:
                entries[(kind, name, int(row))] = None
    return list(entries)


def build_table(symbols: Sequence[str], entries: Iterable[Entry], reserved: Iterable[str]) -> dict[str, int]:
    """Name to code: row * WIDTH + rank of its kind, or AMBIGUOUS where several genes have it at the best kind.

    Args:
        symbols: (genes,) unique symbols.
        entries: aliases.
        reserved: names that mean several genes outside this vocabulary and must stay ambiguous.
    """
    table = {symbol: row * WIDTH for row, symbol in enumerate(symbols)}
    by_kind: dict[str, list[tuple[str, int]]] = {kind: [] for kind in KINDS}
    for kind, name, row in entries:
        by_kind[kind].append((name, row))
    for rank, kind in enumerate(KINDS):
        # Names that a better kind has already are taken; among the rest, two genes make a name ambiguous.
        free = [(name, row) for name, row in by_kind[kind] if name not in table]
        for name, row in free:
            code = row * WIDTH + rank
            if table.setdefault(name, code) != code:
                table[name] = AMBIGUOUS
    table.update(dict.fromkeys(reserved, AMBIGUOUS))
    return table


def find_codes(names: Iterable[str], table: Mapping[str, int], species: int) -> list[int]:
    """The code of each name as it is spelled; failing that, without white space and taxon; failing that, without the
    version of an Ensembl id or the isoform of a UniProt accession.

    One loop without calls of ours: it is what makes 20,000 names a matter of milliseconds.
    """
    get, prefix, uniprot = table.get, f"{species}.", UNIPROT.fullmatch
    codes = []
    for name in names:
        code = get(name, UNKNOWN)
        if code == UNKNOWN:
            bare = name.strip().removeprefix(prefix)
            code = get(bare, UNKNOWN) if bare is not name else UNKNOWN
            core, kinds = "", _ENSEMBL_RANKS
            if code != UNKNOWN:
                pass
            elif bare.startswith("ENS"):
                head, _, version = bare.partition(".")
                core = head if version.isdigit() else ""
            elif "-" in bare:
                head, _, isoform = bare.rpartition("-")
                core, kinds = (head if isoform.isdigit() and uniprot(head) else ""), _UNIPROT_RANKS
            if core:
                found = get(core, UNKNOWN)
                # The kind matters: H2BC12 has the form of a UniProt accession, so H2BC12-1 must not become that gene.
                code = found if found == AMBIGUOUS or found % WIDTH in kinds else UNKNOWN
        codes.append(code)
    return codes
