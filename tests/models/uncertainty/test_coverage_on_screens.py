"""On simulated screens, intervals of level .9 hold .9 of the true effects of perturbations that were never seen."""

import numpy as np
import pytest

from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.graphs import build
from gnnvcell.models import MODELS, Ensemble, EnsembleConfig, calibrate, cross_calibrate
from gnnvcell.tasks.uncertainty import StatedUncertainty, score_uncertainty

WORLD = {"genes": 120, "modules": 6, "targets": 100, "control_cells": 300, "cells_per_target": 12, "test_share": 0.4}
SEEDS = range(3)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Graph, training and test effects of a few worlds."""
    made = []
    for seed in SEEDS:
        world, folder = simulate(SimulatorConfig.parse({**WORLD, "seed": seed})), tmp_path_factory.mktemp("w") / "w"
        world.write(folder, cells=False, truth=False)
        table = world.effects("delta")
        graph = build(folder / "recipe.toml", source_dir=folder, progress=False)
        made.append((graph, table.of_split("train"), table.of_split("test")))
    return made


def coverage(model, test, level: float = 0.9) -> float:
    found = model.intervals(test.perturbations, level)
    stated = StatedUncertainty(lower=found.lower, upper=found.upper, level=level)
    own = model.predict(test.perturbations).values
    return score_uncertainty(own, test.values, test.measured, stated, test.perturbations).metrics["coverage"]


@pytest.mark.parametrize("name", ["gene_mean", "knn", "ridge"])
def test_by_leaving_folds_out(worlds, name: str) -> None:
    found = [coverage(cross_calibrate(MODELS.get(name), train, graph), test) for graph, train, test in worlds]
    assert np.mean(found) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_by_validation_perturbations(worlds, level: float) -> None:
    found = []
    for graph, train, test in worlds:
        held_out = np.arange(len(train.perturbations)) % 3 == 0  # 20 of 60
        model = MODELS.get("knn")().fit(train.take(~held_out), graph)
        found.append(coverage(calibrate(model, train.take(held_out)), test, level))
    assert np.mean(found) == pytest.approx(level, abs=0.04)


def test_of_an_ensemble(worlds) -> None:
    def make() -> Ensemble:
        return Ensemble(EnsembleConfig(model="knn", members=4))

    found = [coverage(cross_calibrate(make, train, graph), test) for graph, train, test in worlds]
    assert np.mean(found) == pytest.approx(0.9, abs=0.03)
