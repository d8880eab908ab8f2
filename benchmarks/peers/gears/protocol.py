"""What all steps share: the tasks (see ``gnnvcell.tasks.held_out_cells``) and the names of files.

Both environments import it; gnnvcell is only in ours, and is imported where it is used.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnnvcell.tasks.held_out_cells import HeldOutCells


@dataclass(frozen=True)
class Screen:
    """A file of ``../shared/data/cells`` and what is held out of it, as in ``benchmarks/results/cells.md``."""

    file: str
    context: str | None
    doubles: bool
    min_cells: int


SCREENS = {
    "papalexi": Screen("papalexi2021_thp1_eccite.h5ad", None, doubles=False, min_cells=100),
    "norman": Screen("perturbench_devel.h5ad", "k562", doubles=True, min_cells=1),
}
"""Four folds of Papalexi's targets; Norman's doubles from all of its singles."""

FOLDS, SEED = 4, 0
CONTROL, CELL_TYPE = "ctrl", "cells"


def load_task(cells_folder: Path, screen: str, draws: int) -> "HeldOutCells":
    """The task, with the first draws of the control halves that ``gnnvcell bench cells`` makes."""
    import numpy as np

    from gnnvcell.data import Cells
    from gnnvcell.tasks.held_out_cells import HeldOutCells
    from gnnvcell.tasks.held_out_groups import in_folds, singles_to_doubles

    what = SCREENS[screen]
    cells = Cells.open(cells_folder / what.file, in_memory=True)
    if what.context is not None:
        cells = cells.take_cells(cells.context_code == cells.contexts.tolist().index(what.context))
    counts = np.bincount(cells.code[cells.code >= 0], minlength=len(cells.perturbations))
    names = cells.perturbations[counts >= what.min_cells].tolist()
    groups = singles_to_doubles(names) if what.doubles else in_folds(names, FOLDS)
    return HeldOutCells(cells, groups, splits=draws, seed=SEED, min_cells=what.min_cells, target_sum=None)


def cells_file(folder: Path, draw: int, group: int) -> Path:
    """What GEARS sees of a run: cells of the training perturbations, and the control half of training."""
    return folder / f"draw{draw}_group{group}.h5ad"


def knowledge_file(folder: Path) -> Path:
    """Terms of every gene."""
    return folder / "gene2go.json"


def effects_file(folder: Path, name: str, draw: int, group: int) -> Path:
    """Predicted effects of the held-out perturbations of a run."""
    return folder / f"{name}_draw{draw}_group{group}.h5ad"
