"""A trained transition model over an edited graph, and what explains its predictions."""

import numpy as np
import pytest

from gnnvcell.errors import ModelError
from gnnvcell.graphs.deleting import without_edges
from gnnvcell.models.effect_prior import EffectPrior
from gnnvcell.screens.explain import ExplainConfig, explain

from .conftest import GENES

NAMES = ["P1", "P5", "P2+P1"]


@pytest.fixture(scope="module")
def model(make, cells):
    return make(encoders=("graph", "field"), field_model="knn").fit(cells)


def test_the_same_graph_gives_the_same_prediction(model, graph):
    again = model.with_graph(without_edges(graph, {}))
    np.testing.assert_allclose(again.predict(NAMES).values, model.predict(NAMES).values, atol=1e-6)


def test_deleted_edges_change_the_prediction_and_not_the_model(model, graph):
    before = model.predict(NAMES).values
    bare = model.with_graph(without_edges(graph, dict.fromkeys(graph.relations))).predict(NAMES)
    assert np.abs(bare.values - before).max() > 1e-5
    np.testing.assert_array_equal(model.predict(NAMES).values, before)


def test_a_model_of_all_encoders_and_a_fallback_without_graph(fitted, graph):
    bare = fitted.with_graph(without_edges(graph, dict.fromkeys(graph.relations)))
    assert np.abs(bare.predict(NAMES).values - fitted.predict(NAMES).values).max() > 1e-6


def test_its_prediction_is_explained(model, graph):
    gene = next(gene for gene in GENES if graph.vocab.lookup([gene])[0] >= 0)
    found = explain(model, "P1", gene, config=ExplainConfig(hops=2, beam=2, tested=4, draws=2, shapley_sources=0))
    assert found.paths.path[0].startswith("P1 > ")
    assert found.evidence is None


def test_a_prior_whose_models_read_one_graph_only(model, graph, cells):
    parts = model._predictor.parts
    prior = EffectPrior("ridge", parts.effects, graph)
    with pytest.raises(ModelError, match="ridge cannot read another graph"):
        prior.with_graph(without_edges(graph, {})).effects(["P1"])
