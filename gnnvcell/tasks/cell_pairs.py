"""Pairs of a held-out cell and a control cell of its batch: what published scores of cells are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cell_sums import log_normalised
from gnnvcell.data.cells import Cells


@dataclass(frozen=True, eq=False)
class AskedPairs:
    """What a model may see of pairs.

    Args:
        control: one control cell for each pair, with repeats.
        perturbations: (pairs,) what is done to each.
    """

    control: Cells
    perturbations: NDArray


@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """Pairs as the task knows them.

    Args:
        cells: the screen.
        perturbed, control: (pairs,) rows.
        target_sum: what counts are scaled to before log1p.
    """

    cells: Cells
    perturbed: NDArray[np.int64]
    control: NDArray[np.int64]
    target_sum: float

    @classmethod
    def drawn(
        cls,
        cells: Cells,
        names: NDArray,
        perturbed: NDArray[np.bool_],
        controls: NDArray[np.bool_],
        *,
        most: int,
        target_sum: float,
        seed: int,
    ) -> "DrawnPairs":
        """Draw cells of some perturbations, and for each a control cell of its batch.

        Args:
            cells: the screen.
            names: (perturbations,) which of them.
            perturbed: (cells,) cells to draw from, of one cell type.
            controls: (cells,) control cells of that type to draw from, some in every batch.
            most: cells of each perturbation.
            target_sum: what counts are scaled to.
            seed: of the draw.
        """
        rng = np.random.default_rng(seed)
        codes = [cells.perturbation_code(str(name)) for name in names]
        of_each = [np.flatnonzero(perturbed & (cells.code == code)) for code in codes]
        drawn = np.concatenate([np.sort(rng.permutation(rows)[:most]) for rows in of_each])
        control = np.empty_like(drawn)
        for batch in np.unique(cells.batch_code[drawn]).tolist():
            inside = cells.batch_code[drawn] == batch
            control[inside] = rng.choice(np.flatnonzero(controls & (cells.batch_code == batch)), int(inside.sum()))
        return cls(cells, drawn, control, target_sum)

    @property
    def asked(self) -> AskedPairs:
        """What a model may see."""
        return AskedPairs(self.cells.take_cells(self.control), self.perturbations)

    @property
    def perturbations(self) -> NDArray:
        """(pairs,) names."""
        return self.cells.perturbations[self.cells.code[self.perturbed]]

    def expression(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(rows, genes) log1p expression of cells."""
        return log_normalised(self.cells.take(rows), self.cells.values, self.target_sum).toarray()
