"""One contract for every registered model."""

import numpy as np
import pytest

from gnnvcell.config import Config
from gnnvcell.errors import ModelError
from gnnvcell.models import MODELS
from gnnvcell.models.gene_mean import shrunk_gene_mean

NAMES = ["P0", "P5", "P1+P2", "NOWHERE1", "NOWHERE2"]


@pytest.fixture(scope="module")
def planted_for(planted_de, planted_delta):
    """(model) -> planted data of a kind that it learns from: labels where it can."""
    return lambda name: planted_de if "de" in MODELS.get(name).kinds else planted_delta


@pytest.fixture(scope="module")
def fitted(planted_for, make_model):
    data = {name: planted_for(name) for name in MODELS}
    return {name: make_model(name).fit(data[name].train, data[name].graph, seed=3) for name in MODELS}


@pytest.mark.parametrize("name", sorted(MODELS))
class TestContract:
    def test_prediction_has_the_names_and_the_shape(self, fitted, planted_for, name):
        train = planted_for(name).train
        prediction = fitted[name].predict(NAMES)
        assert prediction.perturbations.tolist() == NAMES
        assert prediction.genes.tolist() == train.genes.tolist()
        assert prediction.values.shape == (len(NAMES), train.shape[1])
        assert prediction.values.dtype == np.float32
        assert prediction.support.dtype == np.float32
        assert (prediction.support >= 0).all()

    def test_target_outside_the_graph_gets_the_mean(self, fitted, planted_for, name):
        prediction = fitted[name].predict(NAMES)
        np.testing.assert_allclose(prediction.values[3], prediction.values[4])
        assert prediction.support[3:].tolist() == [0, 0]
        if name in ("no_change", "control_mean"):
            assert not prediction.values.any()
        elif name != "perturbation_blind":  # which draws the means towards each other
            np.testing.assert_allclose(prediction.values[3], shrunk_gene_mean(planted_for(name).train, 3.0), atol=0.02)

    def test_rows_do_not_depend_on_each_other(self, fitted, name):
        together = fitted[name].predict(NAMES).values
        backwards = fitted[name].predict(NAMES[::-1]).values[::-1]
        alone = fitted[name].predict(NAMES[:1]).values
        np.testing.assert_allclose(backwards, together, atol=1e-5)
        np.testing.assert_allclose(alone, together[:1], atol=1e-5)

    def test_same_seed_same_bits(self, planted_for, fitted, make_model, name):
        again = make_model(name).fit(planted_for(name).train, planted_for(name).graph, seed=3)
        assert (again.predict(NAMES).values == fitted[name].predict(NAMES).values).all()

    def test_seed_matters_only_where_it_is_said_to(self, planted_for, fitted, make_model, name):
        data = planted_for(name)
        other = make_model(name).fit(data.train, data.graph, seed=4).predict(NAMES).values
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

    def test_fits_every_kind_that_it_names_and_refuses_the_others(self, planted_de, planted_delta, make_model, name):
        for data in (planted_de, planted_delta):
            if data.train.kind in MODELS.get(name).kinds:
                make_model(name).fit(data.train, data.graph)
            else:
                with pytest.raises(ModelError, match=f"kind '{data.train.kind}'"):
                    make_model(name).fit(data.train, data.graph)

    def test_graph_models_predict_effects(self, planted_delta, make_model, name):
        model = MODELS.get(name)
        if not model.uses_graph or "delta" not in model.kinds or name == "perturbation_blind":
            pytest.skip("does not tell unseen perturbations apart by a graph, or is for labels")
        fitted = make_model(name).fit(planted_delta.train, planted_delta.graph)
        values = fitted.predict(planted_delta.test.perturbations).values
        truth = planted_delta.test.values - planted_delta.train.values.mean(axis=0)
        assert np.corrcoef(truth.ravel(), (values - values.mean(axis=0)).ravel())[0, 1] > 0.3
