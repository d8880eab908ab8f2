"""One contract for every registered model."""

import numpy as np
import pytest

from gnnvcell.config import Config
from gnnvcell.errors import ModelError
from gnnvcell.models import MODELS
from gnnvcell.models.gene_mean import shrunk_gene_mean

NAMES = ["P0", "P5", "P1+P2", "NOWHERE1", "NOWHERE2"]


@pytest.fixture(scope="module")
def fitted(planted_de, make_model):
    return {name: make_model(name).fit(planted_de.train, planted_de.graph, seed=3) for name in MODELS}


@pytest.mark.parametrize("name", sorted(MODELS))
class TestContract:
    def test_prediction_has_the_names_and_the_shape(self, fitted, planted_de, name):
        prediction = fitted[name].predict(NAMES)
        assert prediction.perturbations.tolist() == NAMES
        assert prediction.genes.tolist() == planted_de.train.genes.tolist()
        assert prediction.values.shape == (len(NAMES), planted_de.train.shape[1])
        assert prediction.values.dtype == np.float32
        assert prediction.support.dtype == np.float32
        assert (prediction.support >= 0).all()

    def test_target_outside_the_graph_gets_the_mean(self, fitted, planted_de, name):
        prediction = fitted[name].predict(NAMES)
        np.testing.assert_allclose(prediction.values[3], prediction.values[4])
        assert prediction.support[3:].tolist() == [0, 0]
        if name != "perturbation_blind":  # which draws the means towards each other
            np.testing.assert_allclose(prediction.values[3], shrunk_gene_mean(planted_de.train, 3.0), atol=0.01)

    def test_rows_do_not_depend_on_each_other(self, fitted, name):
        together = fitted[name].predict(NAMES).values
        backwards = fitted[name].predict(NAMES[::-1]).values[::-1]
        alone = fitted[name].predict(NAMES[:1]).values
        np.testing.assert_allclose(backwards, together, atol=1e-5)
        np.testing.assert_allclose(alone, together[:1], atol=1e-5)

    def test_same_seed_same_bits(self, planted_de, fitted, make_model, name):
        again = make_model(name).fit(planted_de.train, planted_de.graph, seed=3)
        assert (again.predict(NAMES).values == fitted[name].predict(NAMES).values).all()

    def test_seed_matters_only_where_it_is_said_to(self, planted_de, fitted, make_model, name):
        other = make_model(name).fit(planted_de.train, planted_de.graph, seed=4).predict(NAMES).values
        if not MODELS.get(name).uses_seed:
            assert (other == fitted[name].predict(NAMES).values).all()

    def test_predict_before_fit_is_an_error(self, name):
        with pytest.raises(ModelError, match="not fitted"):
            MODELS.get(name)().predict(["P0"])

    def test_config_of_another_model_is_an_error(self, name):
        class OtherConfig(Config):
            pass

        with pytest.raises(ModelError, match="OtherConfig"):
            MODELS.get(name)(OtherConfig())

    def test_fits_effects(self, planted_delta, make_model, name):
        if name == "logistic":
            pytest.skip("labels only")
        model = make_model(name).fit(planted_delta.train, planted_delta.graph)
        values = model.predict(planted_delta.test.perturbations).values
        if MODELS.get(name).uses_graph and name != "perturbation_blind":
            truth = planted_delta.test.values - planted_delta.train.values.mean(axis=0)
            centred = values - values.mean(axis=0)
            assert np.corrcoef(truth.ravel(), centred.ravel())[0, 1] > 0.3
