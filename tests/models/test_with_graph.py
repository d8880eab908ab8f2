"""Fitted models on edited graphs, and the outcomes that predictions are made of."""

import numpy as np
import pytest
import torch

from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.graphs.build import build
from gnnvcell.graphs.deleting import same_edges, without_edges
from gnnvcell.models import (
    Knn,
    Propagation,
    PropagationConfig,
    ReadoutConfig,
    Smoother,
    SourcePropagation,
    SourcePropagationConfig,
)
from gnnvcell.models._label_propagation import LabelPropagation

QUICK = PropagationConfig(readout=ReadoutConfig(epochs=2, hidden=4))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = simulate(SimulatorConfig(genes=80, modules=4, targets=40, control_cells=80, cells_per_target=10))
    folder = world.write(tmp_path_factory.mktemp("world") / "w")
    return world.effects("delta"), build(folder / "recipe.toml", progress=False)


MODELS = {
    "knn": lambda: Knn(),
    "smoother": lambda: Smoother(),
    "propagation": lambda: Propagation(),
    "source_propagation": lambda: SourcePropagation(SourcePropagationConfig(dim=8, epochs=5)),
}


def test_edges_are_deleted_by_pair(world):
    _, graph = world
    src, dst, weight, _ = graph.edges("string")
    cut = without_edges(graph, {"string": (src[:1], dst[:1])})
    assert cut.num_edges("string") == graph.num_edges("string") - 1
    before, after = graph.adjacency("string").toarray(), cut.adjacency("string").toarray()
    before[src[0], dst[0]] = before[dst[0], src[0]] = 0
    np.testing.assert_array_equal(before, after)
    assert not same_edges(graph, cut, "string")
    assert all(same_edges(graph, cut, name) for name in graph.relations if name != "string")
    turned = without_edges(graph, {"string": (dst[:1], src[:1])})
    assert turned.digest == cut.digest
    assert len(weight) == 2 * graph.num_edges("string")


def test_bipartite_edges_go_with_their_reverse_and_whole_relations_stay_empty(world):
    _, graph = world
    src, dst, _, _ = graph.edges("member_of")
    cut = without_edges(graph, {"member_of": (src[:2], dst[:2]), "string": None})
    assert cut.num_edges("member_of") == len(src) - 2
    assert cut.graph.num_edges("rev_member_of") == len(src) - 2
    assert cut.num_edges("string") == 0
    assert cut.relations == graph.relations
    members, links = graph.table("member_of"), graph.table("string")
    left = {"member_of": members.take(np.arange(2, len(src))), "string": links.take(np.arange(0))}
    assert cut.digest == graph.with_edges(left).digest


def test_edges_outside_the_graph_are_refused(world):
    _, graph = world
    with pytest.raises(ConfigError, match="no relation 'strings'"):
        without_edges(graph, {"strings": None})
    with pytest.raises(ConfigError, match="is outside its 82 nodes of 'gene'"):
        without_edges(graph, {"string": (np.array([82]), np.array([0]))})


@pytest.mark.parametrize("name", MODELS)
def test_the_same_graph_gives_the_same_prediction(world, name):
    table, graph = world
    model = MODELS[name]().fit(table.of_split("train"), graph)
    names = table.of_split("test").perturbations
    again = model.with_graph(without_edges(graph, {}))
    np.testing.assert_allclose(again.predict(names).values, model.predict(names).values, atol=1e-6)
    assert again.graph is not graph
    assert model.graph.digest == graph.digest


@pytest.mark.parametrize("name", MODELS)
def test_an_edge_at_the_target_changes_its_prediction_and_not_the_model(world, name):
    table, graph = world
    model = MODELS[name]().fit(table.of_split("train"), graph)
    names = table.of_split("test").perturbations
    before = model.predict(names).values
    cut = without_edges(graph, dict.fromkeys(graph.relations))
    bare = model.with_graph(cut).predict(names)
    assert np.abs(bare.values - before).max() > 1e-4
    assert (bare.support == 0).all()
    np.testing.assert_array_equal(model.predict(names).values, before)


@pytest.mark.parametrize("name", ["knn", "smoother"])
def test_a_refit_gives_what_the_edited_graph_gives(world, name):
    """What these two models take from the graph is made again; of the smoother all but its shrinkage."""
    table, graph = world
    train, names = table.of_split("train"), table.of_split("test").perturbations
    src, dst, _, _ = graph.edges("string")
    cut = without_edges(graph, {"string": (src[::3], dst[::3])})
    model = MODELS[name]().fit(train, graph)
    edited, refitted = model.with_graph(cut), MODELS[name]().fit(train, cut)
    if name == "smoother":
        refitted._halfway = model._halfway
    np.testing.assert_allclose(edited.predict(names).values, refitted.predict(names).values, atol=1e-5)


@pytest.mark.parametrize("name", ["knn", "smoother", "propagation"])
def test_evidence_adds_up(world, name):
    table, graph = world
    model = MODELS[name]().fit(table.of_split("train"), graph)
    target, gene = str(table.of_split("test").perturbations[0]), str(table.genes[3])
    found = model.evidence(target, gene)
    predicted = model.predict([target]).values[0, 3]
    assert found.additive
    assert found.baseline + found.contribution.sum() == pytest.approx(predicted, abs=1e-5)
    assert (np.diff(np.abs(found.contribution)) <= 1e-9).all()


def test_evidence_of_labels_is_what_goes_without_it(planted_de):
    train = planted_de.train
    model = Propagation(QUICK).fit(train, planted_de.graph)
    target, gene = str(planted_de.test.perturbations[0]), str(train.genes[3])
    found = model.evidence(target, gene)
    assert not found.additive
    assert found.weight.sum() == pytest.approx(1, abs=1e-5)
    # By hand: the similarity of the first one set to 0.
    fitted = model._fitted
    assert isinstance(fitted, LabelPropagation)
    deaf = fitted.profiles.between(np.array([target]), fitted.among)
    deaf[:, :, train.perturbations.tolist().index(found.perturbations[0])] = 0
    less = fitted.scores(torch.from_numpy(deaf), np.array([target]), model._context(None))[0, 3]
    whole = model.predict([target]).values[0, 3]
    assert found.contribution[0] == pytest.approx(whole - float(less), abs=1e-6)


@pytest.mark.parametrize("name", ["knn", "smoother", "propagation"])
def test_evidence_of_a_gene_that_is_not_predicted(world, name):
    table, graph = world
    model = MODELS[name]().fit(table, graph)
    with pytest.raises(ModelError, match="does not predict the gene 'ACTB'"):
        model.evidence(str(table.perturbations[0]), "ACTB")
