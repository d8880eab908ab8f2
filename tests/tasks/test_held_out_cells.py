from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data import Cells
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.errors import DataError
from gnnvcell.metrics import PUBLISHED
from gnnvcell.tasks import held_out_cells
from gnnvcell.tasks.held_out_cells import SCORES, HeldOutCells, _halves
from gnnvcell.tasks.held_out_groups import HeldOutGroup, in_folds, leave_one_out, singles_to_doubles

NAMES = ("G0", "G1", "G2", "G3", "G4", "G5")


def prediction(values, names, genes) -> Any:
    values = np.asarray(values, dtype=np.float32)
    return SimpleNamespace(
        values=values, perturbations=np.array(names), genes=np.array(genes), support=np.ones(len(values))
    )


def mean_scores(task: HeldOutCells, predict) -> Any:
    """Mean scores of ``predict(inputs, split)`` over all runs."""
    scores = [task.evaluate(predict(task.inputs(*run), run[0]), *run) for run in task.runs()]
    return pd.concat(scores)[list(SCORES)].mean()


def training_mean(inputs, split: int = 0) -> Any:
    mean = inputs.train.values.sum(axis=0) / inputs.train.measured.sum(axis=0)
    return prediction(np.tile(mean, (len(inputs.perturbations), 1)), inputs.perturbations, inputs.train.genes)


@pytest.fixture(scope="module")
def cells() -> Cells:
    return null_screen()


