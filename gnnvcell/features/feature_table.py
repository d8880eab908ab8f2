"""FeatureTable: one vector of numbers for each name, and how it lines up with genes."""

import dataclasses
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError, FileFormatError, GnnvcellError
from gnnvcell.files import atomic_path, require_file
from gnnvcell.genes import KINDS, Alignment, GeneVocab

_BLOCK = 256  # columns standardised at a time, so that the float64 copy stays small
_NOT_ASKED = "not_asked_for"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(name or "(empty)" for name in names[:most]) + more


@dataclass(frozen=True, eq=False)
class FeatureReport:
    """What became of a table's rows, and what was asked for without a row.

    Args:
        source: where the features come from.
        asked: number of genes or names asked for.
        missing: those of them without a row, in their order.
        unmatched: reason ("unknown", "ambiguous", "wrong_species"; "not_asked_for" of plain names) to the table's names
            that were used for nothing.
        left_over: symbol of a gene to the table's names that mean it too, but were not used.
    """

    source: str
    asked: int
    missing: Sequence[str]
    unmatched: Mapping[str, Sequence[str]]
    left_over: Mapping[str, Sequence[str]]

    @property
    def present(self) -> int:
        """How many of what was asked for have a row."""
        return self.asked - len(self.missing)

    @property
    def coverage(self) -> float:
        """Share of what was asked for that has a row, in [0, 1]; NaN where nothing was asked for."""
        return self.present / self.asked if self.asked else float("nan")

    @property
    def counts(self) -> dict[str, int]:
        """Reason to number of the table's names that were not used; "same_gene" counts ``left_over``."""
        counts = {reason: len(names) for reason, names in self.unmatched.items()}
        if self.left_over:
            counts["same_gene"] = sum(map(len, self.left_over.values()))
        return counts

    def __str__(self) -> str:
        lines = [f"{self.source or 'features'}: {self.present:,} of {self.asked:,} have features"]
        if self.missing:
            lines.append(f"  without: {some(self.missing)}")
        for reason, names in self.unmatched.items():
            lines.append(f"  rows not used, {reason.replace('_', ' ')}: {len(names):,}: {some(names)}")
        if self.left_over:
            pairs = [f"{' and '.join(names)} ({symbol})" for symbol, names in self.left_over.items()]
            lines.append(f"  rows not used, another of the same gene was: {self.counts['same_gene']:,}: {some(pairs)}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """A vector of features for each name, such as a protein embedding of each gene. Its arrays are read-only.

    Args:
        names: (n,) unique names, none empty; kept as they are.
        values: (n, width) finite numbers, kept as float32 (no copy where they are float32). The unit is the source's.
        source: the file, or how the features were made.
        sha256: hex digest of the file the features were read from; empty where there is none.

    Raises:
        DataError: no rows, width 0, not 2-D, lengths that differ, names that repeat or are empty, values that are no
            real numbers, NaN, infinite, or too large for float32.

    Example:
        >>> table = FeatureTable(np.array(["TP53", "AARS"]), np.array([[1.0, 2.0], [3.0, 4.0]]), "made by hand")
        >>> values, present, report = table.for_genes(GeneVocab.from_symbols(["AARS1", "MYC"]))
        >>> values.tolist(), present.tolist(), report.counts
        ([[3.0, 4.0], [0.0, 0.0]], [True, False], {'unknown': 1})
    """

    names: NDArray
    values: NDArray
    source: str
    sha256: str = ""

    def __post_init__(self) -> None:
        names, values = _texts(self.names), _numbers(self.values)
        _check_shapes(names, values)
        _check_names(names)
        _check_finite(names, values)
        for field, array in (("names", names), ("values", values)):
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"FeatureTable({len(self):,} names x {self.width:,}, source={self.source!r})"

    @property
    def width(self) -> int:
        """Number of features of each name."""
        return self.values.shape[1]

    def for_genes(self, vocab: GeneVocab) -> tuple[NDArray[np.float32], NDArray[np.bool_], FeatureReport]:
        """The features of each gene of a vocabulary, found by any name that the vocabulary knows.

        Where several rows mean one gene, the one named by its symbol is used, failing that the one with the best kind
        of name (in the order of ``gnnvcell.genes.KINDS``), failing that the first.

        Returns:
            values (genes, width) float32, zero where missing; present (genes,) bool; and a report that counts the rows
            that were not used, with the reasons.

        Raises:
            DataError: not one row is a gene of the vocabulary.
        """
        alignment = vocab.align(self.names, source=self.source)
        used, unused = _one_row_per_gene(alignment)
        row = np.full(len(vocab), -1, dtype=np.int64)
        row[alignment.index[used]] = used
        left_over: dict[str, list[str]] = {}
        for position in unused.tolist():
            left_over.setdefault(str(alignment.symbols[position]), []).append(str(self.names[position]))
        missing = vocab.symbols[row < 0].tolist()
        return *self._take(row), FeatureReport(self.source, len(vocab), missing, alignment.unmatched, left_over)

    def for_names(self, names: Sequence[str] | NDArray) -> tuple[NDArray[np.float32], NDArray[np.bool_], FeatureReport]:
        """The features of plain names, such as compounds, matched letter by letter. Names asked for may repeat.

        Returns:
            values (names, width) float32, zero where missing; present (names,) bool; and a report.

        Raises:
            DataError: a single text instead of a list of names, or not one name has features.
        """
        if isinstance(names, str):
            raise DataError(f"{names!r} is one name, not a list", remedy=f"write [{names!r}]")
        asked = [str(name) for name in names]
        position = {name: at for at, name in enumerate(self.names.tolist())}
        row = np.array([position.get(name, -1) for name in asked], dtype=np.int64)
        missing = [name for name, at in zip(asked, row.tolist(), strict=True) if at < 0]
        wanted = set(asked)
        rest = [name for name in position if name not in wanted]
        return *self._take(row), FeatureReport(self.source, len(asked), missing, {_NOT_ASKED: rest} if rest else {}, {})

    def _take(self, row: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        present = row >= 0
        if len(row) and not present.any():
            raise DataError(
                f"none of the {len(row):,} names asked for has features in {self.source or 'the table'}",
                found=f"features of {some(self.names.tolist(), 3)}",
                remedy="check the species and the kind of names",
            )
        values = np.zeros((len(row), self.width), dtype=np.float32)
        values[present] = self.values[row[present]]
        return values, present

    def standardised(self) -> "FeatureTable":
        """The table with every column at mean 0 and (population) variance 1 over its rows; constant columns are 0.

        A missing gene's zeros in ``for_genes`` are then the mean of the table.
        """
        out = np.empty(self.values.shape, dtype=np.float32)
        for start in range(0, self.width, _BLOCK):
            block = self.values[:, start : start + _BLOCK].astype(np.float64)
            constant = block.max(axis=0) == block.min(axis=0)
            block -= block.mean(axis=0)
            block /= np.where(constant, 1.0, block.std(axis=0))
            out[:, start : start + _BLOCK] = np.where(constant, 0.0, block)
        return dataclasses.replace(self, values=out, source=f"{self.source}, standardised")

    def save(self, path: str | Path) -> Path:
        """Write names, values, source and digest as npz without pickles, whole or not at all.

        Raises:
            FileFormatError: the path does not end in .npz.
        """
        if Path(path).suffix != ".npz":
            raise FileFormatError(f"{path} does not end in .npz", remedy=f"save to {Path(path).with_suffix('.npz')}")
        with atomic_path(path) as temporary:
            np.savez(
                temporary,
                names=self.names,
                values=self.values,
                source=np.array(self.source),
                sha256=np.array(self.sha256),
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "FeatureTable":
        """Read what ``save`` wrote, or any npz with the arrays ``names`` (n,) and ``values`` (n, width).

        Raises:
            FileFormatError: missing, empty or damaged file, pickled objects, arrays missing, or unusable as features.
        """
        path = require_file(path)
        arrays = _read_npz(path)
        source, sha256 = (str(arrays[key]) if key in arrays else "" for key in ("source", "sha256"))
        return table_of_file(path, arrays["names"], arrays["values"], source=source or str(path), sha256=sha256)


def table_of_file(path: Path, names: NDArray, values: NDArray, *, source: str, sha256: str) -> FeatureTable:
    """A table of a file's content: (n,) names and (n, width) values.

    Raises:
        FileFormatError: what ``FeatureTable`` refuses, with the file's name.
    """
    try:
        return FeatureTable(names, values, source, sha256)
    except DataError as error:
        raise in_file(path, error) from error


def in_file(path: Path, error: GnnvcellError) -> FileFormatError:
    """The same error, said of a file."""
    return FileFormatError(f"{path}: {error.problem}", expected=error.expected, found=error.found, remedy=error.remedy)


def _read_npz(path: Path) -> dict[str, NDArray]:
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path} is not an npz archive, or was cut off", remedy="write or download it again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            lacking = [key for key in ("names", "values") if key not in archive.files]
            if lacking:
                raise FileFormatError(
                    f"{path} has no array {' and no '.join(lacking)}",
                    expected="arrays names (n,) and values (n, width)",
                    found=some(archive.files) or "no arrays",
                    remedy="write it with np.savez(path, names=..., values=...)",
                )
            return {key: archive[key] for key in ("names", "values", "source", "sha256") if key in archive.files}
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise FileFormatError(
            f"{path} is damaged or holds Python objects, which are never unpickled",
            expected="plain arrays: names of a str type, values of a number type",
            found=str(error),
            remedy="save names as np.array(names, dtype=str); if they are, download the file again",
        ) from error


def _texts(names: NDArray) -> NDArray:
    """Names as a str array: texts, UTF-8 bytes or integers (Entrez ids), but no missing values."""
    if names.dtype.kind == "O":
        bad = [name for name in names.ravel().tolist() if not isinstance(name, str)]
        if bad:
            raise DataError(f"{len(bad):,} names are not text", found=repr(bad[0]), remedy="drop rows without a name")
    elif names.dtype.kind == "S":
        try:
            return np.char.decode(names, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError("the names of a feature table are not UTF-8 text", found=str(error)) from error
    elif names.dtype.kind not in "Uiu":
        raise DataError("the names of a feature table are not text", found=f"type {names.dtype}")
    return names.astype(str, copy=False)


def _numbers(values: NDArray) -> NDArray[np.float32]:
    if values.dtype.kind not in "fiub":
        raise DataError("features are not real numbers", expected="float32", found=f"type {values.dtype}")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        return values.astype(np.float32, copy=False)


def _check_shapes(names: NDArray, values: NDArray) -> None:
    fits = names.ndim == 1 and values.ndim == 2 and len(names) == len(values)
    if not fits or 0 in values.shape:
        raise DataError(
            "names and values do not make a feature table",
            expected="names (n,) and values (n, width), both at least 1",
            found=f"names {names.shape} and values {values.shape}",
            remedy="give one row of numbers for each name",
        )


def _check_names(names: NDArray) -> None:
    listed = names.tolist()
    empty = [row for row, name in enumerate(listed) if not name.strip()]
    if empty:
        raise DataError(f"{len(empty):,} names are empty", found=f"row {empty[0]}", remedy="drop rows without a name")
    if len(set(listed)) != len(listed):
        repeated = [name for name, count in Counter(listed).items() if count > 1]
        raise DataError(
            f"{len(repeated):,} names repeat in a feature table",
            expected="each name once",
            found=some(repeated),
            remedy="keep one row of each name, or average them",
        )


def _check_finite(names: NDArray, values: NDArray[np.float32]) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise DataError(
            f"features of {int(bad.sum()):,} names are NaN, missing, infinite, or too large for float32",
            expected="finite numbers",
            found=some(names[bad].tolist()),
            remedy="leave these rows out; a name without a row counts as missing",
        )


def _one_row_per_gene(alignment: Alignment) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the names to use, one for each gene, and of the others that mean a gene as well."""
    matched = np.flatnonzero(alignment.index >= 0)
    rank = np.array([KINDS.index(reason) for reason in alignment.reasons[matched].tolist()], dtype=np.int64)
    other_spelling = alignment.names[matched] != alignment.symbols[matched]
    order = matched[np.lexsort((matched, other_spelling, rank, alignment.index[matched]))]
    first = np.diff(alignment.index[order], prepend=-1) != 0
    return order[first], np.sort(order[~first])
