"""A cell type that is held out: learned from the others, predicted from its own control cells."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from gnnvcell.data import Cells
from gnnvcell.errors import DataError
from gnnvcell.tasks import HeldOutCells, all_at_once

NAMES = ("G0", "G1", "G2", "G3", "G4", "G5")
GROUP = all_at_once(NAMES, NAMES)


@pytest.fixture
def cells(make_screen) -> Cells:
    return Cells.of(make_screen(contexts=("k", "t")))


def predicted(values, names, genes) -> Any:
    values = np.asarray(values, dtype=np.float32)
    return SimpleNamespace(values=values, perturbations=names, genes=genes, support=np.ones(len(values)))


def test_only_control_cells_of_the_cell_type_are_given_out(cells) -> None:
    task = HeldOutCells(cells, GROUP, context="t", splits=2)
    for split, group in task.runs():
        inputs = task.inputs(split, group)
        assert inputs.train.context_names == ["k"]
        assert set(inputs.train.perturbations) == set(NAMES)
        assert inputs.context is not None
        assert inputs.context.name == "t"
        given = task.training_cells(split, group)
        of_t = given.contexts[given.context_code] == "t"
        assert of_t.any()
        assert given.is_control[of_t].all()
        assert (~given.is_control[~of_t]).any()
        asked = task.pairs(split, group)
        assert set(asked.control.contexts[asked.control.context_code]) == {"t"}
        assert asked.control.is_control.all()


def test_what_was_done_in_the_cell_type_is_nowhere_in_the_inputs(make_screen) -> None:
    screen = make_screen(contexts=("k", "t"))
    task = HeldOutCells(Cells.of(screen), GROUP, context="t", splits=1)
    cells = Cells.of(screen)
    changed = screen.copy()
    rows = np.flatnonzero((cells.contexts[cells.context_code] == "t") & ~cells.is_control)
    counts = changed.X.toarray()
    counts[rows] = counts[rows[::-1]]
    changed.X = sp.csr_matrix(counts)
    other = HeldOutCells(Cells.of(changed), GROUP, context="t", splits=1)
    mine, theirs = task.inputs(0, GROUP[0]), other.inputs(0, GROUP[0])
    np.testing.assert_array_equal(mine.train.values, theirs.train.values)
    np.testing.assert_array_equal(mine.context.control, theirs.context.control)  # type: ignore[union-attr]
    truth = predicted(mine.train.values, mine.train.perturbations, mine.train.genes)
    assert not task.evaluate(truth, 0, GROUP[0]).equals(other.evaluate(truth, 0, GROUP[0]))


def test_effects_that_are_the_same_elsewhere_score_as_they_should(cells) -> None:
    task = HeldOutCells(cells, GROUP, context="t", splits=2)
    for split, group in task.runs():
        train = task.inputs(split, group).train
        same = task.evaluate(predicted(train.values, train.perturbations, train.genes), split, group)
        mean = np.tile(train.values.mean(axis=0), (len(NAMES), 1))
        centre = task.evaluate(predicted(mean, train.perturbations, train.genes), split, group)
        assert same["perturbation"].tolist() == list(NAMES)
        assert same["centred_pearson_delta"].mean() > 0.5
        assert same["mse_delta"].mean() < centre["mse_delta"].mean()
        assert same["centred_pds_cosine"].mean() > 0.9
    assert set(task.strata()) == set(NAMES)
    assert task.ceiling()["centred_pearson_delta"].mean() > 0.5
    assert len(task.mean_cell()) == 2 * len(NAMES)


def test_bad_input_is_refused(cells, make_screen) -> None:
    with pytest.raises(DataError, match=r"several cell types(.|\n)*k, t"):
        HeldOutCells(cells, GROUP, splits=1)
    with pytest.raises(DataError, match="no cell is of the cell type 's'"):
        HeldOutCells(cells, GROUP, context="s", splits=1)
    with pytest.raises(DataError, match="'k' is the only cell type"):
        HeldOutCells(Cells.of(make_screen(contexts=("k",))), GROUP, context="k", splits=1)
    with pytest.raises(DataError, match="'G66' has no 1 cells"):
        HeldOutCells(cells, all_at_once(NAMES, ["G66"]), context="t", splits=1)
    with pytest.raises(DataError, match="no perturbation to hold out"):
        all_at_once([], NAMES)
