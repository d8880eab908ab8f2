"""Edges in NumPy and SciPy files: arrays loaded without pickle, names, adjacency matrices in memory-mapped blocks."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.lib import format as npy
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.files import require_file

_BLOCK_CELLS = 1 << 23
MAX_EDGES = 100_000_000


def open_array(path: Path, what: str) -> NDArray:
    """A ``.npy`` array, memory-mapped.

    Raises:
        FileFormatError: not a npy file, cut short, or Python objects (which would have to be unpickled, and unpickling
            a file runs whatever is in it), with how to convert it.
    """
    require_file(path)
    try:
        with open(path, "rb") as handle:
            version = npy.read_magic(handle)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(handle)
    except ValueError as error:
        raise FileFormatError(f"{path} is not a NumPy .npy file", found=str(error)[:200]) from error
    if dtype.hasobject:
        raise _object_error(path, what, shape)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise FileFormatError(
            f"{path} is cut short", expected=f"{what} of shape {shape}", found=str(error), remedy="copy it again"
        ) from error


def _object_error(path: Path, what: str, shape: tuple[int, ...]) -> FileFormatError:
    if shape == ():
        target = path.with_suffix(".npz").name
        code = f"scipy.sparse.save_npz({target!r}, numpy.load({path.name!r}, allow_pickle=True).item())"
    else:
        kind = "str" if what.startswith("names") else "float"
        code = f"numpy.save({path.name!r}, numpy.load({path.name!r}, allow_pickle=True).astype({kind}))"
    return FileFormatError(
        f"{path} holds Python objects, which are not loaded because loading would run code from the file",
        expected=f"{what} as a plain array",
        found=f"an object array of shape {shape}",
        remedy=f"if you trust the file, convert it once: {code}",
    )


def open_names(path: Path) -> NDArray:
    """(names,) from a ``.npy`` array of texts.

    Raises:
        FileFormatError: as in ``open_array``, or not a one-dimensional array of texts.
    """
    return as_names(np.asarray(open_array(path, "names")), str(path))


def as_names(array: NDArray, where: str) -> NDArray:
    """The array as texts, without surrounding white space.

    Raises:
        FileFormatError: not a one-dimensional array of texts, or not UTF-8.
    """
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise FileFormatError(
            f"{where} does not hold names",
            expected="a one-dimensional array of texts",
            found=f"{array.ndim} dimensions of {array.dtype}",
        )
    try:
        texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{where} has names that are not UTF-8 text", found=str(error)) from error
    return np.char.strip(texts)


def read_npz(path: Path) -> dict[str, NDArray]:
    """Every array of an ``.npz`` file.

    Raises:
        FileFormatError: not an npz file, damaged, or an array of Python objects.
    """
    require_file(path)
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path} is not an .npz file, or it is cut short", remedy="write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
        objects = "allow_pickle" in str(error)
        raise FileFormatError(
            f"{path} cannot be loaded" + (", because an array holds Python objects" if objects else ""),
            found=str(error)[:200],
            remedy="store plain arrays; names as numpy.array(names, dtype=str)" if objects else "write it again",
        ) from error


def is_sparse(arrays: dict[str, NDArray]) -> bool:
    """Whether these are the arrays of ``scipy.sparse.save_npz``."""
    return {"format", "shape", "data"} <= arrays.keys()


def sparse_of(arrays: dict[str, NDArray], where: str) -> sp.coo_array:
    """The sparse matrix that ``scipy.sparse.save_npz`` wrote.

    Raises:
        FileFormatError: an unknown layout, or arrays that do not fit together.
    """
    try:
        shape = tuple(int(size) for size in arrays["shape"])
        layout = arrays["format"].item()
        layout = layout.decode() if isinstance(layout, bytes) else str(layout)
        if layout in ("csr", "csc", "bsr"):
            kind: Any = getattr(sp, f"{layout}_array")
            matrix = kind((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            matrix.check_format(full_check=True)
            return matrix.tocoo()
        if layout == "coo":
            return sp.coo_array((arrays["data"], (arrays["row"], arrays["col"])), shape=shape)
        if layout == "dia":
            return sp.dia_array((arrays["data"], arrays["offsets"]), shape=shape).tocoo()
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise FileFormatError(f"{where} is not a whole sparse matrix", found=str(error)[:200]) from error
    raise FileFormatError(f"{where} has the unknown sparse layout {layout!r}", expected="csr, csc, bsr, coo or dia")


def require_shape(matrix: NDArray | sp.coo_array, shape: tuple[int, int], where: str) -> None:
    """Refuse a matrix that does not have one row and one column per name.

    Raises:
        FileFormatError: with both shapes.
    """
    if matrix.shape != shape:
        raise FileFormatError(
            f"{where} does not fit the names of its nodes",
            expected=f"a matrix of {shape[0]} x {shape[1]}",
            found=f"shape {matrix.shape}",
            remedy="names and matrix must be of one graph",
        )


def entries(matrix: NDArray | sp.coo_array, threshold: float, where: str) -> tuple[NDArray, NDArray, NDArray]:
    """Row, column and value of every non-zero entry at or above the threshold.

    Args:
        matrix: (rows, columns); a dense one is read in blocks of rows, so that it may be a memory map.
        threshold: smallest value kept; 0 keeps every entry but zeros.
        where: what it is, for errors.

    Raises:
        FileFormatError: not a matrix of numbers, or NaN, infinite or negative entries, with the first one.
        ConfigError: more than 100 million entries are left.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise FileFormatError(
            f"{where} is not an adjacency matrix",
            expected="two dimensions of numbers",
            found=f"shape {matrix.shape} of {matrix.dtype}",
        )
    blocks = _dense_blocks(matrix) if isinstance(matrix, np.ndarray) else _sparse_block(matrix)
    kept, count = [], 0
    for rows, columns, values in blocks:
        _require_weights(rows, columns, values, where)
        keep = (values >= threshold) & (values > 0)
        kept.append((rows[keep].astype(np.int64), columns[keep].astype(np.int64), values[keep].astype(np.float32)))
        count += len(kept[-1][0])
        if count > MAX_EDGES:
            raise ConfigError(
                f"{where} has more than {MAX_EDGES:,} entries >= {threshold:g}",
                remedy="raise threshold; as it is, the matrix is dense and no graph",
            )
    parts = zip(*kept, strict=True) if kept else ([np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)])
    row, column, value = (np.concatenate(part) for part in parts)
    return row, column, value


def _sparse_block(matrix: sp.coo_array) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    matrix.sum_duplicates()
    yield matrix.coords[0], matrix.coords[1], matrix.data


def _dense_blocks(matrix: NDArray) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    step = max(1, _BLOCK_CELLS // max(matrix.shape[1], 1))
    for start in range(0, matrix.shape[0], step):
        block = np.asarray(matrix[start : start + step])
        rows, columns = np.nonzero(block)
        yield rows + start, columns, block[rows, columns]


def _require_weights(rows: NDArray, columns: NDArray, values: NDArray, where: str) -> None:
    if values.dtype.kind not in "fi":
        return
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        place = int(bad.argmax())
        raise FileFormatError(
            f"{where} has the entry {values[place]} at row {rows[place]}, column {columns[place]}",
            expected="finite weights >= 0",
            found=f"{int(bad.sum())} such entries in this part",
            remedy="set them to zero, or mend them",
        )
