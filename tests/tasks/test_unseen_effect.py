from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.errors import DataError
from gnnvcell.graphs.build import build
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.models import Propagation
from gnnvcell.tasks import UnseenEffect

GENES = ["A", "B", "C", "X", "Y", "Z"]
NAMES = ["A", "B", "C", "X+Y"]


def make_task(**options) -> tuple[UnseenEffect, np.ndarray]:
    values = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    measured = np.ones((4, 6), bool)
    measured[2, 4] = False
    table = EffectTable(
        values, measured, NAMES, GENES, kind=options.pop("kind", "delta"), split=["train", "train", "test", "test"]
    )
    return UnseenEffect(table, **options), values


def prediction(values, perturbations=("C", "X+Y"), genes=tuple(GENES)) -> Any:
    values = np.asarray(values, dtype=np.float32)
    return SimpleNamespace(
        values=values,
        perturbations=np.array(perturbations),
        genes=np.array(genes),
        support=np.arange(len(values), dtype=np.float32),
    )


def test_the_truth_scores_best_whatever_it_says_of_targets_and_holes() -> None:
    task, values = make_task()
    guess = values[2:].copy()
    guess[0, [2, 4]] = 99  # own target, and a gene that was not measured
    guess[1, [3, 4]] = -99  # own targets
    scores = task.evaluate(prediction(guess))
    for name in ("pearson_delta", "centred_pearson_delta", "pds_cosine", "pds_l1", "normalised_retrieval"):
        assert scores.metrics[name] == pytest.approx(1.0), name
    assert scores.metrics["mse_delta"] == pytest.approx(0.0)
    assert scores.metrics["amplitude_ratio"] == pytest.approx(1.0)
    wanted = [np.linalg.norm(values[2, [0, 1, 3, 5]]), np.linalg.norm(values[3, [0, 1, 2, 5]])]
    np.testing.assert_allclose(scores.per_perturbation["effect_size"], wanted, rtol=1e-6)
    assert scores.per_perturbation["support"].tolist() == [0.0, 1.0]


def test_scores_follow_names_and_not_positions() -> None:
    task, values = make_task()
    turned = prediction(values[[3, 2]][:, ::-1], ("X+Y", "C"), tuple(GENES[::-1]))
    assert task.evaluate(turned).metrics["pearson_delta"] == pytest.approx(1.0)


def test_the_centre_is_the_mean_of_the_training_rows_alone() -> None:
    task, values = make_task()
    mean = values[:2].mean(axis=0)
    beyond = np.stack([mean + 0.1 * (row - mean) for row in values[2:]])
    scores = task.evaluate(prediction(beyond))
    assert scores.metrics["centred_pearson_delta"] == pytest.approx(1.0)
    assert scores.metrics["pearson_delta"] < 0.999


def test_a_graph_model_beats_the_mean_and_its_random_copy_on_the_planted_world(tmp_path: Path) -> None:
    world = simulate(SimulatorConfig(genes=160, modules=8, targets=80, cells_per_target=25, control_cells=300))
    world.write(tmp_path / "world", cells=False)
    graph = build(tmp_path / "world" / "recipe.toml", progress=False)
    task = UnseenEffect(world.effects("delta"))
    train = task.inputs().train
    scores = {}
    for name, used in (("real", graph), ("rewired", CONTROLS.get("rewired")(graph, seed=0))):
        model = Propagation().fit(train, used, seed=0)
        scores[name] = task.evaluate(model.predict(task.inputs().perturbations)).metrics
    names = task.inputs().perturbations
    mean = np.tile(train.values.mean(axis=0), (len(names), 1))
    flat = task.evaluate(prediction(mean, names, train.genes)).metrics
    for metric in ("pearson_delta", "pds_cosine", "normalised_retrieval"):
        assert scores["real"][metric] > scores["rewired"][metric] + 0.02, metric
        assert scores["real"][metric] > flat[metric] + 0.02, metric


def test_bad_input_is_refused() -> None:
    labels = EffectTable([[1.0]], [[True]], ["A"], ["X"], kind="de")
    with pytest.raises(DataError, match="scores deltas"):
        UnseenEffect(labels)
    task, values = make_task()
    with pytest.raises(DataError, match="lacks 1 of 2 perturbations"):
        task.evaluate(prediction(values[2:3], ("C",)))
    broken = values[2:].copy()
    broken[0, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        task.evaluate(prediction(broken))
    with pytest.raises(DataError, match="both learned from and held out"):
        make_task(held_out="train")


@pytest.mark.parametrize("twin", ["Y+X", "X + Y", "X+Y|KO", "Y+X|CRISPRi@80%"])
def test_another_spelling_of_a_held_out_combination_is_no_training(twin) -> None:
    table = EffectTable(
        np.ones((2, 6)), np.ones((2, 6), bool), [twin, "X+Y"], GENES, kind="delta", split=["train", "test"]
    )
    with pytest.raises(DataError, match=r"1 perturbations are both learned from and held out(.|\n)*X\+Y"):
        UnseenEffect(table)
