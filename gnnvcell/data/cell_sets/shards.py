"""Shards: several files of cells as one long list of rows, with one set of names."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cell_sets.config import CellSetConfig
from gnnvcell.data.cell_sets.expression import expression_of, gene_columns
from gnnvcell.data.cell_sets.in_memory import pool_names, pool_numbers
from gnnvcell.data.cell_sets.pools import control_pools
from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import DataError


class Shards:
    """Files of cells that stay on disk; only the codes of their cells are in memory.

    Perturbations, cell types and batches of the same name in several files are one. Rows are numbered through.

    Args:
        files: the cells of each file.
        rows: of each file the rows to use, ascending, control cells among them; all when left out.

    Raises:
        DataError: no file, or no perturbed cell.

    Attributes:
        perturbations, contexts, batches: names, sorted.
        code, context, batch: (rows,) int32 positions in them; ``code`` is -1 for controls, -2 for rows not used.
    """

    def __init__(self, files: Sequence[Cells], rows: Sequence[NDArray | None] | None = None) -> None:
        if not files:
            raise DataError("there is no file of cells", remedy="name at least one")
        self.files = list(files)
        self.start = np.cumsum([0, *(len(cells) for cells in files)])
        self.perturbations, code = _joined([(cells.perturbations, cells.code) for cells in files])
        self.contexts, self.context = _joined([(cells.contexts, cells.context_code) for cells in files])
        self.batches, self.batch = _joined([(cells.batches, cells.batch_code) for cells in files])
        for at, chosen in enumerate(rows or []):
            if chosen is not None:
                unused = np.setdiff1d(np.arange(len(files[at])), chosen) + self.start[at]
                code[unused] = Cells.UNASSIGNED
        self.code = code
        if not (code >= 0).any():
            raise DataError("there is no perturbed cell to make sets of", found=f"{len(code):,} cells")

    @classmethod
    def open(cls, paths: Sequence[str | Path], fields: FieldsConfig | None = None) -> "Shards":
        """Open files where they are; errors as of ``Cells.open``."""
        return cls([Cells.open(path, fields, in_memory=False) for path in paths])

    @classmethod
    def of_split(
        cls, files: Mapping[str, Sequence[Path]], split: Split, part: str, fields: FieldsConfig | None = None
    ) -> "Shards":
        """The files of data sets, with the cells of one part of a split and their controls.

        Args:
            files: name of a data set in the split to its files.
            split: the split.
            part: "train", "val" or "test".
            fields: columns of the files.

        Raises:
            DataError: no cell of any file is in the part.
        """
        opened, rows = [], []
        for dataset, paths in files.items():
            for path in paths:
                cells = Cells.open(path, fields, in_memory=False)
                parts = split.apply_to_cells(cells, dataset=dataset)
                if (parts == part).any():
                    opened.append(cells)
                    rows.append(split.rows(cells, part, dataset=dataset))
        if not opened:
            raise DataError(f"no cell is in the part {part!r}", found=", ".join(files))
        return cls(opened, rows)

    def prepare(self, config: CellSetConfig) -> None:
        """Cut the files into blocks, and read the control cells that sets are matched with.

        Raises:
            DataError: a batch or cell type with perturbed and no control cells, or genes that a file lacks.
        """
        self._config = config
        genes = config.genes or tuple(map(str, self.files[0].genes))
        self.genes = np.array(genes)
        self._columns = [gene_columns(cells, genes) for cells in self.files]
        place = self.context.astype(np.int64) * len(self.batches) + self.batch
        self.group = place * len(self.perturbations) + self.code
        self.pool = pool_numbers(self.context, self.batch, len(self.batches), config.controls)
        perturbed = np.flatnonzero(self.code >= 0)
        size = config.block_cells
        cut = [np.arange(a, b, size) for a, b in itertools.pairwise(self.start)]
        edges = np.searchsorted(perturbed, np.concatenate([*cut, [self.start[-1]]]))
        blocks = [perturbed[a:b] for a, b in itertools.pairwise(edges)]
        self.blocks = [block for block in blocks if len(block)]
        self._read_controls(perturbed)

    def _read_controls(self, perturbed: NDArray) -> None:
        rng = np.random.default_rng([self._config.seed, 1])
        names = pool_names(self.contexts, self.batches)
        pools = control_pools(self.code == Cells.CONTROL, self.pool, self.pool[perturbed], names)
        needed = np.unique(self.pool[perturbed]).tolist()
        most = self._config.control_cells
        self.control_rows = {
            key: np.sort(rng.permutation(pools[key])[:most]) if len(pools[key]) > most else pools[key] for key in needed
        }
        self._controls = np.sort(np.concatenate(list(self.control_rows.values())))
        self.control_values = self.read(self._controls)

    def control_places(self, rows: NDArray) -> NDArray[np.int64]:
        """Where control rows are in ``control_values``."""
        return np.searchsorted(self._controls, rows)

    def read(self, rows: NDArray) -> sp.csr_array:
        """(rows, genes) float32 CSR of ascending rows, file by file."""
        parts = []
        for at, cells in enumerate(self.files):
            inside = rows[(rows >= self.start[at]) & (rows < self.start[at + 1])] - self.start[at]
            if len(inside):
                block = cells.take(inside)
                parts.append(expression_of(block, cells.values, self._columns[at], self._config.target_sum))
        if not parts:
            return sp.csr_array((0, len(self.genes)), dtype=np.float32)
        return parts[0] if len(parts) == 1 else sp.csr_array(sp.vstack(parts, format="csr"))


def _joined(parts: Sequence[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray[np.int32]]:
    """One set of names for several, and all codes in it; negative codes stay."""
    names = np.unique(np.concatenate([names for names, _ in parts]))
    codes = []
    for own, code in parts:
        place = np.append(np.searchsorted(names, own), [-2, -1]).astype(np.int32)  # code -1 is the last, -2 before it
        codes.append(place[code])
    return names, np.concatenate(codes)
