"""Reading feature tables from the files that embeddings are shared in; nothing is unpickled."""

import csv
import json
import pickle
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import torch
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, FileFormatError, did_you_mean
from gnnvcell.features.feature_table import FeatureTable, some, table_of_file
from gnnvcell.files import open_bytes, open_text, require_file, sha256_of

Index = str | Path | Mapping[str, int]
Content = tuple[NDArray, NDArray, str]  # names (n,), values (n, width), a note for the source

_CSV_BLOCK = 4 << 20  # bytes; a line must fit into a block
_COLUMNS = 256  # of parquet, read at a time
_AGAIN = "download or write it again"
_SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}


def read_features(path: str | Path, *, index: Index | None = None, key_column: str | None = None) -> FeatureTable:
    """Read a table of features of any width; the format is that of the extension.

    - ``.pt``: a dict of name to 1-D tensor; or one tensor (rows, width), with ``index``. Loaded with
      ``weights_only=True`` always.
    - ``.npz``: arrays ``names`` (n,) of a text type and ``values`` (n, width).
    - ``.parquet``, ``.csv``, ``.tsv`` (the last two also ``.gz``, with a header line): names in the first column, or in
      the index of the data frame that was written to parquet, or in ``key_column``; all other columns are numbers.
    - ``.h5``, ``.hdf5``: datasets ``names`` and ``values``, or one 1-D dataset for each name.

    Args:
        path: the file.
        index: for a tensor: which row a name has, as a dict or a file: ``.json`` (an object of name to row), or
            ``.tsv`` or ``.csv`` (two columns, name and row, with or without a header). Rows count from 0. Rows without
            a name are left out, and counted in the table's source.
        key_column: the column of the names, for parquet, csv and tsv.

    Raises:
        FileFormatError: missing, empty, damaged or cut-off file; unknown extension; Python objects; rows of unequal
            width; columns that are not numbers; NaN, infinite or missing values; names that repeat or are empty.
        ConfigError: ``index`` or ``key_column`` for a format that has no use for it, or no such column.
    """
    extension = _extension(Path(path))
    if index is not None and extension != ".pt":
        raise ConfigError(f"index= is for a tensor in a .pt file, not for {path}", remedy="leave it out")
    if key_column is not None and extension != ".parquet" and extension not in _SEPARATORS:
        raise ConfigError(f"key_column= is for parquet, csv and tsv, not for {path}", remedy="leave it out")
    path = require_file(path)
    if extension == ".npz":
        return replace(FeatureTable.load(path), source=str(path), sha256=sha256_of(path))
    if extension == ".pt":
        names, values, note = _read_torch(path, index)
    elif extension in (".h5", ".hdf5"):
        names, values, note = _read_hdf5(path)
    elif extension == ".parquet":
        names, values, note = _read_parquet(path, key_column)
    else:
        names, values, note = _read_separated(path, _SEPARATORS[extension], key_column)
    return table_of_file(path, names, values, source=f"{path}{note}", sha256=sha256_of(path))


def _extension(path: Path) -> str:
    known = (".pt", ".npz", ".parquet", *_SEPARATORS, ".h5", ".hdf5")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    found = "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
    if found in known:
        return found
    raise FileFormatError(
        f"{path} has the unknown extension {found!r}", expected=" ".join(known), remedy=did_you_mean(found, known)
    )


def _stack(path: Path, names: list[str], shape: Callable[[str], tuple], row: Callable[[str], Any]) -> NDArray:
    """(n, width) float32 of one row for each name, filled row by row."""
    shapes = {name: tuple(shape(name)) for name in names}
    if not names:
        raise FileFormatError(f"{path} has no features in it", expected="at least one name with its row")
    odd = [name for name, size in shapes.items() if len(size) != 1]
    if odd:
        raise FileFormatError(
            f"{path}: the features of {len(odd):,} names are not rows of numbers",
            expected="one dimension",
            found=some([f"{name} of shape {shapes[name]}" for name in odd]),
        )
    width = Counter(shapes.values()).most_common(1)[0][0]
    odd = [name for name, size in shapes.items() if size != width]
    if odd:
        raise FileFormatError(
            f"{path}: rows have different widths",
            expected=f"{width[0]}, as most have",
            found=some([f"{name} has {shapes[name][0]}" for name in odd]),
            remedy="leave these rows out, or make them anew with the same model",
        )
    values = np.empty((len(names), *width), dtype=np.float32)
    with np.errstate(over="ignore"):
        for position, name in enumerate(names):
            values[position] = row(name)
    return values


