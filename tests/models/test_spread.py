"""Spreads that models state themselves: by hand, and against the errors."""

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.models import GeneMean, GeneMeanConfig, Knn, KnnConfig, Propagation, Ridge, RidgeConfig
from gnnvcell.models.targets import target_matrix
from gnnvcell.models.uncertainty.residuals import residuals_of

STATED = {"gene_mean": GeneMean, "knn": Knn, "ridge": Ridge, "propagation": Propagation}


def test_gene_mean_by_hand(planted_delta) -> None:
    train = EffectTable([[1.0, 0.0], [3.0, 0.0]], [[True, True], [True, False]], ["P0", "P1"], ["A", "B"], kind="delta")
    found = GeneMean(GeneMeanConfig(prior_count=0)).fit(train, planted_delta.graph).predict(["X", "Y"])
    assert found.spread is not None
    np.testing.assert_allclose(found.spread, [[1, 0], [1, 0]])


def test_knn_by_hand(planted_delta) -> None:
    data = planted_delta
    model = Knn(KnnConfig(k=3, prior_count=0.5)).fit(data.train, data.graph)
    found = model.predict(["P0", "NOWHERE"])
    near = model._nearest(target_matrix(data.graph, ["P0"])).toarray()[0]
    gene = 4
    residual = data.train.values[:, gene] - model._mean[gene]
    weight = near * data.train.measured[:, gene]
    assert (weight > 0).sum() >= 1
    # The mixture of the neighbours' outcomes and of a prior with mean 0 and the gene's variance.
    total = weight.sum() + 0.5
    mean = (weight * residual).sum() / total
    variance = ((weight * residual**2).sum() + 0.5 * model._variance[gene]) / total - mean**2
    assert found.spread is not None
    assert found.spread[0, gene] == pytest.approx(np.sqrt(variance), rel=1e-4)
    np.testing.assert_allclose(found.spread[1], np.sqrt(model._variance), rtol=1e-5)


def test_ridge_is_a_gaussian_process(planted_delta) -> None:
    data = planted_delta
    whole = EffectTable(
        data.train.values, np.ones(data.train.shape, bool), data.train.perturbations, data.train.genes, kind="delta"
    )
    model = Ridge(RidgeConfig(dim=16, penalties=(2.0,), prior_count=0.0)).fit(whole, data.graph)
    names = data.test.perturbations[:4]
    found, train = model.predict([*names, "NOWHERE"]), model._train_vectors.astype(np.float64)
    gene, noise = 3, model._variance[3]
    # Posterior of w ~ N(0, noise / penalty) from residuals with that noise, in the primal form.
    precision = (train.T @ train + 2.0 * np.eye(16)) / noise
    new = model._vectors(names).astype(np.float64)
    variance = noise + np.einsum("pd,de,pe->p", new, np.linalg.inv(precision), new)
    assert found.spread is not None
    np.testing.assert_allclose(found.spread[:4, gene], np.sqrt(variance), rtol=1e-4)
    assert (found.spread[4] >= found.spread[:4].max(axis=0)).all()
    # Leave-one-out errors have the variance that is predicted of them.
    inverse = np.linalg.inv(train @ train.T + 2.0 * np.eye(len(train)))
    error, predicted = model._weights[:, gene] / np.diag(inverse), noise / 2.0 / np.diag(inverse)
    assert (error**2 / predicted).mean() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("name", sorted(STATED))
def test_stated_spreads_are_of_the_size_of_the_errors(planted_delta, name: str) -> None:
    held = residuals_of(STATED[name]().fit(planted_delta.train, planted_delta.graph), planted_delta.test)
    assert held.spread is not None
    z = (held.error / held.spread)[np.isfinite(held.error)]
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.3)  # kNN's is that of outcomes, which are of two kinds
