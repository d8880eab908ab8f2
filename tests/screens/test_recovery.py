"""On a planted world a target screen finds held-out knock-downs by the graph, and not by a permuted one."""

import numpy as np
import pytest

import gnnvcell.graphs
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.metrics import retrieval_chance, retrieve
from gnnvcell.models import MODELS
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.target import TargetConfig, target_screen

TARGETS = 120


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Effects of 120 knock-downs, the graph of the databases, and which held-out ones have two mates in training."""
    config = SimulatorConfig(
        genes=240, modules=8, targets=TARGETS, null_targets=0.0, control_cells=400, cells_per_target=25
    )
    made = simulate(config)
    folder = made.write(tmp_path_factory.mktemp("world") / "w", cells=False, truth=False)
    effects, wiring = made.effects("delta"), made.truth.wiring
    place = {str(gene): at for at, gene in enumerate(wiring.genes)}
    of = {name: int(wiring.complex[place[name]]) for name in effects.perturbations.tolist()}
    trained = [of[name] for name in effects.of_split("train").perturbations.tolist()]
    held = effects.of_split("test").perturbations.tolist()
    learned = [name for name in held if of[name] >= 0 and trained.count(of[name]) >= 2]
    return effects, gnnvcell.graphs.build(folder / "recipe.toml"), learned


def test_the_true_perturbation_is_among_the_first_on_the_real_graph_only(world) -> None:
    effects, graph, learned = world
    train, gallery = effects.of_split("train"), effects.perturbations.tolist()
    hits = {}
    for control in ("real", "permuted"):
        used = graph if control == "real" else CONTROLS.get(control)(graph, seed=1)
        model = MODELS.get("knn")().fit(train, used)
        config = TargetConfig(centred=True, support_above=-1, batch=TARGETS)
        tables = [target_screen(model, Goal.of_effect(effects, name), gallery, config=config).table for name in learned]
        ranks = [
            int(table["rank"].to_numpy()[table["perturbation"] == name][0])
            for name, table in zip(learned, tables, strict=True)
        ]
        hits[control] = np.mean(np.array(ranks) <= 5)
    assert len(learned) >= 8
    assert hits["real"] >= 0.6
    assert hits["permuted"] <= retrieval_chance(TARGETS, (5,))["hits_at_5"] + 0.2


def test_a_screen_ranks_as_the_metric_of_retrieval_does(world) -> None:
    effects, graph, learned = world
    gallery = effects.perturbations
    prediction = MODELS.get("knn")().fit(effects.of_split("train"), graph).predict(gallery)
    model = MODELS.get("knn")().fit(effects.of_split("train"), graph)
    name = learned[0]
    row = np.flatnonzero(gallery == name)
    found = retrieve(
        effects.values[row], [name], prediction.values, gallery, effects.genes, measured=effects.measured[row]
    )
    table = target_screen(
        model, Goal.of_effect(effects, name), gallery.tolist(), config=TargetConfig(support_above=-1)
    ).table
    assert found.rank.item() == table["rank"].to_numpy()[table["perturbation"] == name][0]
