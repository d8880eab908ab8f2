"""Explanations: what a deletion takes away, paths, sources, fidelity, and what cannot be explained."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.effects import EffectTable
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.errors import ConfigError, GeneError, ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.graphs.build import build
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.models import Knn, KnnConfig, NoChange, Propagation, PropagationConfig, ReadoutConfig, Smoother
from gnnvcell.screens.explain import ExplainConfig, explain
from gnnvcell.screens.hops import HopGraph
from gnnvcell.screens.paths import Corridor, matched_hops

GENES = ["T", "A", "B", "C", "D", "G", "FAR"]


def edges(relation: str, pairs: list[tuple[str, str, float]]) -> EdgeTable:
    src, dst = (np.array([GENES.index(str(pair[side])) for pair in pairs]) for side in (0, 1))
    weight, names = np.array([pair[2] for pair in pairs], dtype=np.float32), np.array(GENES)
    return EdgeTable(("gene", relation, "gene"), src, dst, weight, names, names, directed=False)


@pytest.fixture
def small() -> tuple[EffectTable, GeneGraph]:
    """T is linked to A (strong) and B; C hangs on B; FAR on nothing. Only A moves G."""
    graph = GeneGraph.from_tables(
        [edges("one", [("T", "A", 1.0), ("T", "B", 0.5), ("B", "C", 1.0)]), edges("two", [("T", "A", 1.0)])],
        GeneVocab.from_symbols(GENES),
    )
    values = np.zeros((3, 2), dtype=np.float32)
    values[0, 0] = 3.0
    return EffectTable(values, np.ones((3, 2), dtype=bool), ["A", "B", "C"], ["G", "D"], kind="delta"), graph


def test_by_hand(small):
    """kNN: s(T, A) = 1 in both relations, s(T, B) = 0.5 in one; y = m + sum s r / (sum s + 1)."""
    table, graph = small
    model = Knn(KnnConfig(prior_count=1.0)).fit(table, graph)
    found = explain(model, "T", "G", config=ExplainConfig(hops=1, draws=3))
    m = float(model._mean[0])
    with_both = m + (1.0 * (3 - m) + 0.25 * (0 - m)) / (1.25 + 1)
    without_a = m + 0.25 * (0 - m) / (0.25 + 1)
    assert found.predicted == pytest.approx(with_both, abs=1e-5)
    assert found.bare == pytest.approx(m, abs=1e-5)
    # T > A alone pulls upwards, T > B pulls to 0 and is no path of a rise.
    assert found.paths.path.tolist() == ["T > A"]
    assert found.paths.relations.tolist() == ["one|two"]
    assert found.paths.effect[0] == pytest.approx(with_both - without_a, abs=1e-5)
    assert found.paths.end.tolist() == ["measured neighbour"]
    assert found.evidence is not None
    assert found.evidence.perturbation.tolist() == ["A", "B"]
    assert found.evidence.contribution.sum() + m == pytest.approx(with_both, abs=1e-5)
    # Without relation two: s(T, A) = 0.5.
    one = m + (0.5 * (3 - m) + 0.25 * (0 - m)) / (0.75 + 1)
    two = m + 0.5 * (3 - m) / (0.5 + 1)
    sources = found.sources.set_index("source")
    assert sources.leave_one_out["two"] == pytest.approx(with_both - one, abs=1e-5)
    assert sources.shapley["one"] == pytest.approx(((one - m) + (with_both - two)) / 2, abs=1e-5)
    assert sources.shapley.sum() == pytest.approx(found.predicted - found.bare, abs=1e-5)


def test_an_explanation_is_saved(small, tmp_path):
    table, graph = small
    found = explain(Knn().fit(table, graph), "T", "G", config=ExplainConfig(hops=2))
    folder = found.save(tmp_path / "out")
    assert pd.read_csv(folder / "table.csv").path.tolist() == found.paths.path.tolist()
    read = nx.read_graphml(folder / "explanation.graphml")
    assert read.nodes["T"]["role"] == "target"
    assert read.edges["T", "A"]["effect"] == pytest.approx(found.hops.effect[0])
    assert read.edges["A", "G"]["kind"] == "outcome"
    assert {"hops.csv", "sources.csv", "evidence.csv", "provenance.json"} <= {path.name for path in folder.iterdir()}


def test_many_sources_get_no_shapley_values(small):
    table, graph = small
    found = explain(Knn().fit(table, graph), "T", "G", config=ExplainConfig(shapley_sources=1))
    assert found.sources.shapley.isna().all()


def test_matched_hops_are_others_at_the_same_distance(small):
    _, graph = small
    hops = HopGraph(graph, max_term_genes=10)
    corridor = Corridor.of(hops, [0], [1, 2, 3], 2)
    drawn = matched_hops(hops, corridor, [(0, 1)], rng=np.random.default_rng(0))
    assert drawn == [(0, 2)]
    assert matched_hops(hops, corridor, [(0, 1), (0, 2), (2, 3)], rng=np.random.default_rng(0)) is None


def test_what_cannot_be_explained(small):
    table, graph = small
    model = Knn().fit(table, graph)
    with pytest.raises(ModelError, match="does not predict the gene 'A'"):
        explain(model, "T", "A")
    with pytest.raises(GeneError, match="the gene 'GX' is not in the graph"):
        explain(model, "T", "GX")
    with pytest.raises(GeneError, match="no target of 'NOWHERE' is in the graph"):
        explain(model, "NOWHERE", "G")
    with pytest.raises(ConfigError, match="there is no perturbation to explain"):
        explain(model, " ", "G")
    with pytest.raises(ConfigError, match="within 2 hops of FAR are neither G nor"):
        explain(model, "FAR", "G")
    with pytest.raises(ModelError, match="NoChange has no graph whose edges could be deleted"):
        explain(NoChange().fit(table, graph), "T", "G")  # type: ignore[arg-type]
    still = EffectTable(np.ones((2, 1)), np.ones((2, 1), dtype=bool), ["A", "B"], ["G"], kind="delta")
    with pytest.raises(ModelError, match="no path of at most 2 hops carries"):
        explain(Knn().fit(still, graph), "T", "G")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = simulate(SimulatorConfig(genes=100, modules=4, targets=60, control_cells=150, cells_per_target=12, seed=1))
    folder = world.write(tmp_path_factory.mktemp("world") / "w")
    return world, build(folder / "recipe.toml", progress=False)


def test_paths_run_over_true_edges_more_than_matched_ones(tmp_path):
    """Fast version of ``benchmarks/screens/explanations.py``: links on paths of kNN against matched links, 3 worlds."""
    gains = []
    for seed in range(3):
        made = simulate(SimulatorConfig(genes=200, modules=7, targets=100, cells_per_target=12, seed=seed))
        graph = build(made.write(tmp_path / str(seed)) / "recipe.toml", progress=False).select(["string", "scgpt"])
        table, rng = made.effects("delta"), np.random.default_rng(seed)
        model = Knn().fit(table.of_split("train"), graph)
        wiring = made.truth.wiring
        true = {
            frozenset(pair)
            for pair in zip(*(wiring.genes[ends].tolist() for ends in wiring.regulation.nonzero()), strict=True)
        }
        hops, symbols = HopGraph(graph, max_term_genes=100), graph.vocab.symbols
        rows = graph.vocab.lookup(sorted(model.training_perturbations))
        own, other = [], []
        for target in table.of_split("test").perturbations[:10].tolist():
            moved = np.where(table.genes == target, 0, np.abs(model.predict([target]).values[0] - model._mean))
            gene = str(table.genes[np.argmax(moved)])
            try:
                found = explain(model, target, gene, config=ExplainConfig(draws=1, tested=20, shapley_sources=0))
            except (ConfigError, ModelError):  # no measured neighbour
                continue
            place = {str(name): at for at, name in enumerate(symbols)}
            ends = zip(found.hops["from"].tolist(), found.hops["to"].tolist(), strict=True)
            links = [(min(place[a], place[b]), max(place[a], place[b])) for a, b in ends]
            corridor = Corridor.of(hops, [place[target]], [*rows[rows >= 0].tolist(), place[gene]], 2)
            drawn = [hop for _ in range(5) for hop in matched_hops(hops, corridor, links, rng=rng) or []]
            own += [frozenset(symbols[list(link)].tolist()) in true for link in links]
            other += [frozenset(symbols[list(link)].tolist()) in true for link in drawn]
        assert len(own) >= 10
        gains.append(np.mean(own) - np.mean(other))
    assert np.mean(gains) > 0.05, gains


QUICK = PropagationConfig(readout=ReadoutConfig(epochs=2, hidden=4))


@pytest.mark.parametrize("make", [Knn, Smoother, lambda: Propagation(QUICK)], ids=["knn", "smoother", "propagation"])
def test_paths_carry_more_than_matched_random_hops(world, make):
    made, graph = world
    table = made.effects("delta")
    model = make().fit(table.of_split("train"), graph)
    target = str(table.of_split("test").perturbations[0])
    moved = model.predict([target]).values[0]
    gene = str(table.genes[np.argmax(np.where(table.genes == target, 0, np.abs(moved)))])
    found = explain(model, target, gene, config=ExplainConfig(hops=2, paths=4, beam=3, tested=10, draws=8))
    direction = np.sign(found.predicted - found.bare)
    assert (direction * found.paths.carried > 0).all()
    assert direction * found.fidelity["effect"] > direction * found.fidelity["random_mean"]
    assert found.sources.shapley.notna().all()
