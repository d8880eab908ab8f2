"""StreamedCellSets: sets from files that do not fit into memory, as an iterable dataset of torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from gnnvcell import keys
from gnnvcell.data.cell_sets.config import CellSetConfig
from gnnvcell.data.cell_sets.gather import dense_rows
from gnnvcell.data.cell_sets.planning import PlannedSets, deal_controls, plan_sets
from gnnvcell.data.cell_sets.processes import rank_and_size
from gnnvcell.data.cell_sets.shards import Shards
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.splits.files import find_dataset_files, load_split
from gnnvcell.data.splits.toml import SplitFile


class StreamedCellSets(IterableDataset):
    """Sets of cells of one (cell type, perturbation, batch), read from disk in large blocks in random order.

    Blocks of contiguous cells are shuffled over all files; ``window_blocks`` of them are in memory at a time, and sets
    are formed among their cells and what earlier windows left over. At the end what is left over is filled up. Every
    perturbed cell is in one set of an epoch. Control cells are drawn once for each cell type and batch, at most
    ``control_cells``, and stay in memory. Memory holds one window, the controls, the left-over cells (less than a set
    for each group) and 20 bytes for each cell of the files.

    Ranks (of ``torch.distributed``, or as given) and loader workers take blocks in turn, so that together they cover
    every cell once. ``state_dict`` is the position; a stream that loads it goes on with the same bits.

    Args:
        shards: the files (``Shards.open``).
        config: settings.
        rank, world_size: of this process; those of ``torch.distributed`` when left out, asked for when a pass begins.

    Raises:
        ConfigError: a rank outside of the world.
        DataError: no perturbed cells, batches without controls, files that do not fit each other.

    Example:
        >>> stream = StreamedCellSets(Shards.open(["a.h5ad", "b.h5ad"]), CellSetConfig(set_size=64))  # doctest: +SKIP
        >>> loader = torch.utils.data.DataLoader(stream, batch_size=8)  # doctest: +SKIP
    """

    def __init__(
        self,
        shards: Shards,
        config: CellSetConfig | None = None,
        *,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.config, self.shards = config or CellSetConfig(), shards
        shards.prepare(self.config)
        self.genes, self.perturbations = shards.genes, shards.perturbations
        self.contexts, self.batches = shards.contexts, shards.batches
        self._process = (rank, world_size)
        rank_and_size(*self._process)
        self.epoch, self._given = 0, 0

    @classmethod
    def from_toml(
        cls,
        path: str | Path,
        part: str,
        config: CellSetConfig | None = None,
        fields: FieldsConfig | None = None,
        *,
        folder: str | Path = ".",
    ) -> "StreamedCellSets":
        """The cells of one part of a split in cell-load's TOML; errors as of ``load_split``."""
        split, file = load_split(path, fields, folder=folder), SplitFile.read(path)
        used = set(split.table["dataset"])
        files = {name: find_dataset_files(pattern, folder) for name, pattern in file.datasets.items() if name in used}
        return cls(Shards.of_split(files, split, part, fields), config)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: another order of blocks and other sets."""
        self.epoch, self._given = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """The position: epoch, and sets given out in it (without loader workers, which keep their own)."""
        return {"epoch": self.epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a position."""
        self.epoch, self._given = int(state["epoch"]), int(state["given"])

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        skip, held = self._given, _Held(len(self.genes))
        for block_rows, plan, controls, left in self._windows():
            if skip and len(plan) <= skip:
                skip -= len(plan)
                held = _Held(len(self.genes))  # what is left over is read again when it is needed
                continue
            needed = np.union1d(plan.rows, left)
            missing = np.setdiff1d(needed, np.union1d(held.rows, block_rows))  # from windows that were passed over
            values = held.with_rows(self.shards, np.union1d(block_rows, missing))
            for at in range(skip, len(plan)):
                self._given += 1
                yield self._item(plan, controls, values, at)
            skip = 0
            held = values.keep(left)
        self.epoch, self._given = self.epoch + 1, 0

    def _windows(self) -> Iterator[tuple[NDArray, PlannedSets, NDArray, NDArray]]:
        """Per window: its rows, the sets that come out of it, their controls, and the rows left over; codes only."""
        worker = get_worker_info()
        parts, part = (worker.num_workers, worker.id) if worker is not None else (1, 0)
        shards, config = self.shards, self.config
        order = np.random.default_rng([config.seed, self.epoch]).permutation(len(shards.blocks))
        rank, world_size = rank_and_size(*self._process)
        mine = order[rank * parts + part :: world_size * parts]
        rng = np.random.default_rng([config.seed, self.epoch, rank, part])
        left = np.zeros(0, dtype=np.int64)
        windows = [mine[i : i + config.window_blocks] for i in range(0, len(mine), config.window_blocks)]
        for number, window in enumerate(windows):
            rows = np.sort(np.concatenate([shards.blocks[block] for block in window]))
            among = np.concatenate([left, rows])
            last = number == len(windows) - 1
            plan, left = plan_sets(among, shards.group[among], config.set_size, rng, fill=last)
            plan = plan.shuffled(rng)
            pools = shards.pool[plan.rows[:, 0]] if len(plan) else np.zeros(0, dtype=np.int64)
            yield rows, plan, deal_controls(pools, shards.control_rows, config.set_size, rng), left

    def _item(self, plan: PlannedSets, controls: NDArray, values: "_Held", at: int) -> dict[str, Tensor]:
        shards, rows, dealt = self.shards, plan.rows[at], controls[at]
        first = rows[0]
        return {
            keys.PERTURBED_CELLS: torch.from_numpy(dense_rows(values.matrix, values.places(rows))),
            keys.CONTROL_CELLS: torch.from_numpy(dense_rows(shards.control_values, shards.control_places(dealt))),
            keys.CELL_MASK: torch.from_numpy(plan.mask[at].copy()),
            keys.PERTURBATION: torch.tensor(int(shards.code[first])),
            keys.CONTEXT: torch.tensor(int(shards.context[first])),
            keys.BATCH: torch.tensor(int(shards.batch[first])),
            keys.CELL_ROWS: torch.from_numpy(rows.copy()),
            keys.CONTROL_ROWS: torch.from_numpy(dealt.copy()),
        }