def null_screen(seed: int = 0) -> Cells:
    """Twelve perturbations of 60 cells that do nothing, and 40 control cells, in two batches."""
    rng = np.random.default_rng(seed)
    labels = np.array([*["ctrl"] * 40, *np.repeat([f"N{i}" for i in range(12)], 60)])
    counts = rng.poisson(rng.gamma(2.0, 3.0, 300), (len(labels), 300)).astype(np.float32)
    obs = pd.DataFrame({"target_gene": labels, "batch": np.tile(["x", "y"], len(labels) // 2)})
    obs.index = obs.index.astype(str)
    var = pd.DataFrame(index=pd.Index([f"R{i}" for i in range(300)]))
    return Cells.of(ad.AnnData(sp.csr_matrix(counts), obs=obs, var=var))


def test_folds_hold_every_perturbation_out_once() -> None:
    groups = in_folds(["B", "A", "C", "A+D", "E"], 2)
    assert [group.test for group in groups] == [("A", "B", "E"), ("A+D", "C")]
    assert [group.train for group in groups] == [("C",), ("B", "E")]  # A+D and A share a target
    for folds in (1, 6):
        with pytest.raises(DataError, match="cannot be held out"):
            in_folds(["B", "A", "C", "A+D", "E"], folds)


def test_leave_one_out_drops_what_shares_a_target() -> None:
    groups = leave_one_out(["A", "B", "A+B", "C|KO", "C+D"])
    assert [group.test for group in groups] == [("A",), ("B",), ("A+B",), ("C|KO",), ("C+D",)]
    assert [group.train for group in groups] == [
        ("B", "C|KO", "C+D"), ("A", "C|KO", "C+D"), ("C|KO", "C+D"), ("A", "B", "A+B"), ("A", "B", "A+B"),
    ]  # fmt: skip


def test_doubles_by_the_singles_that_were_measured() -> None:
    names = ["A", "B|KO", "C", "A+B", "C+D", "D+E", "B+C+D"]
    two, one, none = (singles_to_doubles(names, singles_seen=seen)[0] for seen in (2, 1, 0))
    assert (two.test, one.test, none.test) == (("A+B", "B+C+D"), ("C+D",), ("D+E",))
    assert two.train == one.train == none.train == ("A", "B|KO", "C")
    with pytest.raises(DataError, match=r"no combination has 3 targets(.|\n)*3 singles, 4 combinations"):
        singles_to_doubles(names, singles_seen=3)
    with pytest.raises(DataError, match=r"no combination has 2(.|\n)*0 singles"):
        singles_to_doubles(["A+B"])


def test_halves_are_disjoint_and_cover_all_within_every_batch(make_screen) -> None:
    cells = Cells.of(make_screen(batches=3))
    for inside in (cells.is_control, cells.code >= 0):
        first, second = _halves(cells, inside, np.random.default_rng(0))
        assert not (first & second).any()
        np.testing.assert_array_equal(first | second, inside)
        for code in np.unique(cells.code[inside]):
            for batch in range(3):
                there = (cells.code == code) & (cells.batch_code == batch)
                assert 0 <= (first & there).sum() - (second & there).sum() <= 1
    other, _ = _halves(cells, inside, np.random.default_rng(1))
    assert (other != first).any()


def test_training_and_truth_share_no_control_cell(make_screen, monkeypatch) -> None:
    cells, used = Cells.of(make_screen()), []
    monkeypatch.setattr(
        held_out_cells, "cell_effects", lambda cells, rows, **rest: used.append(rows) or cell_effects(cells, rows=rows)
    )
    HeldOutCells(cells, leave_one_out(NAMES), splits=3)
    for train, truth, some, rest in np.array(used).reshape(3, 4, -1):
        assert not (train & truth & cells.is_control).any()
        assert not (some & rest).any()
        np.testing.assert_array_equal(some & cells.is_control, train & cells.is_control)
        np.testing.assert_array_equal(rest & cells.is_control, truth & cells.is_control)
        for either in (train | truth, some | rest):
            assert either.all()
    assert (used[0] != used[4]).any()


def test_inputs_hold_the_training_perturbations_alone(make_screen) -> None:
    task = HeldOutCells(Cells.of(make_screen()), leave_one_out(NAMES), splits=2)
    assert task.splits == 2
    runs = list(task.runs())
    assert len(runs) == 12
    for split, group in runs:
        inputs = task.inputs(split, group)
        assert inputs.perturbations.tolist() == list(group.test)
        assert sorted(inputs.train.perturbations) == sorted(set(NAMES) - set(group.test))
    again = HeldOutCells(Cells.of(make_screen()), leave_one_out(NAMES), splits=2)
    np.testing.assert_array_equal(again.inputs(*runs[0]).train.values, task.inputs(*runs[0]).train.values)


def test_what_is_true_scores_near_the_ceiling_and_beyond_the_mean(make_screen) -> None:
    """What the perturbations do, from other cells of the same world."""
    task = HeldOutCells(Cells.of(make_screen(seed=0)), leave_one_out(NAMES), splits=3)
    known = cell_effects(Cells.of(make_screen(seed=1, cells=200, controls=400)), keep_targets=True)

    def truth(inputs, split):
        rows = [int(np.flatnonzero(known.perturbations == name)[0]) for name in inputs.perturbations]
        return prediction(known.values[rows], inputs.perturbations, known.genes)

    top: Any = task.ceiling()[list(SCORES)].mean()
    found, mean = mean_scores(task, truth), mean_scores(task, training_mean)
    for name in ("pearson_delta", "centred_pearson_delta"):
        assert found[name] > top[name] - 0.02
        assert found[name] > mean[name] + 0.3
    assert found["mse_delta"] < min(top["mse_delta"] * 1.1, mean["mse_delta"] / 3)
    assert found["amplitude_ratio"] == pytest.approx(1, abs=0.15)
    for name in ("centred_retrieval", "centred_pds_cosine"):
        assert found[name] > 0.9
        assert mean[name] == pytest.approx(7 / 12)  # says nothing: tied with the other five of six
    assert len(task.ceiling()) == 18


def test_scores_by_hand_leave_targets_out(make_screen) -> None:
    task = HeldOutCells(Cells.of(make_screen()), leave_one_out(NAMES), splits=1)
    group = task.groups[0]
    inputs = task.inputs(0, group)
    genes = inputs.train.genes
    truth = cell_effects(task.cells, rows=task.cells.code >= -1)
    values = truth.values[truth.perturbations == "G0"].copy()
    scores = task.evaluate(prediction(values, group.test, genes), 0, group)
    values[0, genes == "G0"] = 99
    pd.testing.assert_frame_equal(task.evaluate(prediction(values, group.test, genes), 0, group), scores)
    turned = prediction(values[:, ::-1], group.test, genes[::-1])
    pd.testing.assert_frame_equal(task.evaluate(turned, 0, group), scores)
    assert scores["perturbation"].tolist() == ["G0"]
    assert scores["split"].tolist() == [0]
    nothing = task.evaluate(prediction(0 * values, group.test, genes), 0, group)
    assert nothing.loc[0, ["pearson_delta", "amplitude_ratio"]].tolist() == [0, 0]
    mean = task.evaluate(training_mean(inputs), 0, group)
    assert mean.loc[0, "centred_pearson_delta"] == 0


def test_a_single_held_out_perturbation_has_no_rank(make_screen) -> None:
    task = HeldOutCells(Cells.of(make_screen()), leave_one_out(NAMES)[:1], splits=1)
    inputs = task.inputs(0, task.groups[0])
    assert np.isnan(task.evaluate(training_mean(inputs), 0, task.groups[0])["centred_retrieval"]).all()


def test_published_scores_of_effects_and_of_cells(make_screen) -> None:
    task = HeldOutCells(Cells.of(make_screen()), in_folds(NAMES, 2), splits=1)
    group = task.groups[0]
    asked = task.pairs(0, group)
    assert asked.control.is_control.all()
    assert sorted(set(asked.perturbations)) == sorted(group.test)
    effect = task.inputs(0, group).train.values.mean(axis=0)
    found = prediction(np.tile(effect, (len(group.test), 1)), group.test, task.cells.genes)
    scores = task.published(found, 0, group)
    assert {*PUBLISHED, "perturbation", "split"} <= set(scores.columns)
    control = task._pairs(0, group).expression(task._pairs(0, group).control)
    by_cells = task.published(found, 0, group, changed=control + effect)
    pd.testing.assert_frame_equal(by_cells, scores)
    turned = prediction(found.values[:, ::-1], group.test, task.cells.genes[::-1])
    pd.testing.assert_frame_equal(task.published(turned, 0, group, changed=(control + effect)[:, ::-1]), scores)
    with pytest.raises(DataError, match="are not pairs"):
        task.published(found, 0, group, changed=control[1:])


def test_pairs_begin_from_controls_of_the_truth_and_of_the_same_batch(make_screen) -> None:
    task = HeldOutCells(Cells.of(make_screen(batches=3)), leave_one_out(NAMES), splits=2)
    for split, group in task.runs():
        pairs, learned = task._pairs(split, group), task.training_cells(split, group)
        np.testing.assert_array_equal(task.cells.batch_code[pairs.perturbed], task.cells.batch_code[pairs.control])
        assert not set(task.cells.obs.index[pairs.control]) & set(learned.obs.index)


def test_the_mean_control_cell_flatters_the_published_scores_alone(cells) -> None:
    task = HeldOutCells(cells, leave_one_out(cells.perturbations)[:4], splits=1)
    mean = task.mean_cell()
    assert len(mean) == 4
    zero = [
        task.published(prediction(np.zeros((1, 300)), group.test, cells.genes), split, group)
        for split, group in task.runs()
    ]
    copied = pd.concat(zero)
    assert mean["pair_pearson_top20"].mean() > 0.6
    assert copied["pair_pearson_top20"].mean() == 0
    assert mean["pair_mse"].mean() < copied["pair_mse"].mean()


def test_true_nulls_are_not_predicted_unless_controls_are_shared(cells) -> None:
    groups = leave_one_out(cells.perturbations)
    disjoint = mean_scores(HeldOutCells(cells, groups, splits=6), training_mean)["pearson_delta"]
    table = cell_effects(cells)
    others = (table.values.sum(axis=0) - table.values) / (table.shape[0] - 1)
    shared = np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(others, table.values, strict=True)])
    assert abs(disjoint) < 0.1
    assert shared > 0.4


def test_strata_by_hand(cells, monkeypatch) -> None:
    """Five significant genes are strong, one to four weak; Bonferroni's correction is over all genes."""
    p_value = np.ones((3, 10))
    p_value[0, :5] = p_value[1, :4] = p_value[2, 0] = 1e-4
    p_value[2, 1] = 0.05 / 10 + 1e-9
    tests = SimpleNamespace(
        perturbations=np.array(["N0", "N1", "R0"]), genes=np.array([f"R{i}" for i in range(10)]), p_value=p_value
    )
    monkeypatch.setattr(held_out_cells, "differential_of_cells", lambda *_, **__: tests)
    task = HeldOutCells(cells, leave_one_out(["N0", "N1"]), splits=1)
    assert task.strata() == {"N0": "strong", "N1": "weak"}
    task.groups = [HeldOutGroup(("R0",), ("N0",))]
    assert task.strata() == {"R0": "null"}  # its own gene does not count


def test_strata_of_a_screen(make_screen, cells) -> None:
    assert set(HeldOutCells(Cells.of(make_screen()), leave_one_out(NAMES), splits=1).strata().values()) == {"strong"}
    some = ("N0", "N3", "N7")
    nulls = HeldOutCells(cells, leave_one_out(some), splits=1).strata()
    assert list(nulls) == list(some)
    assert list(nulls.values()).count("null") >= 2


def test_bad_input_is_refused(make_screen) -> None:
    screen = make_screen()
    cells = Cells.of(screen)
    with pytest.raises(DataError, match=r"'G66' has no 1 cells(.|\n)*G"):
        HeldOutCells(cells, leave_one_out(["G0", "G66"]), splits=1)
    with pytest.raises(DataError, match="no perturbation has enough cells"):
        HeldOutCells(cells, leave_one_out(NAMES), splits=1, min_cells=41)
    control = np.flatnonzero(cells.is_control & (cells.batch_code == 0))
    kept = np.setdiff1d(np.arange(len(cells)), control[1:])
    with pytest.raises(DataError, match="no control cells"):
        HeldOutCells(cells.take_cells(kept), leave_one_out(NAMES), splits=1)
    task = HeldOutCells(cells, leave_one_out(NAMES), splits=1)
    group = task.groups[0]
    genes = task.inputs(0, group).train.genes
    with pytest.raises(DataError, match="lacks 1 of 1 perturbations, 'G0'"):
        task.evaluate(prediction(np.zeros((1, 40)), ("G1",), genes), 0, group)
    with pytest.raises(DataError, match="lacks 1 of 40 genes"):
        task.evaluate(prediction(np.zeros((1, 39)), group.test, genes[1:]), 0, group)
