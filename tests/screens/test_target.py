"""The target screen: exhaustive over a gallery, with doubles."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnvcell.errors import DataError, ModelError, PerturbationError
from gnnvcell.models.base import Prediction
from gnnvcell.screens.gallery import all_pairs, checked_gallery, pair_name
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.target import TargetConfig, target_screen

from .conftest import TableModel


def goal_of(model: TableModel, name: str, factor: float = 1.0) -> Goal:
    change = model.predict([name]).values[0].astype(np.float64)
    return Goal.of_means(model.genes, np.zeros(len(change)), factor * change)


def test_the_perturbation_that_made_the_goal_comes_first(random_model: TableModel) -> None:
    found = target_screen(random_model, goal_of(random_model, "T07"), list(random_model.effects))
    first = found.table.iloc[0]
    assert (first["rank"], first["perturbation"], first["kind"]) == (1, "T07", "gallery")
    assert first["score"] == pytest.approx(1)
    assert first["remaining"] == pytest.approx(0, abs=1e-6)
    assert found.table["score"].is_monotonic_decreasing
    assert len(found.table) == 40
    assert found.abstained.empty


def test_every_batch_size_gives_the_same_table(random_model: TableModel) -> None:
    goal = goal_of(random_model, "T03")
    tables = [
        target_screen(random_model, goal, list(random_model.effects), config=TargetConfig(batch=size, doubles=5)).table
        for size in (1, 7, 40, 1000)
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


@pytest.mark.parametrize("measure", ["cosine", "pearson", "distance"])
def test_doubles_are_those_that_a_search_over_all_pairs_finds(random_model: TableModel, measure: str) -> None:
    """The model is additive, so its own score of each pair is the additive one."""
    names = list(random_model.effects)
    goal = goal_of(random_model, "T05+T09")
    config = TargetConfig(measure=measure, doubles=6)  # type: ignore[arg-type]
    found = target_screen(random_model, goal, names, config=config)
    doubles: Any = found.table[found.table["kind"] == "double"]
    assert doubles["score"].to_numpy() == pytest.approx(doubles["additive_score"].to_numpy(), abs=1e-6)
    everything = target_screen(random_model, goal, ["+".join(pair) for pair in combinations(names, 2)], config=config)
    assert doubles["perturbation"].tolist() == everything.table["perturbation"].head(6).tolist()
    assert found.table["perturbation"].iloc[0] == "T05+T09"


def test_doubles_are_scored_by_the_model_not_by_the_sum(random_model: TableModel) -> None:
    goal = goal_of(random_model, "T05+T09")
    effects = random_model.effects
    random_model.extra["T05+T09"] = effects["T30"] - effects["T05"] - effects["T09"]
    found = target_screen(random_model, goal, list(random_model.effects), config=TargetConfig(doubles=6)).table
    row = found[found["perturbation"] == "T05+T09"].iloc[0]
    assert row["additive_score"] == pytest.approx(1)
    assert row["score"] == pytest.approx(found[found["perturbation"] == "T30"]["score"].item(), abs=1e-5)


def test_a_double_of_the_gallery_is_not_ranked_twice(random_model: TableModel) -> None:
    names = [*random_model.effects, "T09+T05"]
    table = target_screen(random_model, goal_of(random_model, "T05+T09"), names, config=TargetConfig(doubles=6)).table
    assert table["perturbation"].iloc[0] == "T09+T05"
    assert "T05+T09" not in table["perturbation"].tolist()


def test_what_all_do_does_not_count_when_centred(random_model: TableModel) -> None:
    common = 20 * np.ones(30) + np.arange(30)
    effects = {name: 0.3 * effect + common for name, effect in random_model.effects.items()}
    model = TableModel(effects, random_model.genes)
    goal = goal_of(model, "T11")
    plain = target_screen(model, goal, list(model.effects)).table
    centred = target_screen(model, goal, list(model.effects), config=TargetConfig(centred=True, doubles=3)).table
    assert plain["score"].iloc[39] > 0.99
    assert centred["perturbation"].iloc[0] == "T11"
    singles: Any = centred[centred["kind"] == "gallery"]
    assert singles["score"].iloc[1] < 0.9


def test_candidates_without_support_are_named_apart(random_model: TableModel) -> None:
    found = target_screen(random_model, goal_of(random_model, "T01"), ["T01", "nobody", "T02", "T01+none"])
    assert found.table["perturbation"].tolist()[0] == "T01"
    assert found.abstained["perturbation"].tolist() == ["nobody", "T01+none"]
    assert "nothing was measured" in found.abstained["reason"].iloc[0]
    with pytest.raises(ModelError, match="no support for any of the 2 candidates"):
        target_screen(random_model, goal_of(random_model, "T01"), ["x", "y"])
    config = TargetConfig(support_above=-1)
    assert len(target_screen(random_model, goal_of(random_model, "T01"), ["x", "y"], config=config).table) == 2


def test_uncertainty_travels_into_the_table(random_model: TableModel) -> None:
    random_model.spread = 0.2
    table = target_screen(random_model, goal_of(random_model, "T01"), ["T01", "T02"]).table
    assert (table["score_sd"] > 0).all()


def test_an_interrupted_screen_goes_on(random_model: TableModel, tmp_path) -> None:
    names, goal = list(random_model.effects), goal_of(random_model, "T20")
    config = TargetConfig(batch=8, doubles=4)
    options: dict[str, Any] = {"config": config, "keep_in": tmp_path / "parts", "model_key": "m"}
    whole = target_screen(random_model, goal, names, config=config).table
    broken = _Breaks(random_model, after=3)
    with pytest.raises(KeyboardInterrupt):
        target_screen(broken, goal, names, **options)
    random_model.asked.clear()
    again = target_screen(random_model, goal, names, **options)
    pd.testing.assert_frame_equal(again.table, whole)
    assert "T00" not in random_model.asked[1:25]  # the first is asked for the model's genes
    random_model.asked.clear()
    target_screen(random_model, goal, names, **{**options, "model_key": "another"})
    assert len(random_model.asked) > 40


class _Breaks:
    def __init__(self, model: TableModel, after: int) -> None:
        self._model, self._left = model, after

    def predict(self, perturbations, *, context=None) -> Prediction:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._model.predict(perturbations, context=context)


def test_saved_screens(random_model: TableModel, tmp_path) -> None:
    found = target_screen(random_model, goal_of(random_model, "T01"), ["T01", "nobody"])
    folder = found.save(tmp_path / "out", extras={"command": "me"})
    assert sorted(path.name for path in folder.iterdir()) == ["abstained.csv", "provenance.json", "table.csv"]
    assert pd.read_csv(folder / "table.csv")["perturbation"].tolist() == ["T01"]
    assert '"command": "me"' in (folder / "provenance.json").read_text()
    found.save(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(DataError, match="is not a screen"):
        found.save(tmp_path / "mine")


def test_bad_galleries(random_model: TableModel) -> None:
    goal = goal_of(random_model, "T01")
    with pytest.raises(PerturbationError, match="the gallery is empty"):
        target_screen(random_model, goal, [])
    with pytest.raises(PerturbationError, match="'ctrl' in the gallery is a control"):
        target_screen(random_model, goal, ["T01", "ctrl"])
    with pytest.raises(PerturbationError, match="unknown mode"):
        target_screen(random_model, goal, ["T01|CRISPRx"])
    with pytest.raises(DataError, match="share 0 genes"):
        target_screen(random_model, Goal.of_signature(["a", "b", "c"]), ["T01"])


def test_a_model_that_answers_something_else_is_refused(random_model: TableModel) -> None:
    class Sorted(TableModel):
        def predict(self, perturbations, *, context=None) -> Prediction:
            return super().predict(sorted(perturbations), context=context)

    model = Sorted(random_model.effects, random_model.genes)
    with pytest.raises(ModelError, match="other perturbations than it was asked"):
        target_screen(model, goal_of(random_model, "T01"), ["T02", "T01"])


def test_pairs() -> None:
    assert checked_gallery(["A", " A ", "B"]) == ["A", "B"]
    assert pair_name("A", "B") == "A+B"
    assert pair_name("A|CRISPRi@80%", "B|CRISPRi@80%") == "A+B|CRISPRi@0.8"
    assert pair_name("A|KO", "B|CRISPRa") is None
    assert pair_name("A", "A+B") is None
    assert pair_name("JQ1|drug@1uM", "A") is None
    assert all_pairs(["A", "B", "A+C"]) == [("A", "B"), ("B", "A+C")]
    assert all_pairs(["A", "B"], ["B", "C", "A"]) == [("A", "B"), ("A", "C"), ("B", "C")]
