"""AnnData files written a block of cells at a time: whole or not at all, with memory that does not grow with values."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError
from gnnvcell.files import atomic_folder, atomic_path

_CHUNK = {".h5ad": 1 << 16, ".zarr": 1 << 20}  # entries of a chunk of values
_CHUNK_BYTES = 1 << 20  # of dense rows


class CellWriter:
    """An open file of cells that takes blocks of rows; made by ``open_writer``.

    Kept in memory until the end: 8 bytes a cell and CSR matrix.
    """

    def __init__(self, store: Any, genes: int, *, chunk: int, compression: str | None) -> None:
        self._store, self._genes, self._chunk, self._compression = store, genes, chunk, compression
        self._indptr: dict[str, list[NDArray[np.int64]]] = {}
        self.cells = 0
        store.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for part in ("layers", "obsm", "varm", "obsp", "varp"):
            store.create_group(part).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})

    def append(
        self,
        values: Any,
        layers: Mapping[str, sp.csr_array] | None = None,
        obsm: Mapping[str, NDArray] | None = None,
    ) -> None:
        """Add cells.

        Args:
            values: (rows, genes) of X, CSR.
            layers: name to (rows, genes); the same names in every block.
            obsm: name to (rows, columns) float32, dense; the same names in every block.
        """
        for path, matrix in {"X": values, **{f"layers/{name}": m for name, m in (layers or {}).items()}}.items():
            self._append_csr(path, matrix)
        for name, dense in (obsm or {}).items():
            self._append_dense(f"obsm/{name}", np.asarray(dense, dtype=np.float32))
        self.cells += values.shape[0]

    def finish(self, obs: pd.DataFrame, var: pd.DataFrame, uns: Mapping[str, Any]) -> None:
        """Write what is known once all cells are there."""
        for path, parts in self._indptr.items():
            group = self._store[path]
            self._create(group, "indptr", np.concatenate(parts))
            group.attrs["shape"] = [self.cells, self._genes]
        ad.io.write_elem(self._store, "obs", obs)
        ad.io.write_elem(self._store, "var", var)
        ad.io.write_elem(self._store, "uns", dict(uns))

    def _append_csr(self, path: str, matrix: sp.csr_array) -> None:
        if path not in self._indptr:
            group = self._store.create_group(path)
            group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
            self._indptr[path] = [np.zeros(1, dtype=np.int64)]
            for name, dtype in (("data", np.float32), ("indices", np.int32)):
                self._create_growing(group, name, (self._chunk,), dtype)
        group = self._store[path]
        before = int(self._indptr[path][-1][-1])
        self._indptr[path].append(before + np.asarray(matrix.indptr[1:], dtype=np.int64))
        for name, part in (("data", matrix.data), ("indices", matrix.indices)):
            _extend(group[name], before, part)

    def _append_dense(self, path: str, rows: NDArray[np.float32]) -> None:
        if path not in self._store:
            chunk = max(1, _CHUNK_BYTES // (4 * max(1, rows.shape[1])))
            array = self._create_growing(self._store, path, (chunk, rows.shape[1]), np.float32)
            array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        _extend(self._store[path], self.cells, rows)

    def _create_growing(self, group: Any, name: str, chunks: tuple[int, ...], dtype: type) -> Any:
        """An array without rows that can get more."""
        shape = (0, *chunks[1:])
        if isinstance(group, h5py.Group):
            limit = (None, *chunks[1:])
            return group.create_dataset(
                name, shape=shape, maxshape=limit, chunks=chunks, dtype=dtype, compression=self._compression
            )
        return group.create_array(name, shape=shape, chunks=chunks, dtype=np.dtype(dtype))

    def _create(self, group: Any, name: str, values: NDArray) -> None:
        if isinstance(group, h5py.Group):
            group.create_dataset(name, data=values)
        else:
            group.create_array(name, data=values)


def _extend(array: Any, start: int, rows: NDArray) -> None:
    stop = start + len(rows)
    array.resize((stop, *array.shape[1:]))
    if len(rows):
        array[start:stop] = rows


@contextmanager
def open_writer(path: str | Path, genes: int, *, compression: str | None = None) -> Iterator[CellWriter]:
    """A writer of an .h5ad file or a .zarr folder, which appears when the block ends well.

    Args:
        path: where; what is there is replaced.
        genes: number of columns.
        compression: of h5ad, None or "gzip"; zarr uses its own.

    Raises:
        ConfigError: another extension.
        OSError: it cannot be written, for example because the disk is full; nothing is left then.
    """
    path = Path(path)
    if path.suffix not in _CHUNK:
        raise ConfigError(f"{path} cannot be written", expected="a name ending in .h5ad or .zarr", found=path.suffix)
    chunk = _CHUNK[path.suffix]
    try:
        with ExitStack() as stack:
            if path.suffix == ".zarr":
                import zarr

                folder = stack.enter_context(atomic_folder(path))
                group = zarr.open_group(str(folder), mode="w", zarr_format=2)
                yield CellWriter(group, genes, chunk=chunk, compression=None)
            else:
                temporary = stack.enter_context(atomic_path(path))
                store = stack.enter_context(h5py.File(temporary, "w"))
                yield CellWriter(store, genes, chunk=chunk, compression=compression)
    except RuntimeError as error:  # what h5py makes of a disk that is full when it closes
        raise OSError(f"{path} could not be written: {error}") from error

