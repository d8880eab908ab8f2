import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.cells import Cells
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.data.splits import Conditions, by_cell_type, by_perturbation
from gnnvcell.errors import DataError

PERTURBATIONS = ["A", "B", "C", "D", "E", "F+G"]

@pytest.fixture
def cells() -> Cells:
    rows = [(c, p, b) for c in ("k562", "rpe1") for p in ["ctrl", *PERTURBATIONS, "unassigned"] for b in ("b1", "b2")]
    obs = pd.DataFrame(rows, columns=np.array(["cell_type", "perturbation", "batch"])).astype("category")
    obs.index = pd.Index([f"cell{i}" for i in range(len(obs))])
    counts = np.random.default_rng(0).poisson(2.0, size=(len(obs), 5)).astype(np.float32)
    return Cells.of(ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=np.array(list("VWXYZ")))))


def test_cells_and_effects_get_the_same_parts(cells) -> None:
    split = by_perturbation(Conditions.of_cells(cells, dataset="mine"), combinations="own")
    parts = split.apply_to_cells(cells)
    assert (parts[cells.is_control] == "control").all()
    assert (parts[cells.code == Cells.UNASSIGNED] == "").all()
    effects = split.apply_to_effects(cell_effects(cells))
    for name, context, part in zip(effects.perturbations, effects.contexts, effects.split, strict=True):
        same = (cells.code == cells.perturbation_code(str(name))) & (cells.contexts[cells.context_code] == context)
        assert set(parts[same]) == {part}


def test_controls_are_in_every_part(cells) -> None:
    split = by_perturbation(Conditions.of_cells(cells, dataset="mine"), combinations="own")
    for part in ("train", "val", "test"):
        assert cells.is_control[split.rows(cells, part)].sum() == cells.is_control.sum()


def test_training_has_the_controls_of_held_out_cell_types(cells) -> None:
    split = by_cell_type(Conditions.of_cells(cells, dataset="mine"), test=["rpe1"], val=())
    train, test = split.rows(cells, "train"), split.rows(cells, "test")
    assert set(cells.obs["cell_type"].iloc[test]) == {"rpe1"}
    assert cells.is_control[train].sum() == cells.is_control.sum()
    assert np.intersect1d(train[~cells.is_control[train]], test).size == 0
    with pytest.raises(DataError, match="no cell is in the part 'val'"):
        split.rows(cells, "val")


def test_a_split_of_other_data(cells) -> None:
    split = by_cell_type(Conditions.of_cells(cells, dataset="mine"), test=["rpe1"], val=())
    with pytest.raises(DataError, match="does not know 6 perturbations of 'yours'"):
        split.apply_to_cells(cells, dataset="yours")
