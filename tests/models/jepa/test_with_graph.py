"""A trained JEPA over an edited graph."""

import numpy as np

from gnnvcell.graphs.deleting import without_edges

NAMES = ["G1", "G5", "G2+G1"]


def test_deleted_edges_change_the_prediction_and_not_the_model(new, cells, graph):
    model = new("graph").fit(cells)
    before = model.predict(NAMES).values
    same = model.with_graph(without_edges(graph, {})).predict(NAMES).values
    np.testing.assert_allclose(same, before, atol=1e-6)
    bare = model.with_graph(without_edges(graph, dict.fromkeys(graph.relations))).predict(NAMES).values
    assert np.abs(bare - before).max() > 1e-6
    np.testing.assert_array_equal(model.predict(NAMES).values, before)
