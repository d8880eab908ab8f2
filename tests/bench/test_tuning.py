import numpy as np
import pytest

from gnnvcell.bench.tuning import Tuning, choose_settings, drawn_settings, with_settings, with_validation
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.models import MODELS, KnnConfig, SmootherConfig


def test_settings_are_drawn_once_each_from_the_space(world) -> None:
    space = {"power": [1.0, 2.0, 3.0], "profiles": {"steps": [2, 4]}}
    drawn = drawn_settings(space, 4, seed=0, label="smoother")
    assert len(drawn) == 4
    assert len({str(settings) for settings in drawn}) == 4
    assert all(s["power"] in (1.0, 2.0, 3.0) and s["profiles"]["steps"] in (2, 4) for s in drawn)
    assert drawn == drawn_settings(space, 4, seed=0, label="smoother")
    assert len(drawn_settings(space, 99, seed=0, label="smoother")) == 6
    assert drawn_settings({}, 4, seed=0, label="smoother") == [{}]
    with pytest.raises(ConfigError, match=r"tune\.space\.smoother\.profiles\.steps is no list of values"):
        drawn_settings({"profiles": {"steps": 2}}, 4, seed=0, label="smoother")


def test_settings_go_over_a_configuration_and_are_checked(world) -> None:
    config = with_settings(SmootherConfig(shrinkage=2.0), {"power": 1.5, "profiles": {"steps": 2}})
    assert (config.power, config.shrinkage, config.profiles.steps, config.profiles.restart) == (1.5, 2.0, 2, 0.3)
    with pytest.raises(ConfigError, match="has no setting 'powr'"):
        with_settings(SmootherConfig(), {"powr": 1.5}, where="tune.space.smoother")


def test_validation_perturbations_are_cut_from_training_ones(world) -> None:
    train = world.labels().of_split("train")
    table = with_validation(train, 0.25, seed=3)
    assert (table.split == "val").sum() == 7
    assert set(table.split) == {"train", "val"}
    assert (train.split == "train").all()
    with pytest.raises(DataError, match="28 training perturbations are too few"):
        with_validation(train, 0.001, seed=3)


def test_the_choice_knows_nothing_of_the_test_labels(world) -> None:
    trials = [{"k": 1}, {"k": 3}, {"k": 20}, {"k": 40}]
    found = []
    for test_label in (None, 0, 1):
        train = world.labels(test_label=test_label).of_split("train")
        tuning = Tuning(trials, 0.3, 0)
        found.append(choose_settings(MODELS.get("knn"), KnnConfig(), tuning, train, world.graph(), seed=0))
    assert found[0][0] == found[1][0] == found[2][0]
    scores = [[trial["per_gene_auroc"] for trial in record["tuning"]["trials"]] for _, record in found]
    assert scores[0] == scores[1] == scores[2]
    assert len(set(scores[0])) > 1
    chosen = found[0][1]["tuning"]["chosen"]
    assert chosen == trials[int(np.argmax(scores[0]))] == {"k": found[0][0].k}


def test_validation_without_both_labels_is_refused(world) -> None:
    train = world.labels().of_split("train")
    train.values[:] = 1
    with pytest.raises(DataError, match="no validation gene has both labels"):
        choose_settings(
            MODELS.get("knn"), KnnConfig(), Tuning([{"k": 1}, {"k": 2}], 0.3, 0), train, world.graph(), seed=0
        )