class _Held:
    """Values of some rows. The matrix stays in the order in which they were read; ``rows`` ascend."""

    def __init__(self, genes: int, as_read: NDArray | None = None, matrix: sp.csr_array | None = None) -> None:
        self._as_read = np.zeros(0, dtype=np.int64) if as_read is None else as_read
        self._order = np.argsort(self._as_read, kind="stable")
        self.rows = self._as_read[self._order]
        self.matrix: Any = sp.csr_array((0, genes), dtype=np.float32) if matrix is None else matrix

    def with_rows(self, shards: Shards, rows: NDArray) -> "_Held":
        """These rows and further ones, which are read."""
        read, genes = shards.read(rows), self.matrix.shape[1]
        if not len(self.rows):
            return _Held(genes, rows, read)
        stacked = sp.csr_array(sp.vstack([self.matrix, read], format="csr"))
        return _Held(genes, np.concatenate([self._as_read, rows]), stacked)

    def keep(self, rows: NDArray) -> "_Held":
        """Only these rows."""
        return _Held(self.matrix.shape[1], rows, sp.csr_array(self.matrix[self.places(rows)]))

    def places(self, rows: NDArray) -> NDArray[np.int64]:
        """Where rows are in the matrix."""
        return self._order[np.searchsorted(self.rows, rows)]


def open_stream(
    paths: Sequence[str | Path], config: CellSetConfig | None = None, fields: FieldsConfig | None = None
) -> StreamedCellSets:
    """A stream over .h5ad or .zarr files; errors as of ``Shards.open`` and ``StreamedCellSets``."""
    return StreamedCellSets(Shards.open(paths, fields), config)
