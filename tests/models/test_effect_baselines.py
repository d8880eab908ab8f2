"""The baselines of effects, by hand."""

import numpy as np
import pytest

from gnnvcell.data import Context, EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import MODELS
from gnnvcell.models.baselines import (
    Additive,
    AdditiveConfig,
    CellMean,
    ContextMean,
    ContextMeanConfig,
    KnnEmbedding,
    KnnEmbeddingConfig,
    LargerSingle,
    LatentAdditive,
    LatentAdditiveConfig,
    LinearGWP,
    LinearGWPConfig,
    NoChange,
    PerturbationMean,
    RandomForest,
    RandomForestConfig,
    SameTargetTransfer,
    SameTargetTransferConfig,
)

GENES = ["A", "B", "C", "D", "E", "F"]
NAMES = np.array(GENES)
# Two components: A, B, C and D, E, F.
GRAPH = GeneGraph.from_tables(
    [
        EdgeTable(
            ("gene", "string", "gene"),
            np.array([0, 1, 0, 3, 4, 3]),
            np.array([1, 2, 2, 4, 5, 5]),
            np.ones(6, np.float32),
            NAMES,
            NAMES,
            directed=False,
        )
    ],
    GeneVocab.from_symbols(GENES),
)
GRAPH_MODELS = ["knn_embedding", "linear_gwp", "latent_additive", "random_forest"]


def deltas(values, perturbations, *, context: str | list[str] = "", cells=None, measured=None) -> EffectTable:
    values = np.asarray(values, dtype=float)
    inside = np.ones(values.shape, bool) if measured is None else np.asarray(measured)
    genes = [f"R{i}" for i in range(values.shape[1])]
    return EffectTable(values, inside, perturbations, genes, kind="delta", context=context, cells=cells)


SINGLES = deltas([[1.0, 0.0, 2.0], [3.0, -1.0, 0.0]], ["A", "D"], cells=[10, 30])


def test_no_change_is_no_change_under_both_names() -> None:
    assert MODELS.get("no_change") is MODELS.get("control_mean") is NoChange
    assert not NoChange().fit(SINGLES, GRAPH).predict(["A", "Z"]).values.any()


def test_means_count_perturbations_or_cells_and_only_what_was_measured() -> None:
    prediction = PerturbationMean().fit(SINGLES, GRAPH).predict(["B"])
    np.testing.assert_allclose(prediction.values, [[2.0, -0.5, 1.0]])
    np.testing.assert_allclose(CellMean().fit(SINGLES, GRAPH).predict(["B"]).values, [[2.5, -0.75, 0.5]])
    holes = deltas([[1.0, 9.0], [3.0, 5.0]], ["A", "D"], measured=[[True, False], [True, True]])
    np.testing.assert_allclose(PerturbationMean().fit(holes, GRAPH).predict(["B"]).values, [[2.0, 5.0]])
    with pytest.raises(ModelError, match="how many cells"):
        CellMean().fit(holes, GRAPH)


def test_additive_sums_and_larger_single_chooses() -> None:
    additive = Additive().fit(SINGLES, GRAPH).predict(["A+D", "D+A", "A", "A+Z", "Y+Z"])
    np.testing.assert_allclose(additive.values[:3], [[4.0, -1.0, 2.0], [4.0, -1.0, 2.0], [1.0, 0.0, 2.0]])
    np.testing.assert_allclose(additive.values[3], [3.0, -0.5, 3.0])  # the mean single stands for Z
    np.testing.assert_allclose(additive.values[4], [2.0, -0.5, 1.0])  # nothing is known: the mean, once
    assert additive.support.tolist() == [2, 2, 1, 1, 0]
    zero = Additive(AdditiveConfig(missing="zero")).fit(SINGLES, GRAPH).predict(["A+Z"])
    np.testing.assert_allclose(zero.values, [[1.0, 0.0, 2.0]])
    larger = LargerSingle().fit(SINGLES, GRAPH).predict(["A+D"])
    np.testing.assert_allclose(larger.values, [[3.0, -1.0, 0.0]])
    written = deltas([[1.0], [3.0]], ["A|CRISPRa", "D|CRISPRa"])
    np.testing.assert_allclose(Additive().fit(written, GRAPH).predict(["A+D|CRISPRa", "D+A"]).values, [[4.0], [4.0]])


def test_context_mean_is_of_the_context_and_refuses_or_falls_back_as_told() -> None:
    table = deltas([[1.0], [3.0], [7.0]], ["A", "B", "A"], context=["x", "x", "y"])
    model = ContextMean().fit(table, GRAPH)
    assert model.predict(["C"], context="x").values.item() == 2
    assert model.predict(["C"], context="y").values.item() == 7
    with pytest.raises(ModelError, match="'z'"):
        model.predict(["C"], context=Context("z"))
    fallback = ContextMean(ContextMeanConfig(new_context="mean")).fit(table, GRAPH)
    assert fallback.predict(["C"], context=Context("z")).values.item() == pytest.approx(11 / 3)
    with pytest.raises(ModelError, match="context to predict for"):
        model.predict(["C"])


