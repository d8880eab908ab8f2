"""CellSets: sets of a screen that is in memory, as a map-style dataset of torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gnnvcell import keys
from gnnvcell.data.cell_sets.config import CellSetConfig
from gnnvcell.data.cell_sets.expression import expression_of, gene_columns
from gnnvcell.data.cell_sets.gather import dense_rows
from gnnvcell.data.cell_sets.loader import SetLoader
from gnnvcell.data.cell_sets.planning import DealtSets, deal_controls, plan_sets
from gnnvcell.data.cell_sets.pools import control_pools
from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError


class CellSets(Dataset):
    """Sets of cells of one (cell type, perturbation, batch) with as many matched control cells.

    Every perturbed cell is in one set of an epoch; the last set of a group is filled up. Seed and epoch decide
    everything. The values of the chosen genes are held in memory as CSR.

    Args:
        cells: the screen.
        config: settings.
        rows: cells to use, controls among them (``Split.rows``); all when left out.

    Raises:
        DataError: no perturbed cells, a batch without controls, genes that are not there, or unusable values.

    Example:
        >>> sets = CellSets(cells, CellSetConfig(set_size=64))  # doctest: +SKIP
        >>> sets[0]["perturbed"].shape, sets.perturbations[sets[0]["perturbation"]]  # doctest: +SKIP
        (torch.Size([64, 2000]), 'TP53')
    """

    def __init__(self, cells: Cells, config: CellSetConfig | None = None, *, rows: NDArray | None = None) -> None:
        self.config = config or CellSetConfig()
        chosen = np.flatnonzero(cells.code >= Cells.CONTROL)
        self.cells = cells.take_cells(chosen if rows is None else np.intersect1d(chosen, _indices(rows)))
        if not (self.cells.code >= 0).any():
            raise DataError("there is no perturbed cell to make sets of", found=repr(self.cells))
        columns = gene_columns(self.cells, self.config.genes)
        kind, target = cells.values, self.config.target_sum
        blocks = [expression_of(block, kind, columns, target) for _, block in self.cells.blocks()]
        self.values: Any = sp.csr_array(sp.vstack(blocks, format="csr"))
        self.genes, self.perturbations = self.cells.genes[columns], self.cells.perturbations
        self.contexts, self.batches = self.cells.contexts, self.cells.batches
        self._pool = pool_numbers(
            self.cells.context_code, self.cells.batch_code, len(self.batches), self.config.controls
        )
        self._perturbed = np.flatnonzero(self.cells.code >= 0)
        self._pools = control_pools(
            self.cells.is_control, self._pool, self._pool[self._perturbed], pool_names(self.contexts, self.batches)
        )
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the sets of an epoch."""
        self.epoch, self._dealt = epoch, self.dealt(epoch)

    def dealt(self, epoch: int) -> DealtSets:
        """The sets of an epoch; as many in each."""
        rng = np.random.default_rng([self.config.seed, epoch])
        cells, rows = self.cells, self._perturbed
        place = cells.context_code[rows].astype(np.int64) * len(self.batches) + cells.batch_code[rows]
        group = place * len(self.perturbations) + cells.code[rows]
        plan, _ = plan_sets(rows, group, self.config.set_size, rng, fill=True)
        plan = plan.shuffled(rng)
        controls = deal_controls(self._pool[plan.rows[:, 0]], self._pools, self.config.set_size, rng)
        return DealtSets(plan.rows, controls, plan.mask)

    def __len__(self) -> int:
        return len(self._dealt)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One set; see ``take``, without the first dimension."""
        return {name: value[0] for name, value in self.take([index]).items()}

    def take(self, sets: Sequence[int] | NDArray) -> dict[str, Tensor]:
        """Several sets: perturbed and control (sets, cells, genes) float32; mask (sets, cells); perturbation, context,
        batch (sets,) positions in the attributes of these names; rows and control_rows (sets, cells) in ``cells``.
        """
        return self.gather(self._dealt.of(np.asarray(sets)))

    def gather(self, dealt: DealtSets) -> dict[str, Tensor]:
        """Sets of any epoch (``dealt``), as of ``take``."""
        rows, controls = dealt.rows, dealt.controls
        first = rows[:, 0]
        shape = (*rows.shape, self.values.shape[1])
        return {
            keys.PERTURBED_CELLS: torch.from_numpy(dense_rows(self.values, rows).reshape(shape)),
            keys.CONTROL_CELLS: torch.from_numpy(dense_rows(self.values, controls).reshape(shape)),
            keys.CELL_MASK: torch.from_numpy(dealt.mask),
            keys.PERTURBATION: torch.from_numpy(self.cells.code[first].astype(np.int64)),
            keys.CONTEXT: torch.from_numpy(self.cells.context_code[first].astype(np.int64)),
            keys.BATCH: torch.from_numpy(self.cells.batch_code[first].astype(np.int64)),
            keys.CELL_ROWS: torch.from_numpy(rows),
            keys.CONTROL_ROWS: torch.from_numpy(controls),
        }

    def control_means(self) -> Tensor:
        """(contexts, batches, genes) float32 mean of all controls that sets of each are matched with; 0 without any."""
        shape = (len(self.contexts), len(self.batches))
        context, batch = np.indices(shape)
        number = pool_numbers(context, batch, shape[1], self.config.controls)
        means = np.zeros((*shape, self.values.shape[1]), dtype=np.float32)
        for pool, rows in self._pools.items():
            means[number == pool] = self.values[rows].mean(axis=0)
        return torch.from_numpy(means)

    def loader(self, batch_size: int, *, rank: int | None = None, world_size: int | None = None) -> SetLoader:
        """Batches of sets, which are in random order already; arguments and errors as of ``SetLoader``."""
        return SetLoader(self, batch_size, rank=rank, world_size=world_size)


def pool_numbers(context: NDArray, batch: NDArray, batches: int, controls: str) -> NDArray[np.int64]:
    """(cells,) number of the pool of controls that matches each cell."""
    return context.astype(np.int64) * batches + (batch if controls == "batch" else 0)


def pool_names(contexts: NDArray, batches: NDArray) -> dict[int, str]:
    """Number of a pool to its cell type and batch."""
    return {
        c * len(batches) + b: f"cell type {context!r}, batch {batch!r}"
        for c, context in enumerate(contexts.tolist())
        for b, batch in enumerate(batches.tolist())
    }


def _indices(rows: NDArray) -> NDArray[np.int64]:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
