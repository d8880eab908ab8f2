"""Matrices of cells by genes, in memory or on disk, read by rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import FileFormatError

# Rows nearer to each other than this are fetched from disk by one read: a seek costs more than the rows between.
_ROWS_WORTH_READING = 32


class CellMatrix(ABC):
    """Rows of expression, (cells, genes); what is taken is float32 CSR in memory.

    Args:
        shape: (cells, genes).
        dtype: type of the stored values.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)

    @abstractmethod
    def read(self, start: int, stop: int) -> sp.csr_array:
        """Rows ``start`` to ``stop``, (rows, genes)."""

    @abstractmethod
    def take(self, rows: NDArray) -> sp.csr_array:
        """Rows by index, in any order and with repeats, (rows, genes)."""


class MemoryMatrix(CellMatrix):
    """A dense or sparse matrix in memory; dense ones are made sparse a block at a time."""

    def __init__(self, values: Any) -> None:
        self.values: Any = sp.csr_array(values) if sp.issparse(values) else np.asarray(values)
        super().__init__(self.values.shape, self.values.dtype)

    def read(self, start: int, stop: int) -> sp.csr_array:
        """See ``CellMatrix``."""
        return sp.csr_array(self.values[start:stop], dtype=np.float32)

    def take(self, rows: NDArray) -> sp.csr_array:
        """See ``CellMatrix``."""
        return sp.csr_array(self.values[rows], dtype=np.float32)


class DiskMatrix(CellMatrix):
    """A matrix of an open h5ad or zarr file, dense or CSR, of which only the row pointers are kept in memory.

    Args:
        element: the group (CSR: ``data``, ``indices``, ``indptr``) or the array.

    Raises:
        FileFormatError: another encoding, such as CSC, whose rows cannot be read apart.
    """

    def __init__(self, element: Any) -> None:
        encoding = element.attrs.get("encoding-type", "array")
        if encoding not in ("array", "csr_matrix"):
            raise FileFormatError(
                f"a matrix stored as {encoding} cannot be read cell by cell",
                expected="csr_matrix or a dense array",
                remedy="open it in memory (in_memory=True), or store X as CSR: adata.X = adata.X.tocsr()",
            )
        self._element, self.sparse = element, encoding == "csr_matrix"
        if self.sparse:
            self._indptr = np.asarray(element["indptr"][:], dtype=np.int64)
            # Looked up once: a group finds its members by name at every access.
            self._data, self._indices = element["data"], element["indices"]
            shape, dtype = tuple(int(n) for n in element.attrs["shape"]), self._data.dtype
        else:
            shape, dtype = element.shape, element.dtype
        super().__init__((int(shape[0]), int(shape[1])), dtype)

    @property
    def nonzero(self) -> int:
        """Stored entries."""
        return int(self._indptr[-1]) if self.sparse else self.shape[0] * self.shape[1]

    def read(self, start: int, stop: int) -> sp.csr_array:
        """See ``CellMatrix``."""
        start, stop = max(0, start), min(stop, self.shape[0])
        if not self.sparse:
            return sp.csr_array(np.asarray(self._element[start:stop], dtype=np.float32))
        first, last = int(self._indptr[start]), int(self._indptr[stop])
        data = np.asarray(self._data[first:last], dtype=np.float32)
        indices = np.asarray(self._indices[first:last], dtype=np.int32)
        indptr = self._indptr[start : stop + 1] - first
        return sp.csr_array((data, indices, indptr), shape=(stop - start, self.shape[1]))

    def take(self, rows: NDArray) -> sp.csr_array:
        """See ``CellMatrix``; rows near each other are read together."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return sp.csr_array((0, self.shape[1]), dtype=np.float32)
        wanted, back = np.unique(rows, return_inverse=True)
        cuts = np.flatnonzero(np.diff(wanted) > _ROWS_WORTH_READING) + 1
        parts = []
        for run in np.split(wanted, cuts):
            block: Any = self.read(int(run[0]), int(run[-1]) + 1)
            parts.append(block if len(run) == block.shape[0] else sp.csr_array(block[run - run[0]]))
        stacked = parts[0] if len(parts) == 1 else sp.csr_array(sp.vstack(parts, format="csr"))
        in_order = len(rows) == len(wanted) and np.array_equal(rows, wanted)
        return stacked if in_order else sp.csr_array(stacked[back])


class RowSubset(CellMatrix):
    """Some rows of another matrix."""

    def __init__(self, matrix: CellMatrix, rows: NDArray) -> None:
        self._matrix, self._rows = matrix, np.asarray(rows, dtype=np.int64)
        super().__init__((len(self._rows), matrix.shape[1]), matrix.dtype)

    def read(self, start: int, stop: int) -> sp.csr_array:
        """See ``CellMatrix``."""
        return self._matrix.take(self._rows[start:stop])

    def take(self, rows: NDArray) -> sp.csr_array:
        """See ``CellMatrix``."""
        return self._matrix.take(self._rows[rows])


def row_blocks(total: int, size: int) -> Iterator[slice]:
    """Slices of ``size`` rows that cover ``total``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
