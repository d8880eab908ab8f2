"""Tab-separated annotation files of fixed columns: their header lines, and their columns as strings."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_bytes, open_text

# A pandas.DataFrame of strings. Its own type hints are unions that a checker cannot follow, hence no narrower name.
Rows = Any

_ROWS = 1_000_000
_COMMENTS = ("!", "#")


def read_head(path: Path, comment: str) -> tuple[list[str], list[str]]:
    """The comment lines at the top of a file, and the fields of its first data line.

    Raises:
        FileFormatError: the file cannot be read, or has no data line.
    """
    header: list[str] = []
    with open_text(path) as handle:
        for line in handle:
            text = line.rstrip("\r\n")
            if text.startswith(comment):
                header.append(text)
            elif text.strip():
                return header, text.split("\t")
            else:
                header.append(text)
    raise FileFormatError(f"{path} has no data, only {len(header)} header lines", remedy="download it again")


def read_columns(
    path: Path, columns: Mapping[str, int], *, skip: int, width: int, required: Sequence[str], what: str
) -> Iterator[Rows]:
    """The wanted columns in pieces, as strings; comment lines (``!``, ``#``) between the data are left out.

    Args:
        path: plain or gzipped file.
        columns: name to position, counted from 0; the first one is never a comment.
        skip: lines before the first data line.
        width: number of fields of the first data line; fields that a line lacks at its end are empty.
        required: columns that may not be empty.
        what: what the file should be, for errors.

    Raises:
        FileFormatError: an empty required field, no UTF-8, or a damaged gzip file.
    """
    before = skip
    try:
        with open_bytes(path) as handle:
            pieces = pd.read_csv(
                handle,  # type: ignore[arg-type]
                sep="\t",
                names=list(range(width)),
                usecols=sorted({0, *(place for place in columns.values() if place < width)}),  # type: ignore[arg-type]
                index_col=False,
                skiprows=skip,
                dtype=str,
                quoting=3,
                keep_default_na=False,
                na_values=[],
                chunksize=_ROWS,
                engine="c",
            )
            for read in pieces:
                piece = read.reindex(columns=sorted({0, *columns.values()}), fill_value="")
                _refuse_empty(path, piece, columns, required, before, what)
                before += len(piece)
                rows = piece[~piece[0].str.startswith(_COMMENTS)]
                yield rows[list(columns.values())].set_axis(list(columns), axis=1)
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path} is not UTF-8 text", found=str(error), remedy="is it another kind of file?"
        ) from None
    except pd.errors.ParserError as error:
        raise FileFormatError(f"{path} is not {what}", found=str(error), remedy="download it again") from error


def read_table(
    path: Path, columns: Mapping[str, int], *, skip: int, width: int, required: Sequence[str], what: str
) -> Rows:
    """``read_columns`` in one piece.

    Raises:
        FileFormatError: as there, or no data line.
    """
    pieces = list(read_columns(path, columns, skip=skip, width=width, required=required, what=what))
    rows = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame()
    if rows.empty:
        raise FileFormatError(f"{path} has no data lines", expected=what, remedy="download it again")
    return rows


def _refuse_empty(
    path: Path, piece: Rows, columns: Mapping[str, int], required: Sequence[str], before: int, what: str
) -> None:
    data = ~piece[0].str.startswith(_COMMENTS)
    for name in required:
        empty = ((piece[columns[name]] == "") & data).to_numpy()
        if empty.any():
            raise FileFormatError(
                f"line {before + int(empty.argmax()) + 1} of {path} has no {name} (field {columns[name] + 1})",
                expected=what,
                found=f"{int(empty.sum())} such lines",
                remedy="the file may have been cut, or its fields shifted; download it again",
            )


def require_fields(path: Path, first: list[str], fields: tuple[int, int], what: str) -> None:
    """Refuse a file whose first data line has another number of tab-separated fields.

    Raises:
        FileFormatError: with the delimiter that it seems to have instead.
    """
    if fields[0] <= len(first) <= fields[1]:
        return
    text = "\t".join(first)
    other = next(
        (name for sign, name in ((",", "commas"), (";", "semicolons")) if text.count(sign) >= fields[0] - 1), ""
    )
    raise FileFormatError(
        f"{path} is not {what}",
        expected=_fields_text(fields),
        found=f"{len(first)} in its first line, {text[:80]!r}" + (f" (separated by {other}?)" if other else ""),
        remedy="give the file in its official, tab-separated form",
    )


def _fields_text(fields: tuple[int, int]) -> str:
    least, most = fields
    return f"{least} to {most} tab-separated fields" if least < most else f"{least} tab-separated fields"
