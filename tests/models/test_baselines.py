import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge

from gnnvcell.data import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.controls import dense
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.gene_mean import GeneMean, GeneMeanConfig, shrunk_gene_mean
from gnnvcell.models.kernel_regression import logistic_weights, ridge_weights
from gnnvcell.models.knn import Knn, KnnConfig
from gnnvcell.models.logistic import Logistic
from gnnvcell.models.perturbation_blind import PerturbationBlind, PerturbationBlindConfig
from gnnvcell.models.relations import tfidf_rows
from gnnvcell.models.targets import target_matrix


def graph_of(genes, edges, relation="string", terms=None):
    names = np.array(genes)
    if terms is None:
        etype, other = ("gene", relation, "gene"), names
    else:
        etype, other = ("gene", relation, "go_term"), np.array(terms)
    src, dst, weight = (np.array(column) for column in zip(*edges, strict=True))
    table = EdgeTable(
        etype, src.astype(int), dst.astype(int), weight.astype(np.float32), names, other, directed=terms is not None
    )
    nodes = {} if terms is None else {"go_term": other}
    return GeneGraph.from_tables([table], GeneVocab.from_symbols(genes), nodes)


def effects(values, perturbations, genes=("X", "Y"), kind="de", measured=None):
    values = np.asarray(values, dtype=float)
    return EffectTable(
        values, np.ones(values.shape, bool) if measured is None else measured, perturbations, list(genes), kind=kind
    )


CHAIN = graph_of(["A", "B", "C", "D"], [(0, 1, 1.0), (1, 2, 0.5), (2, 3, 1.0)])


def test_target_matrix_averages_known_targets_only() -> None:
    found = target_matrix(CHAIN, ["A", "A+C", "A+Z", "Z"]).toarray()
    np.testing.assert_allclose(found, [[1, 0, 0, 0], [0.5, 0, 0.5, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def test_gene_mean_by_hand() -> None:
    train = effects([[1, 0], [1, 1]], ["A", "B"], measured=np.array([[True, True], [True, False]]))
    # overall mean 2/3; X: (2 + 2/3) / 3, Y: (0 + 2/3) / 2
    np.testing.assert_allclose(shrunk_gene_mean(train, 1.0), [8 / 9, 1 / 3], rtol=1e-6)
    prediction = GeneMean(GeneMeanConfig(prior_count=1.0)).fit(train, CHAIN).predict(["C", "D"])
    np.testing.assert_allclose(prediction.values, [[8 / 9, 1 / 3]] * 2, rtol=1e-6)
    assert prediction.support.tolist() == [0, 0]


def test_knn_by_hand() -> None:
    # B's neighbours are A (weight 1) and C (.5); means with prior 1 are .5 for both genes.
    train = effects([[1, 0], [0, 1]], ["A", "C"])
    prediction = Knn(KnnConfig(prior_count=1.0)).fit(train, CHAIN).predict(["B", "D", "Z"])
    np.testing.assert_allclose(prediction.values[0], [0.5 + (0.5 - 0.25) / 2.5, 0.5 - (0.5 - 0.25) / 2.5], rtol=1e-6)
    np.testing.assert_allclose(prediction.values[1], [0.5 - 0.5 / 2, 0.5 + 0.5 / 2], rtol=1e-6)
    np.testing.assert_allclose(prediction.values[2], [0.5, 0.5])
    np.testing.assert_allclose(prediction.support, [1.5, 1, 0])


def test_knn_keeps_the_nearest_k() -> None:
    train = effects([[1, 0], [0, 1]], ["A", "C"])
    one = Knn(KnnConfig(k=1)).fit(train, CHAIN).predict(["B"])
    assert one.support.tolist() == [1.0]
    assert one.values[0, 0] > one.values[0, 1]


def test_knn_over_shared_terms() -> None:
    # A and B share a term of two genes; C is alone in its own.
    graph = graph_of(["A", "B", "C"], [(0, 0, 1), (1, 0, 1), (2, 1, 1)], "annotated_bp", terms=["t", "u"])
    train = effects([[1, 0], [0, 1]], ["A", "C"])
    values = Knn().fit(train, graph).predict(["B"]).values
    assert values[0, 0] > 0.5 > values[0, 1]


def test_tfidf_cosine_by_hand() -> None:
    rows = tfidf_rows(sp.csr_matrix(np.array([[1.0, 1, 0], [1, 0, 0], [1, 0, 1], [0, 1, 0]])))
    # idf: log(4/3), log(4/2), log(4/1); gene 0 has terms 0 and 1, gene 3 term 1 only.
    first, second = np.log(4 / 3), np.log(2)
    assert (rows @ rows.T)[0, 3] == pytest.approx(second / np.hypot(first, second), rel=1e-6)
    capped = tfidf_rows(sp.csr_matrix(np.array([[1.0, 1], [1, 0]])), max_term_genes=1)
    assert capped.toarray()[:, 0].tolist() == [0, 0]


def test_ridge_weights_agree_with_sklearn_and_with_explicit_leave_one_out() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(12, 4)), rng.normal(size=(12, 3))
    measured = rng.random((12, 3)) < 0.8
    (_, _), (weights, error) = ridge_weights(features @ features.T, targets, measured, [5.0, 2.0])
    left_out = []
    for gene in range(3):
        rows = np.flatnonzero(measured[:, gene])
        reference = SklearnRidge(alpha=2.0, fit_intercept=False).fit(features[rows], targets[rows, gene])
        np.testing.assert_allclose(features.T @ weights[:, gene], reference.coef_, atol=1e-5)
        for row in rows:
            others = rows[rows != row]
            model = SklearnRidge(alpha=2.0, fit_intercept=False).fit(features[others], targets[others, gene])
            left_out.append((targets[row, gene] - model.predict(features[[row]])[0]) ** 2)
    assert error == pytest.approx(np.mean(left_out), rel=1e-6)


def test_logistic_weights_agree_with_sklearn() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(30, 3))
    labels = (features[:, :1] + rng.normal(size=(30, 1)) > 0).astype(float)
    weights = logistic_weights(features @ features.T, labels, np.ones((30, 1), bool), np.zeros(1), 0.5)
    reference = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10).fit(features, labels[:, 0])
    np.testing.assert_allclose(features.T @ weights[:, 0], reference.coef_[0], atol=1e-3)


