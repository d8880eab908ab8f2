"""Columns of edges, wherever they come from, to an edge table: which column is which, and what may stand in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, FileFormatError, did_you_mean
from gnnvcell.graphs.edges import EdgeTable, EType
from gnnvcell.graphs.filters import merge_pairs

AUTO, NONE = "auto", "none"

_PAIRS = (
    ("gene_a", "gene_b"),
    ("gene1", "gene2"),
    ("source", "target"),
    ("src", "dst"),
    ("regulator", "target"),
    ("tf", "target"),
    ("node1", "node2"),
    ("node_a", "node_b"),
    ("protein1", "protein2"),
    ("from", "to"),
)
_WEIGHTS = ("weight", "score", "combined_score", "confidence", "importance")
_SIGNS = ("sign",)
_POSITIVE = {"1", "+1", "+", "1.0", "activation", "activates", "positive", "up"}
_NEGATIVE = {"-1", "-", "-1.0", "inhibition", "inhibits", "repression", "represses", "negative", "down"}
_UNKNOWN = {"0", "0.0", "", "nan", "unknown"}


@dataclass(frozen=True)
class EdgeColumns:
    """Names of the columns; ``weight`` and ``sign`` are None where there is none."""

    src: str
    dst: str
    weight: str | None
    sign: str | None

    def describe(self) -> str:
        """Short text for the manifest."""
        return f"columns {self.src} -> {self.dst}, weight {self.weight or '1'}, sign {self.sign or 'none'}"


def choose_columns(
    columns: Sequence[str], *, src: str | None, dst: str | None, weight: str, sign: str, where: str
) -> EdgeColumns:
    """Which column is which.

    Args:
        columns: the columns that are there.
        src, dst: names the user gave, or None to look for a well-known pair (gene_a/gene_b, source/target, ...).
        weight, sign: a name, "auto" to look for a well-known one, or "none".
        where: what has the columns, for errors.

    Raises:
        FileFormatError: a column is not there, or none can be recognised; the columns are listed.
        ConfigError: only one of ``src`` and ``dst`` is given, or both are the same.
    """
    if (src is None) != (dst is None):
        raise ConfigError(f"{where}: src and dst belong together", found=f"src = {src!r}, dst = {dst!r}")
    if src is not None and src == dst:
        raise ConfigError(f"{where}: src and dst are the same column {src!r}", remedy="name two columns")
    if src is None or dst is None:
        src, dst = _known_pair(columns, where)
    _require(columns, (src, dst), where)
    return EdgeColumns(src, dst, _optional(columns, weight, _WEIGHTS, where), _optional(columns, sign, _SIGNS, where))


def _known_pair(columns: Sequence[str], where: str) -> tuple[str, str]:
    by_name = {name.strip().lower(): name for name in columns}
    for first, second in _PAIRS:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    raise FileFormatError(
        f"{where}: cannot tell which columns hold the two ends of an edge",
        expected="columns such as " + ", ".join(f"{a}/{b}" for a, b in _PAIRS[:4]),
        found=f"the columns {', '.join(map(repr, columns))}",
        remedy="set src and dst to the names of the two columns (or to 0 and 1 where the file has no header line)",
    )


def _require(columns: Sequence[str], names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in columns:
            raise FileFormatError(
                f"{where} has no column {name!r}",
                found=f"the columns {', '.join(map(repr, columns))}",
                remedy=did_you_mean(name, columns),
            )


def _optional(columns: Sequence[str], name: str, known: Sequence[str], where: str) -> str | None:
    if name == NONE:
        return None
    if name != AUTO:
        _require(columns, (name,), where)
        return name
    by_name = {column.strip().lower(): column for column in columns}
    return next((by_name[candidate] for candidate in known if candidate in by_name), None)


@dataclass(frozen=True)
class RawEdges:
    """Edges as they were read, one per row.

    Args:
        src, dst: (rows,) names.
        weight: (rows,) texts or numbers, or None for 1.
        sign: (rows,) texts or numbers, or None for no signs. The same object as ``weight`` where one column gives both:
            the sign is then the weight's sign and the weight its magnitude.
        row_name: from a row's number to words for errors ("line 7 of edges.csv").
    """

    src: NDArray
    dst: NDArray
    weight: NDArray | None
    sign: NDArray | None
    row_name: Callable[[int], str]


def make_table(etype: EType, directed: bool, raw: RawEdges) -> tuple[EdgeTable, list[str]]:
    """An edge table with every pair once, and notes on what was dropped or merged.

    Raises:
        FileFormatError: a missing name, a weight that is no number, NaN, infinite or negative, or an unknown sign.
    """
    weight, sign = _weights_and_signs(raw)
    src, dst = (_names(values, raw.row_name) for values in (raw.src, raw.dst))
    if etype[0] == etype[2]:
        codes, names = _encode(np.concatenate([src, dst]))
        (src_codes, dst_codes), src_names, dst_names = np.split(codes, 2), names, names
    else:
        (src_codes, src_names), (dst_codes, dst_names) = _encode(src), _encode(dst)
    table = EdgeTable(etype, src_codes, dst_codes, weight, src_names, dst_names, sign, directed)
    return tidy(table)


def _encode(texts: NDArray) -> tuple[NDArray[np.int64], NDArray]:
    codes, names = pd.factorize(texts)
    return codes.astype(np.int64), np.asarray(names, dtype=np.str_)


def tidy(table: EdgeTable) -> tuple[EdgeTable, list[str]]:
    """The table without self edges and edges of weight 0, each pair once (largest weight); notes that count them."""
    notes = []
    if (table.weight == 0).any():
        notes.append(f"{int((table.weight == 0).sum()):,} edges have weight 0; dropped")
        table = table.take(table.weight > 0)
    if table.etype[0] == table.etype[2]:
        other = table.src != table.dst
        if not other.all():
            notes.append(f"{int((~other).sum()):,} edges join a node with itself; dropped")
            table = table.take(other)
    merged = merge_pairs(table)
    if len(merged) < len(table):
        notes.append(f"{len(table) - len(merged):,} edges repeat a pair; the largest weight kept")
    return merged, notes


def _names(values: NDArray, row_name: Callable[[int], str]) -> NDArray[np.object_]:
    texts = pd.Series(values, dtype=object)
    missing = texts.isna()
    texts = texts.astype(str).str.strip()
    missing |= texts == ""
    if missing.any():
        row = int(missing.to_numpy().argmax())
        raise FileFormatError(
            f"{row_name(row)} has no name at one end of the edge",
            found=f"{int(missing.sum())} such edges",
            remedy="drop these edges, or give the names",
        )
    return texts.to_numpy(dtype=object)


def _weights_and_signs(raw: RawEdges) -> tuple[NDArray[np.float32], NDArray[np.int8] | None]:
    weight = np.ones(len(raw.src), np.float32) if raw.weight is None else _numbers(raw.weight, raw.row_name)
    if raw.sign is None:
        sign = None
    elif raw.sign is raw.weight:
        sign, weight = np.sign(weight).astype(np.int8), np.abs(weight)
    else:
        sign = _signs(raw.sign, raw.row_name)
    if (weight < 0).any():
        row = int((weight < 0).argmax())
        raise FileFormatError(
            f"{raw.row_name(row)} has the negative weight {weight[row]:g}",
            expected="weights >= 0",
            found=f"{int((weight < 0).sum())} negative weights",
            remedy="drop or mend them; if they are signed effects, set sign to the same column as weight",
        )
    return weight, sign


def _numbers(values: NDArray, row_name: Callable[[int], str]) -> NDArray[np.float32]:
    numbers = np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        raise FileFormatError(
            f"{row_name(row)} has the weight {_plain(values[row])!r}, which is not a finite number",
            found=f"{int(bad.sum())} such weights",
            remedy="drop or mend these edges, or set weight to another column",
        )
    return numbers.astype(np.float32)


def _signs(values: NDArray, row_name: Callable[[int], str]) -> NDArray[np.int8]:
    codes, found = pd.factorize(pd.Series(values, dtype=object).map(_plain).astype(str).str.strip().str.lower())
    signs = np.zeros(len(found), np.int8)
    for place, text in enumerate(found):
        if text not in _POSITIVE | _NEGATIVE | _UNKNOWN:
            row = int((codes == place).argmax())
            raise FileFormatError(
                f"{row_name(row)} has the sign {_plain(values[row])!r}, which is not known",
                expected="1 or +, -1 or -, 0 or nothing; also activation, inhibition and the like",
                remedy="mend it, or set sign to another column",
            )
        signs[place] = (text in _POSITIVE) - (text in _NEGATIVE)
    return signs[codes]


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's own, None as an empty text."""
    return "" if value is None else value.item() if isinstance(value, np.generic) else value