def _read_torch(path: Path, index: Index | None) -> Content:
    loaded = _load_tensors(path)
    if isinstance(loaded, torch.Tensor):
        return _indexed(path, loaded, index)
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise FileFormatError(
            f"{path} holds a {type(loaded).__name__}", expected="a dict of name to tensor, or a tensor"
        )
    if index is not None:
        raise ConfigError(f"index= is for one tensor, and {path} holds a dict with names", remedy="leave it out")
    other = [name for name, value in loaded.items() if not _is_real(value)]
    if other:
        raise FileFormatError(
            f"{path}: the features of {len(other):,} names are no tensors of real numbers",
            found=some([f"{name}: {type(loaded[name]).__name__}" for name in other]),
            remedy="save a dict of gene symbol to 1-D tensor",
        )
    names = list(loaded)
    values = _stack(path, names, lambda name: loaded[name].shape, lambda name: _array(loaded[name]))
    return np.array(names, dtype=str), values, ""


def _is_real(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_complex()


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().to(torch.float32).numpy()


def _load_tensors(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FileFormatError(
            f"{path} holds Python objects, which are never unpickled, or is damaged",
            expected="tensors alone: a dict of name to tensor, or a tensor",
            found=str(error).splitlines()[0],
            remedy="where the file was made, run torch.save({symbol: tensor, ...}, path) with plain tensors",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise FileFormatError(
            f"{path} is no torch file, or is damaged or cut off", found=found, remedy=_AGAIN
        ) from error


def _indexed(path: Path, tensor: torch.Tensor, index: Index | None) -> Content:
    if index is None:
        raise FileFormatError(
            f"{path} holds a tensor of shape {tuple(tensor.shape)} without names",
            remedy="give index=, a json, tsv or csv file of name to row",
        )
    if tensor.dim() != 2 or not _is_real(tensor):
        raise FileFormatError(
            f"{path}: the tensor is no table of features",
            expected="real numbers, (rows, width)",
            found=f"{tensor.dtype} of shape {tuple(tensor.shape)}",
        )
    label = "a dict" if isinstance(index, Mapping) else str(index)
    rows = dict(index) if isinstance(index, Mapping) else _read_index(require_file(index))
    wrong = [name for name, row in rows.items() if not _is_whole(row) or not 0 <= row < len(tensor)]
    if wrong or not rows:
        raise FileFormatError(
            f"{label}: {len(wrong):,} of {len(rows):,} names have no row in {path}",
            expected=f"a row from 0 to {len(tensor) - 1} for each name",
            found=some([f"{name}: {rows[name]!r}" for name in wrong]),
            remedy="is it the index of another file?",
        )
    unnamed = len(tensor) - len(set(rows.values()))
    note = f", named by {label}" + (f" ({unnamed:,} rows without a name left out)" if unnamed else "")
    order = list(rows.values())
    chosen = tensor if order == list(range(len(tensor))) else tensor[torch.tensor(order)]
    return np.array(list(rows), dtype=str), _array(chosen), note


def _is_whole(row: object) -> bool:
    return isinstance(row, int | np.integer) and not isinstance(row, bool)


def _read_index(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        with open_text(path) as handle:
            try:
                pairs = json.load(handle, object_pairs_hook=list)
            except json.JSONDecodeError as error:
                raise FileFormatError(f"{path} is not JSON, or was cut off", found=str(error), remedy=_AGAIN) from error
    elif _extension(path) in _SEPARATORS:
        pairs = _read_pairs(path, _SEPARATORS[_extension(path)])
    else:
        raise FileFormatError(f"{path} cannot be an index", expected="a .json, .tsv or .csv file of name to row")
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise FileFormatError(f"{path} is not a map of name to row", expected='{"TP53": 0, "MYC": 1}')
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise FileFormatError(
            f"{path}: {len(repeated):,} names repeat", expected="each name once", found=some(repeated)
        )
    return dict(pairs)


def _read_pairs(path: Path, separator: str) -> list[tuple[str, Any]]:
    with open_text(path) as handle:
        lines = [line for line in csv.reader(handle, delimiter=separator) if line]
    odd = next((line for line in lines if len(line) != 2), None)
    if odd is not None:
        raise FileFormatError(f"{path} is not a map of name to row", expected="two columns", found=str(odd)[:60])
    header = 0 if lines[0][1].strip().isdigit() else 1
    return [(name.strip(), int(row) if row.strip().isdigit() else row) for name, row in lines[header:]]


def _read_parquet(path: Path, key_column: str | None) -> Content:
    with _arrow_errors(path, []), pa_parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
        key = _key(path, schema.names, key_column or (index[0] if len(index) == 1 else None))
        _check_columns(path, schema.names, [field.name for field in schema if not _is_number(field.type)], key)
        names = _names(file.read(columns=[schema.names[key]]).column(0))
        others = [name for at, name in enumerate(schema.names) if at != key]
        values = np.empty((len(names), len(others)), dtype=np.float32)
        for start in range(0, len(others), _COLUMNS):
            _fill(values[:, start : start + _COLUMNS], file.read(columns=others[start : start + _COLUMNS]).columns)
    return np.array(names, dtype=str), values, ""


def _names(column: pa.Array | pa.ChunkedArray) -> list[str]:
    return [(name or "").strip() for name in column.cast(pa.string()).to_pylist()]


def _fill(values: NDArray, columns: list[Any]) -> None:
    with np.errstate(over="ignore"):
        for at, column in enumerate(columns):
            values[:, at] = column.to_numpy(zero_copy_only=False)  # nulls become NaN, which is refused


def _check_columns(path: Path, columns: list[str], not_numbers: list[str], key: int) -> None:
    wrong = [name for name in not_numbers if name != columns[key]]
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise FileFormatError(f"{path}: {len(repeated):,} columns have the same name", found=some(repeated))
    if wrong or len(columns) < 2:
        raise FileFormatError(
            f"{path}: {len(wrong):,} columns are not numbers" if wrong else f"{path} has names, but no other column",
            expected=f"names in {columns[key]!r}, numbers in all other columns",
            found=some(wrong),
            remedy="drop these columns, or name the one with the names: key_column=",
        )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _key(path: Path, columns: list[str], key_column: str | None) -> int:
    if key_column is None:
        return 0
    if columns.count(key_column) != 1:
        raise ConfigError(
            f"{path} has {columns.count(key_column) or 'no'} columns {key_column!r}",
            remedy=did_you_mean(key_column, set(columns)),
        )
    return columns.index(key_column)


def _read_separated(path: Path, separator: str, key_column: str | None) -> Content:
    with open_text(path) as handle:
        header = next(csv.reader(handle, delimiter=separator), [])
    header = [name.removeprefix("\ufeff") for name in header]
    if not header or _looks_like_numbers(header[1:]):
        raise FileFormatError(f"{path} has no header line", found=some(header), remedy="add a line with column names")
    key = _key(path, header, key_column)
    _check_columns(path, header, [], key)
    columns = [f"{at}" for at in range(len(header))]  # by position: names of columns may repeat
    types = dict.fromkeys(columns, pa.float32()) | {columns[key]: pa.string()}
    with _arrow_errors(path, header), open_bytes(path) as handle:
        batches = pa_csv.open_csv(
            handle,
            read_options=pa_csv.ReadOptions(column_names=columns, skip_rows=1, block_size=_CSV_BLOCK),
            parse_options=pa_csv.ParseOptions(delimiter=separator),
            convert_options=pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
        names, blocks = [], [np.empty((0, len(header) - 1), dtype=np.float32)]
        for batch in batches:
            names += _names(batch.column(key))
            blocks.append(np.empty((batch.num_rows, len(header) - 1), dtype=np.float32))
            _fill(blocks[-1], [column for at, column in enumerate(batch.columns) if at != key])
    return np.array(names, dtype=str), np.concatenate(blocks), ""


def _looks_like_numbers(cells: list[str]) -> bool:
    """Whether a header is a row of values: numbers all, and not the whole numbers, each once, that may name columns."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return bool(cells) and (len(set(numbers)) < len(numbers) or not all(cell.strip().isdigit() for cell in cells))


@contextmanager
def _arrow_errors(path: Path, header: list[str]):
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        found = str(error).splitlines()[0][:200]
        column = re.search(r"column #(\d+)", found)
        place = (
            f"column {header[int(column[1])]!r} is not numbers"
            if column
            else "it is damaged, cut off or another format"
        )
        raise FileFormatError(
            f"{path}: {place}",
            expected="a name and the same number of numbers in every line" if header else "a parquet file",
            found=found,
            remedy="mend these lines, or drop the column" if header else _AGAIN,
        ) from error


def _read_hdf5(path: Path) -> Content:
    try:
        with h5py.File(path, "r") as file:
            if "names" in file or "values" in file:
                return _read_pair(path, file)
            keys = list(file)
            other = [key for key in keys if not _is_dataset_of(file[key], "fiub")]
            if other:
                raise FileFormatError(
                    f"{path}: {len(other):,} entries are no datasets of numbers",
                    expected="datasets names and values, or one 1-D dataset for each name",
                    found=some(other),
                )
            return np.array(keys, dtype=str), _stack(path, keys, lambda k: file[k].shape, lambda k: file[k][()]), ""  # type: ignore[union-attr]
    except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path} is not HDF5, damaged or cut off", found=str(error), remedy=_AGAIN) from error


def _is_dataset_of(entry: object, kinds: str) -> bool:
    return isinstance(entry, h5py.Dataset) and entry.shape is not None and entry.dtype.kind in kinds


def _read_pair(path: Path, file: h5py.File) -> Content:
    names, values = file.get("names"), file.get("values")
    if not _is_dataset_of(names, "OSiu") or not _is_dataset_of(values, "fiub"):
        raise FileFormatError(
            f"{path} lacks the dataset names or values",
            expected="names (n,) of text and values (n, width) of numbers",
            found=some(list(file)),
        )
    texts = names[()] if names.dtype.kind in "iu" else names.asstr()[()]  # type: ignore[union-attr]
    numbers = np.empty(values.shape, dtype=np.float32)  # type: ignore[union-attr]
    if numbers.size:
        values.read_direct(numbers)  # type: ignore[union-attr]
    return np.asarray(texts), numbers, ""
