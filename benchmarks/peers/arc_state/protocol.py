"""What all steps share: the task (see ``gnnvcell.tasks.held_out_cells``) and the names of files."""

from pathlib import Path

import numpy as np

from gnnvcell.data import Cells
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import in_folds

FOLDS, MIN_CELLS, SEED, SPLIT = 4, 100, 0, 0
"""Four folds of the perturbations with at least 100 cells; the first draw of the halves of the control cells."""

CONTROL, CELL_TYPE, DATASET = "non-targeting", "cells", "screen"


def load_task(path: str | Path) -> HeldOutCells:
    """The task on a file of cells of one type, with one draw of the control halves."""
    cells = Cells.open(path, in_memory=True)
    counts = np.bincount(cells.code[cells.code >= 0], minlength=len(cells.perturbations))
    names = cells.perturbations[counts >= MIN_CELLS]
    groups = in_folds(names, FOLDS)
    return HeldOutCells(cells, groups, splits=SPLIT + 1, seed=SEED, min_cells=MIN_CELLS, target_sum=None)


def cells_file(folder: Path) -> Path:
    """What arc-state reads: the perturbations of all folds, and the control half of training."""
    return folder / "cells.h5ad"


def toml_file(folder: Path, fold: int) -> Path:
    """The split of a fold, as cell-load reads it."""
    return folder / f"fold{fold}.toml"


def features_file(folder: Path) -> Path:
    """Vectors of the perturbations, where arc-state is not to use one-hot codes."""
    return folder / "features.pt"


def predictions_file(folder: Path, name: str, fold: int) -> Path:
    """Predicted cells of a fold, with gene names."""
    return folder / f"{name}_fold{fold}.h5ad"
