"""Opening h5ad and zarr files of cells: annotations in memory, the matrix there or on disk. Nothing is unpickled."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from gnnvcell.data.matrix import CellMatrix, DiskMatrix, MemoryMatrix
from gnnvcell.errors import DataError, FileFormatError, MissingFileError, did_you_mean
from gnnvcell.files import require_file

# A matrix that takes less than this in memory (4 bytes a value, 4 an index) is read whole.
SMALL = 2 << 30
_AGAIN = "download or write it again"


@dataclass(frozen=True, eq=False)
class CellFile:
    """What is in a file of cells.

    Args:
        obs: annotations of cells.
        var: annotations of genes.
        matrix: the values.
        path: the file.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    matrix: CellMatrix
    path: Path


def open_store(path: str | Path) -> tuple[Any, Path]:
    """The root group of an .h5ad file or a .zarr folder, open for reading.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: an unknown extension, or a file that is damaged, cut off or of another format.
    """
    path = Path(path)
    if path.suffix == ".zarr" or path.name.endswith(".zarr.zip"):
        return _open_zarr(path), path
    if path.suffix not in (".h5ad", ".h5"):
        raise FileFormatError(f"{path} is not a file of cells", expected=".h5ad, .h5 or .zarr", found=path.suffix)
    require_file(path)
    try:
        return h5py.File(path, "r"), path
    except OSError as error:
        raise FileFormatError(
            f"{path} is not an h5ad file, or was cut off", found=str(error), remedy=_AGAIN
        ) from error


def open_cells(path: str | Path, *, layer: str | None = None, in_memory: bool | None = None) -> CellFile:
    """Open a file of cells.

    Args:
        path: .h5ad or .zarr.
        layer: the layer to read; X when left out.
        in_memory: whether the matrix is read whole; when left out, where it takes less than 2 GiB.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: damaged, cut off, without obs, var or values, or values that cannot be read by cell.
        DataError: there is no such layer.
    """
    store, path = open_store(path)
    try:
        for part in ("obs", "var"):
            if part not in store:
                raise FileFormatError(f"{path} has no {part}", expected="an AnnData file", found=", ".join(store))
        obs, var = (_frame(store, part, path) for part in ("obs", "var"))
        element = _values(store, layer, path)
        whole = _is_small(element) if in_memory is None else in_memory
        matrix = MemoryMatrix(ad.io.read_elem(element)) if whole else DiskMatrix(element)
    except (OSError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is damaged or was cut off", found=str(error), remedy=_AGAIN) from error
    if whole and isinstance(store, h5py.File):
        store.close()
    if matrix.shape != (len(obs), len(var)):
        raise FileFormatError(
            f"{path} contradicts itself",
            expected=f"values of {len(obs):,} cells x {len(var):,} genes",
            found=f"{matrix.shape[0]:,} x {matrix.shape[1]:,}",
            remedy=_AGAIN,
        )
    return CellFile(obs, var, matrix, path)


def _open_zarr(path: Path) -> Any:
    import zarr

    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, beside) if beside else f"the folder {path.parent} is empty or does not exist"
        raise MissingFileError(f"no file {path}", remedy=hint)
    try:
        return zarr.open_group(str(path), mode="r")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is not a zarr group", found=str(error), remedy=_AGAIN) from error


def _frame(store: Any, part: str, path: Path) -> pd.DataFrame:
    frame = ad.io.read_elem(store[part])
    if not isinstance(frame, pd.DataFrame):
        raise FileFormatError(f"{part} of {path} is no table", found=type(frame).__name__, remedy=_AGAIN)
    return frame


def _values(store: Any, layer: str | None, path: Path) -> Any:
    if layer is not None:
        layers = list(store["layers"]) if "layers" in store else []
        if layer not in layers:
            raise DataError(f"{path} has no layer {layer!r}", remedy=did_you_mean(layer, layers))
        return store["layers"][layer]
    if "X" not in store:
        raise FileFormatError(f"{path} has no values X", found=", ".join(store), remedy="name a layer")
    return store["X"]


def _is_small(element: Any) -> bool:
    if hasattr(element, "shape"):  # a dense array
        return 4 * int(np.prod(element.shape, dtype=np.int64)) < SMALL
    return 8 * int(element["data"].shape[0]) < SMALL
