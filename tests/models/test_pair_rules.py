"""PairRules: rules of combination, borrowed from measured pairs of neighbouring targets."""

import numpy as np
import pytest

from gnnvcell.data.effects import EffectTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import MODELS
from gnnvcell.models.baselines import PairRules, PairRulesConfig

TARGETS = [f"T{at:02d}" for at in range(24)]
GENES = [f"R{at}" for at in range(40)]
MODULE = np.arange(24) % 4
# Modules 0 and 1 act together in synergy, 2 and 3 as the larger of both, all others add.
KINDS = {(0, 1): "synergy", (2, 3): "larger"}


def graph_of(shuffle: bool = False) -> GeneGraph:
    names = np.array([*TARGETS, *GENES])
    order = np.random.default_rng(5).permutation(24) if shuffle else np.arange(24)
    pairs = np.array([(order[a], order[b]) for a in range(24) for b in range(a + 1, 24) if MODULE[a] == MODULE[b]])
    weight = np.ones(len(pairs), np.float32)
    edges = EdgeTable(("gene", "string", "gene"), pairs[:, 0], pairs[:, 1], weight, names, names, directed=False)
    return GeneGraph.from_tables([edges], GeneVocab.from_symbols(names.tolist(), renamings=False))


def together(a: np.ndarray, b: np.ndarray, kind: str) -> np.ndarray:
    return {"synergy": 1.5 * (a + b), "larger": np.where(abs(a) >= abs(b), a, b)}.get(kind, a + b)


def effects(noise: float = 0.0) -> tuple[EffectTable, list[tuple[int, int]]]:
    rng = np.random.default_rng(0)
    singles = rng.normal(size=(24, len(GENES)))
    pairs = [(a, b) for a in range(24) for b in range(a + 1, 24) if MODULE[a] != MODULE[b]]
    doubles = [together(singles[a], singles[b], kind_of(a, b)) for a, b in pairs]
    values = np.concatenate([singles, doubles])
    values = values + noise * rng.normal(size=values.shape)
    names = [*TARGETS, *(f"{TARGETS[a]}+{TARGETS[b]}" for a, b in pairs)]
    return EffectTable(values, np.ones(values.shape, bool), names, GENES, kind="delta"), pairs


def kind_of(a: int, b: int) -> str:
    return KINDS.get((min(MODULE[a], MODULE[b]), max(MODULE[a], MODULE[b])), "additive")


def held_out(table: EffectTable) -> np.ndarray:
    double = np.array(["+" in str(name) for name in table.perturbations])
    return double & (np.random.default_rng(1).random(len(double)) < 0.3)


def error(model: str, graph: GeneGraph, noise: float = 0.1) -> float:
    table, _ = effects(noise)
    held = held_out(table)
    fitted = MODELS.get(model)().fit(table.take(~held), graph)
    truth = effects()[0].take(held)
    return float(((fitted.predict(truth.perturbations).values - truth.values) ** 2).mean())


def test_one_rule_by_hand() -> None:
    """All measured pairs do 1.5 times their sum: so does a pair that was not measured."""
    a, b, c = np.eye(40)[:3] * 2
    table = EffectTable(
        np.stack([a, b, c, 1.5 * (a + b), 1.5 * (a + c)]),
        np.ones((5, 40), bool),
        ["T00", "T04", "T08", "T00+T04", "T00+T08"],
        GENES,
        kind="delta",
    )
    model = PairRules(PairRulesConfig(power=1.0)).fit(table, graph_of())
    found = model.predict(["T04+T08", "T00"]).values
    # Sum and larger are the same where parts do not overlap, so that they share the weight of 1.5.
    assert found[0] == pytest.approx(1.5 * (b + c), abs=1e-3)
    assert found[1] == pytest.approx(a)


def test_without_measured_pairs_effects_add() -> None:
    table, _ = effects()
    model = PairRules().fit(table.take(np.arange(24)), graph_of())
    values = table.values
    assert model.predict(["T00+T01+T02"]).values[0] == pytest.approx(values[:3].sum(axis=0), abs=1e-4)


def test_rules_of_neighbours_beat_the_sum_and_the_graph_is_what_tells_neighbours() -> None:
    real, shuffled = error("pair_rules", graph_of()), error("pair_rules", graph_of(shuffle=True))
    additive = error("additive", graph_of())
    assert real < 0.3 * additive
    assert real < 0.5 * shuffled


def test_the_power_is_chosen_on_pairs_of_training() -> None:
    table, _ = effects(0.1)
    model = PairRules().fit(table, graph_of())
    assert model.power > 1
    assert PairRules(PairRulesConfig(power=3.0)).fit(table, graph_of()).power == 3


def test_a_target_that_nothing_is_known_of_has_no_support() -> None:
    table, _ = effects()
    support = PairRules().fit(table, graph_of()).predict(["T00+T01", "T00+NOBODY"]).support
    assert support[0] > 1
    assert support[1] == 0