def test_transfer_takes_the_same_target_from_other_contexts_times_the_slope() -> None:
    # Means: x 2, y 20. Beyond them: A -1, B +1 in x; A -10, B +10 in y.
    table = deltas([[1.0], [3.0], [10.0], [30.0]], ["A", "B", "A", "B"], context=["x", "x", "y", "y"])
    model = SameTargetTransfer(SameTargetTransferConfig(prior_pairs=0)).fit(table, GRAPH)
    slope = (4 * 10) / (2 * 1 + 2 * 100)  # least squares over the four pairs
    found = model.predict(["A", "B", "C"], context="x")
    np.testing.assert_allclose(found.values[:, 0], [2 - 10 * slope, 2 + 10 * slope, 2], rtol=1e-5)
    assert found.support.tolist() == [1, 1, 0]
    new = model.predict(["A"], context=Context("z"))  # over all: mean 11, mean of what is beyond -5.5
    np.testing.assert_allclose(new.values, [[11 - 5.5 * slope]], rtol=1e-5)
    alone = SameTargetTransfer(SameTargetTransferConfig(prior_slope=0.25)).fit(SINGLES, GRAPH)
    assert alone._slope == 0.25


def test_graph_embeddings_tell_components_apart() -> None:
    table = deltas([[1.0, 0.0], [1.2, 0.0], [0.0, 1.0], [0.0, 1.2]], ["A", "B", "D", "E"])
    configs = {
        "knn_embedding": KnnEmbedding(KnnEmbeddingConfig(k=2, dim=4)),
        "linear_gwp": LinearGWP(LinearGWPConfig(dim=4, factors=2)),
        "latent_additive": LatentAdditive(LatentAdditiveConfig(dim=4)),
        "random_forest": RandomForest(RandomForestConfig(dim=4, trees=30, min_leaf=1)),
    }
    for name, model in configs.items():
        values = model.fit(table, GRAPH, seed=0).predict(["C", "F", "Z"]).values
        assert values[0, 0] > values[0, 1] + 0.2, name
        assert values[1, 1] > values[1, 0] + 0.2, name
        np.testing.assert_allclose(values[2], [0.55, 0.55], atol=1e-6)


def test_knn_embedding_by_hand() -> None:
    table = deltas([[1.0], [0.0], [5.0]], ["A", "B", "D"])
    values = KnnEmbedding(KnnEmbeddingConfig(k=1, dim=4)).fit(table, GRAPH).predict(["C"]).values
    # A and B are equally near to C in a triangle, and both stand at the cut.
    np.testing.assert_allclose(values, [[0.5]], atol=1e-5)


def test_linear_gwp_equals_the_formula() -> None:
    from gnnvcell.models.embedding import spectral_embedding

    rng = np.random.default_rng(0)
    table = deltas(rng.normal(size=(5, 7)), ["A", "B", "C", "D", "E"])
    model = LinearGWP(LinearGWPConfig(dim=3, factors=2, penalty=0.1)).fit(table, GRAPH)
    mean = table.values.mean(axis=0)
    residual = (table.values - mean).astype(float)
    _, sizes, right = np.linalg.svd(residual, full_matrices=False)
    G = right[:2].T * sizes[:2]
    vectors = spectral_embedding(GRAPH, 3).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    P = vectors[:5]
    W = np.linalg.inv(G.T @ G + 0.1 * np.eye(2)) @ G.T @ residual.T @ P @ np.linalg.inv(P.T @ P + 0.1 * np.eye(3))
    wanted = (G @ W @ vectors[5:].T).T + mean
    np.testing.assert_allclose(model.predict(["F"]).values, wanted, atol=1e-5)


def test_latent_additive_adds_seen_targets() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=(4, 6))
    pairs = [(0, 1), (0, 2), (1, 3)]
    values = np.concatenate([own, [own[i] + own[j] for i, j in pairs]])
    table = deltas(values, ["A", "B", "D", "E", "A+B", "A+D", "B+E"])
    model = LatentAdditive(LatentAdditiveConfig(penalty=1e-3, own=1.0, dim=4)).fit(table, GRAPH)
    mean = values.mean(axis=0)
    found = model.predict(["D+E"]).values[0] - mean
    wanted = own[2] + own[3] - mean
    assert np.corrcoef(found, wanted)[0, 1] > 0.9


@pytest.mark.parametrize("name", GRAPH_MODELS)
def test_every_graph_baseline_uses_its_edges(name) -> None:
    table = deltas(np.random.default_rng(0).normal(size=(4, 5)), ["A", "B", "D", "E"])
    edges = GRAPH.table("string")
    fewer = GRAPH.with_edges({"string": edges.take(np.delete(np.arange(len(edges.src)), 1))})
    model = MODELS.get(name)
    values = [model().fit(table, graph, seed=0).predict(["C", "F"]).values for graph in (GRAPH, fewer)]
    assert np.abs(values[0] - values[1]).max() > 1e-4
