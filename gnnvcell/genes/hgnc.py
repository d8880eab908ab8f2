"""HGNC's complete set of human gene names."""

import csv
from collections.abc import Iterator
from pathlib import Path

from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_text
from gnnvcell.genes.identities import Identities

_LISTS = {
    "previous": "prev_symbol",
    "alias": "alias_symbol",
    "ensembl": "ensembl_gene_id",
    "uniprot": "uniprot_ids",
    "entrez": "entrez_id",
}
_COLUMNS = ("symbol", "status", *_LISTS.values())


def read_hgnc(path: str | Path) -> Identities:
    """Read ``hgnc_complete_set.txt`` (plain or gzipped): the approved genes, with their other names and ids.

    Source: https://www.genenames.org/download/, CC0. Withdrawn entries are left out; lists are separated by ``|``.

    Raises:
        FileFormatError: missing, empty, damaged, not tab-separated, a column is missing, a line has too few or too many
            fields, a symbol repeats, or no gene is approved.
    """
    rows: dict[str, int] = {}
    aliases: dict[str, list[tuple[str, int]]] = {kind: [] for kind in _LISTS}
    for line, record in _records(path):
        symbol = record["symbol"].strip()
        if record["status"].strip() != "Approved" or not symbol:
            continue
        if symbol in rows:
            raise FileFormatError(f"line {line} of {path} lists {symbol!r} again", remedy="download the file again")
        row = rows[symbol] = len(rows)
        for kind, column in _LISTS.items():
            aliases[kind] += [(name.strip(), row) for name in record[column].split("|") if name.strip()]
    if not rows:
        raise FileFormatError(f"{path} has no approved gene", expected="lines with status Approved")
    return Identities(list(rows), aliases)


def _records(path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    with open_text(path) as handle:
        reader = csv.reader(handle, delimiter="\t")
        try:
            header = next(reader)
            positions = _positions(path, header)
            for fields in reader:
                if len(fields) != len(header):
                    raise FileFormatError(
                        f"line {reader.line_num} of {path} does not fit its header",
                        expected=f"{len(header)} tab-separated fields",
                        found=f"{len(fields)}",
                        remedy="download the file again",
                    )
                yield reader.line_num, {column: fields[position] for column, position in positions.items()}
        except csv.Error as error:
            raise FileFormatError(f"line {reader.line_num} of {path} cannot be read", found=str(error)) from error


def _positions(path: str | Path, header: list[str]) -> dict[str, int]:
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise FileFormatError(
            f"{path} is not HGNC's complete set",
            expected=f"tab-separated columns, among them {', '.join(_COLUMNS)}",
            found=f"no {', '.join(missing)} in: {', '.join(header)[:200]}",
            remedy="download hgnc_complete_set.txt (tab-separated), not a custom download",
        )
    return {column: header.index(column) for column in _COLUMNS}
