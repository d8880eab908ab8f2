"""Proofs that graph models use the graph (DESIGN, convention 9)."""

import numpy as np
import pytest

from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.metrics.labels import per_gene_auroc

GRAPH_MODELS = ["smoother", "propagation", "source_propagation"]


def scored(model, data, graph):
    values = model.fit(data.train, graph, seed=0).predict(data.test.perturbations).values
    return np.nanmean(per_gene_auroc(values, data.test.values, data.test.measured)), values


@pytest.fixture(scope="module")
def score(make_model):
    return lambda name, data, graph: scored(make_model(name), data, graph)


@pytest.fixture(scope="module")
def real(planted_de, score):
    return {name: score(name, planted_de, planted_de.graph) for name in GRAPH_MODELS}


@pytest.mark.parametrize("name", GRAPH_MODELS)
class TestGraphIsUsed:
    def test_real_graph_beats_degree_matched_and_permuted(self, real, score, planted_de, name):
        rewired = np.mean(
            [score(name, planted_de, CONTROLS.get("rewired")(planted_de.graph, seed=s))[0] for s in (0, 1)]
        )
        permuted = np.mean(
            [score(name, planted_de, CONTROLS.get("permuted")(planted_de.graph, seed=s))[0] for s in (0, 1)]
        )
        assert real[name][0] > 0.7
        assert real[name][0] - rewired > 0.12
        assert abs(permuted - 0.5) < 0.1

    def test_every_relation_changes_the_prediction(self, real, score, planted_de, name):
        for relation in planted_de.graph.relations:
            others = [r for r in planted_de.graph.relations if r != relation]
            values = score(name, planted_de, planted_de.graph.select(others))[1]
            assert np.abs(values - real[name][1]).max() > 1e-3

    @pytest.mark.parametrize("relation", ["string", "annotated_bp"])
    def test_one_edge_changes_the_prediction(self, real, score, planted_de, name, relation):
        table = planted_de.graph.table(relation)
        fewer = planted_de.graph.with_edges({relation: table.take(np.arange(1, len(table.src)))})
        assert (score(name, planted_de, fewer)[1] != real[name][1]).any()

    def test_without_edges_only_the_mean_is_left(self, score, planted_de, name):
        _, values = score(name, planted_de, CONTROLS.get("empty")(planted_de.graph, seed=0))
        np.testing.assert_allclose(values, np.broadcast_to(values[:1], values.shape), atol=1e-6)
