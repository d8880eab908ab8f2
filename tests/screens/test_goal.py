"""Goals from means, signatures, groups of cells and measured effects, and their way to a model's genes."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ConfigError, DataError, GnnvcellWarning
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.wanted import Wanted

GENES = np.array(["A", "B", "C", "D"])


def cells() -> Any:
    """log1p values: group y is 1 above x in gene A, in both batches, and x is rarer in batch 2."""
    values = np.array(
        [[1.0, 0.5, 0, 0], [1.0, 1.5, 0, 0], [3.0, 1, 0, 0.1], [2.0, 0.5, 0, 0], [2.0, 1.5, 0, 0], [4.0, 1, 0, 0.1]]
    )
    obs = pd.DataFrame({"state": list("xxxyyy"), "batch": list("112112")}, index=pd.Index([f"c{i}" for i in range(6)]))
    return ad.AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=GENES))


def test_groups_by_hand() -> None:
    goal = Goal.of_groups(cells(), "state", "x", "y")
    assert goal.genes.tolist() == GENES.tolist()
    assert goal.change == pytest.approx([1, 0, 0, 0], abs=1e-6)
    assert (goal.name, goal.sized) == ("x -> y", True)


def test_groups_are_compared_within_batches() -> None:
    """Without batches the rarer batch 2 of x would look like a difference."""
    data = cells()
    data = data[[0, 1, 2, 3, 5, 5]].copy()
    data.obs_names = pd.Index(list("abcdef"))
    data.obs["batch"] = list("112122")
    assert Goal.of_groups(data, "state", "x", "y").change[0] == pytest.approx(10 / 3 - 5 / 3)
    assert Goal.of_groups(data, "state", "x", "y", within="batch").change[0] == pytest.approx(1)


def test_reliability_is_the_share_of_the_change_that_is_not_noise() -> None:
    data = cells()
    goal = Goal.of_groups(data[data.obs["batch"] == "1"], "state", "x", "y", weighting="reliability")
    assert goal.weight.tolist() == pytest.approx([1, 0, 0, 0])
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(2, 1, (40, 1)))
    values[20:] += 0.5
    two = ad.AnnData(values.astype(np.float32), obs=pd.DataFrame({"s": ["x"] * 20 + ["y"] * 20}))
    found = Goal.of_groups(two, "s", "x", "y", weighting="reliability")
    square = (values[:20].var(ddof=1) + values[20:].var(ddof=1)) / 20
    assert found.weight[0] == pytest.approx(1 - square / found.change[0] ** 2, rel=1e-4)


def test_two_files_share_genes_by_name() -> None:
    data = cells()
    source, goal = data[:3].copy(), data[3:, ["B", "A", "D"]].copy()
    found = Goal.of_cells(source, goal)
    assert found.genes.tolist() == ["A", "B", "D"]
    assert found.change == pytest.approx([1, 0, 0], abs=1e-6)
    other = ad.AnnData(np.ones((2, 1), np.float32), var=pd.DataFrame(index=pd.Index(["p"])))
    with pytest.raises(DataError, match="share no gene"):
        Goal.of_cells(source, other)


def test_effect_leaves_its_own_target_out() -> None:
    measured = np.array([[False, True, True]])
    table = EffectTable([[-2, 1, 0.5]], measured, ["A"], ["A", "B", "C"], kind="delta")
    goal = Goal.of_effect(table, "A")
    assert (goal.genes.tolist(), goal.change.tolist()) == (["B", "C"], [1, 0.5])
    with pytest.raises(DataError, match="0 rows of the table are 'B'"):
        Goal.of_effect(table, "B")


def test_signature() -> None:
    goal = Goal.of_signature(["A", "A"], ["D"])
    assert (goal.genes.tolist(), goal.change.tolist(), goal.sized) == (["A", "D"], [1, -1], False)
    with pytest.raises(DataError, match="'A' shall go up and down"):
        Goal.of_signature(["A"], ["A"])
    with pytest.raises(DataError, match="the signature is empty"):
        Goal.of_signature([])


def test_bad_goals() -> None:
    data = cells()
    with pytest.raises(DataError, match=r"there is no obs column 'stat'(.|\n)*'state'"):
        Goal.of_groups(data, "stat", "x", "y")
    with pytest.raises(DataError, match="no cell has 'z' in 'state'"):
        Goal.of_groups(data, "state", "x", "z")
    with pytest.raises(DataError, match="the same group 'x'"):
        Goal.of_groups(data, "state", "x", "x")
    with pytest.raises(DataError, match="1 strata have cells of 'y' and none of 'x'"):
        Goal.of_groups(data[[0, 1, 3, 4, 5]], "state", "x", "y", within="batch")
    with pytest.raises(DataError, match="wants no change"):
        Goal.of_means(GENES, np.ones(4), np.ones(4))
    with pytest.raises(DataError, match="there twice"):
        Goal.of_means(["A", "A"], np.zeros(2), np.ones(2))
    with pytest.raises(DataError, match="different lengths"):
        Goal.of_means(GENES, np.zeros(3), np.ones(3))
    with pytest.raises(DataError, match="finite"):
        Goal.of_means(GENES, np.zeros(4), np.array([1, 2, 3, np.nan]))


def test_without() -> None:
    goal = Goal.of_means(GENES, np.zeros(4), np.arange(4.0))
    assert goal.without(["D"]).genes.tolist() == ["A", "B", "C"]
    assert goal.without(["D"]).digest() != goal.digest()


def test_goal_in_the_order_of_the_model() -> None:
    goal = Goal.of_means(GENES, np.zeros(4), np.array([1.0, 2, 3, 4]))
    wanted = Wanted.of(goal, np.array(["D", "X", "B", "A"]))
    assert (wanted.genes.tolist(), wanted.columns.tolist()) == (["A", "B", "D"], [3, 2, 0])
    assert wanted.change.tolist() == [1, 2, 4]
    assert (wanted.covered, wanted.missing) == (pytest.approx(21 / 30), ("C",))
    assert wanted.coverage()["shared_genes"] == 3


def test_an_old_symbol_is_found() -> None:
    goal = Goal.of_signature(["MARCH8", "AARS", "TP53"])
    wanted = Wanted.of(goal, np.array(["TP53", "MARCHF8", "AARS1"]))
    assert wanted.genes.tolist() == ["MARCHF8", "AARS1", "TP53"]


def test_a_goal_with_other_genes() -> None:
    goal = Goal.of_means(GENES, np.zeros(4), np.array([1.0, 2, 3, 40]))
    with pytest.raises(DataError, match=r"share 0 genes(.|\n)*expected.*P1(.|\n)*found.*D, C, B"):
        Wanted.of(goal, np.array(["P1", "P2", "P3"]))
    with pytest.raises(DataError, match="share 2 genes"):
        Wanted.of(goal, np.array(["A", "B", "P3"]))
    with pytest.warns(GnnvcellWarning, match=r"3 of the 4 genes .* hold 1% of the wanted change.*missing: D"):
        Wanted.of(goal, np.array(["A", "B", "C"]))


def test_scores_by_hand() -> None:
    goal = Goal.of_means(GENES[:3], np.zeros(3), np.array([3.0, 4.0, 0.0]), weight=np.array([1.0, 1, 2]))
    wanted = Wanted.of(goal, GENES)
    found = wanted.scores(np.array([[3.0, 4, 0], [0, 0, 1], [0, 0, 0]]), ["X", "Y", "Z"])
    assert found.cosine.tolist() == pytest.approx([1, 0, 0])
    assert found.remaining.tolist() == pytest.approx([0, np.sqrt(25 + 2) / 5, 1])
    assert found.size.tolist() == pytest.approx([1, np.sqrt(2) / 5, 0])
    assert np.isnan(found.score_sd).all()
    by_distance = wanted.scores(np.array([[1.5, 2, 0]]), ["X"], measure="distance")
    assert by_distance.score.item() == pytest.approx(0.5)
    x, y, w = np.array([3.0, 4, 0]), np.array([1.0, 2, 5]), np.array([1.0, 1, 2])
    mx, my = (w @ x) / 4, (w @ y) / 4
    r = (w @ ((x - mx) * (y - my))) / np.sqrt((w @ (x - mx) ** 2) * (w @ (y - my) ** 2))
    assert wanted.scores(y[None], ["X"]).pearson.item() == pytest.approx(r)


def test_a_candidates_own_target_is_left_out() -> None:
    wanted = Wanted.of(Goal.of_means(GENES, np.zeros(4), np.array([-9.0, 1, 1, 0])), GENES)
    values = np.array([[-9.0, 0, 0, 1], [-9.0, 0, 0, 1]])
    found = wanted.scores(values, ["A", "X"])
    assert found.cosine[0] == 0
    assert found.cosine[1] > 0.9


@pytest.mark.parametrize("measure", ["cosine", "pearson", "distance"])
def test_uncertainty_of_a_score_is_that_of_drawn_predictions(measure: str) -> None:
    rng = np.random.default_rng(3)
    genes = np.array([f"G{i}" for i in range(200)])
    change, weight = rng.normal(size=200), rng.random(200) + 0.2
    wanted = Wanted.of(Goal.of_means(genes, np.zeros(200), change, weight=weight), genes)
    y, spread = 0.6 * change + 0.4 * rng.normal(size=200), 0.1 + 0.1 * rng.random(200)
    found = wanted.scores(y[None], ["P"], measure=measure, spread=spread[None])  # type: ignore[arg-type]
    drawn = y + spread * rng.normal(size=(4000, 200))
    scores = wanted.scores(drawn, ["P"] * 4000, measure=measure).score  # type: ignore[arg-type]
    assert found.score_sd.item() == pytest.approx(scores.std(), rel=0.1)


def test_no_distance_to_a_signature() -> None:
    wanted = Wanted.of(Goal.of_signature(["A", "B"], ["C"]), GENES)
    found = wanted.scores(np.ones((1, 3)), ["X"])
    assert np.isnan(found.remaining).all()
    assert found.cosine.item() == pytest.approx(1 / 3)
    with pytest.raises(ConfigError, match="no distance to a signature"):
        wanted.scores(np.ones((1, 3)), ["X"], measure="distance")
    with pytest.raises(ConfigError, match="signature cannot be centred"):
        wanted.centred(np.ones(3))
