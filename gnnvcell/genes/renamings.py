"""The shipped table of human gene symbols that HGNC renamed."""

import functools
from collections.abc import Iterable, Mapping
from importlib import resources
from types import MappingProxyType

from gnnvcell.errors import FileFormatError


@functools.cache
def load_renamings() -> Mapping[str, str]:
    """Old human gene symbol to its successor, one step each (follow them for the newest).

    Source: HGNC (genenames.org, CC0); the table is ``gnnvcell/data_files/renamings.tsv``.

    Raises:
        FileFormatError: the installed table is damaged.
    """
    text = resources.files("gnnvcell").joinpath("data_files", "renamings.tsv").read_text(encoding="utf-8")
    return MappingProxyType(parse_renamings(text))


def parse_renamings(text: str) -> dict[str, str]:
    """Parse a table with the tab-separated columns old and new; lines that start with # are comments.

    Raises:
        FileFormatError: another header, a line without two symbols, an old symbol twice, or a cycle.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    if not lines or lines[0] != "old\tnew":
        raise FileFormatError(
            "the table of renamings has another header", expected="old<tab>new", found=repr(lines[:1])
        )
    table: dict[str, str] = {}
    for line in lines[1:]:
        old, tab, new = line.partition("\t")
        if not tab or not old or not new or "\t" in new or old == new or old in table:
            raise FileFormatError("bad line in the table of renamings", expected="old<tab>new, old once", found=line)
        table[old] = new
    for old in table:
        chain(old, table)
    return table


def chain(symbol: str, table: Mapping[str, str]) -> list[str]:
    """A symbol and its successors, newest last.

    Raises:
        FileFormatError: the table goes round in a circle.
    """
    path = [symbol]
    while path[-1] in table:
        path.append(table[path[-1]])
        if path[-1] in path[:-1]:
            raise FileFormatError("the table of renamings goes round in a circle", found=" -> ".join(path))
    return path


def families(table: Mapping[str, str]) -> dict[str, list[str]]:
    """Every symbol of the table to all symbols its gene has had, those with the same newest symbol."""
    newest: dict[str, str] = {}
    by_newest: dict[str, list[str]] = {}
    for symbol in dict.fromkeys([*table, *table.values()]):
        last = symbol
        while last in table:
            last = newest.get(last) or table[last]
        newest[symbol] = last
        by_newest.setdefault(last, []).append(symbol)
    return {symbol: by_newest[last] for symbol, last in newest.items()}


def linked_names(symbols: Iterable[str], table: Mapping[str, str]) -> list[tuple[str, int]]:
    """Names outside a list of symbols that a renaming ties to one of them, as (name, row) pairs."""
    rows = {symbol: row for row, symbol in enumerate(symbols)}
    family_of = families(table)
    return [
        (name, row)
        for symbol, row in rows.items()
        if symbol in family_of
        for name in family_of[symbol]
        if name not in rows
    ]