def test_embedding_separates_components_and_is_zero_without_edges() -> None:
    graph = graph_of(list("ABCDEFG"), [(0, 1, 1), (1, 2, 1), (0, 2, 1), (3, 4, 1), (4, 5, 1), (3, 5, 1)])
    embedding = spectral_embedding(graph, 3)
    similarity = embedding @ embedding.T
    assert similarity[0, 1] > 10 * abs(similarity[0, 4])
    assert not embedding[6].any()
    np.testing.assert_array_equal(embedding, spectral_embedding(graph, 3))
    assert not spectral_embedding(dense(graph, seed=0), 3).any()  # one hub of all genes tells none apart


def test_blind_model_gives_every_perturbation_the_same_row_and_borrows_from_like_genes() -> None:
    graph = graph_of(["A", "B", "X", "Y", "Z", "W"], [(2, 3, 1), (4, 5, 1), (0, 1, 1)])
    measured = np.array([[True, False, True, False]] * 2)
    train = effects([[1, 0, 0, 0]] * 2, ["A", "B"], genes=("X", "Y", "Z", "W"), measured=measured)
    model = PerturbationBlind(PerturbationBlindConfig(dim=4, penalty=0.01)).fit(train, graph)
    values = model.predict(["A", "B"]).values
    np.testing.assert_array_equal(values[0], values[1])
    assert values[0, 1] > values[0, 3]


def test_logistic_refuses_continuous_effects() -> None:
    with pytest.raises(ModelError, match="Logistic does not learn from effects of kind 'delta'"):
        Logistic().fit(effects([[0.5, -0.1]], ["A"], kind="delta"), CHAIN)
