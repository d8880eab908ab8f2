import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.smoother import Smoother, SmootherConfig


def graph_of(genes, pairs):
    names = np.array(genes)
    src, dst = (np.array(side) for side in zip(*pairs, strict=True))
    table = EdgeTable(("gene", "string", "gene"), src, dst, np.ones(len(src), np.float32), names, names, directed=False)
    return GeneGraph.from_tables([table], GeneVocab.from_symbols(genes, renamings=False))


def test_by_hand():
    # A - B and C - D linked. One step, restart .5, no hub discount: pi_A = (.5, .5), so cos(A, B) = 1, cos(A, C) = 0.
    graph = graph_of(["A", "B", "C", "D"], [(0, 1), (2, 3)])
    train = EffectTable([[1.0], [0.0]], [[True], [True]], ["A", "C"], ["X"], kind="de")
    config = SmootherConfig.parse(
        {"power": 2.0, "readout_weight": 0.0, "profiles": {"steps": 1, "restart": 0.5, "hub_exponent": 0.0}}
    )
    prediction = Smoother(config).fit(train, graph).predict(["B", "D", "B+D", "Z"])
    # Mean (1 + 0 + 3 * .5) / 5 = .5. No two training perturbations are near each other: half-way evidence is 1.
    np.testing.assert_allclose(prediction.values[:2, 0], [0.5 + 0.5 / 2, 0.5 - 0.5 / 2], rtol=1e-3)
    np.testing.assert_allclose(prediction.values[2:, 0], [0.5, 0.5], rtol=1e-3)
    assert prediction.support.tolist() == [1, 1, 2, 0]


def test_messages_between_readout_genes():
    # X and Y are linked, so what was measured of X speaks for Y.
    graph = graph_of(["A", "B", "X", "Y"], [(0, 1), (2, 3)])
    train = EffectTable([[1, 0], [0, 0]], [[True, False], [False, True]], ["A", "Z"], ["X", "Y"], kind="de")
    alone = Smoother(SmootherConfig(readout_weight=0.0)).fit(train, graph).predict(["B", "Z"]).values
    together = Smoother(SmootherConfig(readout_weight=1.0)).fit(train, graph).predict(["B", "Z"]).values
    assert alone[0, 1] == pytest.approx(alone[1, 1])
    assert together[0, 1] > together[1, 1]


def test_no_target_in_the_graph_is_an_error():
    train = EffectTable([[1], [0]], [[True], [True]], ["Z1", "Z2"], ["X"], kind="de")
    with pytest.raises(ModelError, match="no target of the training perturbations"):
        Smoother().fit(train, graph_of(["A", "B"], [(0, 1)]))


def test_nothing_to_learn_is_an_error():
    train = EffectTable([[1], [1]], [[True], [True]], ["A", "B"], ["X"], kind="de")
    with pytest.raises(ModelError, match="all measured effects are equal"):
        Smoother().fit(train, graph_of(["A", "B"], [(0, 1)]))
