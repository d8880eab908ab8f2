"""Text and parquet files of edges as named columns, with the line of every row at hand for errors."""

import csv as text_csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.files import open_bytes, open_text, require_file

_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}


@dataclass(frozen=True)
class Columns:
    """Columns of a file.

    Args:
        names: of the columns, in the file's order; "0", "1", ... for a file without a header line.
        table: the columns.
        row_name: from a row's number to words for errors.
    """

    names: list[str]
    table: pa.Table
    row_name: Callable[[int], str]

    def __len__(self) -> int:
        return self.table.num_rows

    def get(self, name: str) -> NDArray:
        """(rows,) values of a column; texts and missing values as objects."""
        return self.table.column(self.names.index(name)).to_numpy()


def read_columns(path: Path, delimiter: str | None, *, header: bool) -> Columns:
    """Read a parquet file, or a text file whose columns are separated by one character.

    Args:
        path: parquet by its suffix, everything else is text (plain or gzipped).
        delimiter: of a text file, or None to find it from the first line.
        header: whether the first line of a text file has the names of the columns.

    Raises:
        FileFormatError: missing, damaged, one column only, lines of different length, another delimiter.
        ConfigError: a delimiter, or columns by number, for a parquet file.
    """
    if path.suffix in (".parquet", ".pq"):
        if delimiter is not None or not header:
            raise ConfigError(f"{path.name} is a parquet file: its columns have names and no delimiter")
        return read_parquet(path)
    with open_text(path) as handle:
        first = handle.readline().lstrip("\ufeff").rstrip("\r\n")
    delimiter = _delimiter_of(path, first, delimiter)
    try:
        with open_bytes(path) as handle:
            table = csv.read_csv(
                handle,
                read_options=csv.ReadOptions(autogenerate_column_names=not header, use_threads=False),
                parse_options=csv.ParseOptions(delimiter=delimiter),
                convert_options=csv.ConvertOptions(column_types=_as_text(first, delimiter, header)),
            )
    except pa.ArrowInvalid as error:
        raise FileFormatError(
            f"{path} is not a table separated by {_DELIMITERS.get(delimiter, repr(delimiter))}",
            expected="the same number of fields in every line, in UTF-8",
            found=str(error)[:200],
            remedy="mend the line it names, or set delimiter",
        ) from error
    names = [name.strip().lstrip("#") for name in table.column_names] if header else _numbers(table)
    _require_unique(path, names)
    return Columns(names, table, lambda row: f"line {_line_of_row(path, row, header):,} of {path}")


def read_parquet(path: Path) -> Columns:
    """Read a parquet file.

    Raises:
        FileFormatError: it is not one, or it is damaged.
    """
    require_file(path)
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise FileFormatError(f"{path} is not a whole parquet file", found=str(error)[:200]) from error
    return Columns(table.column_names, table, lambda row: f"row {row:,} of {path}")


def _delimiter_of(path: Path, first: str, given: str | None) -> str:
    found = next((sign for sign in _DELIMITERS if sign in first), None)
    wanted = given if given is not None else found
    if wanted is not None and wanted in first:
        return wanted
    known = repr(given) if given is not None else "one of " + ", ".join(_DELIMITERS.values())
    raise FileFormatError(
        f"the first line of {path} has one column only",
        expected=f"columns separated by {known}",
        found=repr(first[:100]),
        remedy=f"it looks separated by {_DELIMITERS[found]}: set delimiter to {found!r}" if found else "is it a table?",
    )


def _as_text(first: str, delimiter: str, header: bool) -> dict[str, pa.DataType]:
    """Every column as text: a gene called NA or 1E5 stays what it is."""
    fields = next(text_csv.reader([first], delimiter=delimiter))
    names = fields if header else [f"f{place}" for place in range(len(fields))]
    return dict.fromkeys(names, pa.string())


def _numbers(table: pa.Table) -> list[str]:
    return [str(place) for place in range(table.num_columns)]


def _require_unique(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFormatError(f"{path} has several columns called {twice[0]!r}", remedy="rename all but one")


def _line_of_row(path: Path, row: int, header: bool) -> int:
    """Number of the line, from 1, that holds a row; blank lines hold none."""
    row += int(header)
    with open_bytes(path) as handle:
        for number, line in enumerate(handle, start=1):
            if line.strip(b"\r\n"):
                if row == 0:
                    return number
                row -= 1
    return row
