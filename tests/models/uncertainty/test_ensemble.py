from dataclasses import dataclass, field

import numpy as np
import pytest

import gnnvcell
from gnnvcell.errors import ConfigError, FileFormatError, ModelError
from gnnvcell.models import MODELS, Knn, Prediction
from gnnvcell.models.base import EffectPredictor
from gnnvcell.models.uncertainty.calibrated import calibrate
from gnnvcell.models.uncertainty.ensemble import Ensemble, EnsembleConfig

QUICK = {"readout": {"epochs": 3, "hidden": 8}}
NAMES = ["P0", "P5", "P1+P2", "NOWHERE"]


@dataclass
class Fixed:
    """A member that always says the same."""

    values: list[float]
    spread: list[float] | None = None
    genes: tuple[str, ...] = ("A", "B")
    training_perturbations: frozenset[str] = field(default_factory=frozenset)

    def predict(self, perturbations, *, context=None) -> Prediction:
        rows = len(perturbations)
        spread = None if self.spread is None else np.tile(np.array(self.spread, np.float32), (rows, 1))
        values = np.tile(np.array(self.values, np.float32), (rows, 1))
        names = np.asarray(perturbations, dtype=str)
        return Prediction(values, names, np.array(self.genes), np.full(rows, 2, np.float32), "c", spread)


def of_fixed(*members: Fixed) -> Ensemble:
    ensemble = Ensemble(EnsembleConfig(model="knn"))
    ensemble.members = list(members)
    return ensemble


class TestVariance:
    def test_between_members_by_hand(self) -> None:
        found = of_fixed(Fixed([1, 5]), Fixed([2, 5]), Fixed([6, 5])).predict(["X"])
        assert found.spread is not None
        np.testing.assert_allclose(found.values, [[3, 5]])
        np.testing.assert_allclose(found.spread, [[np.sqrt((4 + 1 + 9) / 2), 0]], rtol=1e-6)
        assert (found.context, found.support.tolist()) == ("c", [2])

    def test_total_variance_by_hand(self) -> None:
        found = of_fixed(Fixed([1, 5], [3, 1]), Fixed([3, 5], [1, 2])).predict(["X", "Y"])
        assert found.spread is not None
        np.testing.assert_allclose(found.spread[1], np.sqrt([2 + (9 + 1) / 2, 0 + (1 + 4) / 2]), rtol=1e-6)

    def test_of_draws_is_that_of_the_whole_sample(self, planted_delta) -> None:
        # The standard error of a mean of n, from the spread of means of m of n.
        data = planted_delta
        config = EnsembleConfig(model="perturbation_mean", members=400, share=0.5)
        found = Ensemble(config).fit(data.train, data.graph).predict(["P0"])
        measured = data.train.measured
        values = np.where(measured, data.train.values, np.nan)
        expected = np.nanstd(values, axis=0, ddof=1) / np.sqrt(measured.sum(axis=0))
        assert found.spread is not None
        assert np.median(found.spread[0] / expected) == pytest.approx(1.0, abs=0.1)


class TestFitting:
    def test_members_by_seed_are_the_models_of_these_seeds(self, planted_de) -> None:
        data = planted_de
        config = EnsembleConfig(model="propagation", settings=QUICK, members=2)
        ensemble = Ensemble(config).fit(data.train, data.graph, seed=3)
        assert ensemble.vary == "seed"
        model = MODELS.get("propagation")
        names = [*NAMES, str(data.test.perturbations[0])]
        alone = model(model.config_class.parse(QUICK)).fit(data.train, data.graph, seed=4).predict(names)
        assert (ensemble.members[1].predict(names).values == alone.values).all()
        found = ensemble.predict(names)
        assert found.spread is not None
        assert (found.spread[-1] > 0).any()
        assert (found.support == alone.support).all()

    def test_effects_that_no_seed_changes_get_draws(self, planted_delta) -> None:
        data = planted_delta
        ensemble = Ensemble(EnsembleConfig(model="propagation", members=2)).fit(data.train, data.graph)
        assert ensemble.vary == "perturbations"
        drawn = EnsembleConfig(model="propagation", settings={"variances": {"rows": 20}}, members=2)
        assert Ensemble(drawn).fit(data.train, data.graph).vary == "seed"
        with pytest.raises(ConfigError, match="would all be the same"):
            Ensemble(EnsembleConfig(model="propagation", vary="seed")).fit(data.train, data.graph)

    def test_models_that_ignore_seeds_get_draws(self, planted_delta) -> None:
        data = planted_delta
        ensemble = Ensemble(EnsembleConfig(model="knn", members=4)).fit(data.train, data.graph)
        assert ensemble.vary == "perturbations"
        seen = [member.training_perturbations for member in ensemble.members]  # type: ignore[attr-defined]
        assert {len(names) for names in seen} == {round(0.8 * data.train.shape[0])}
        assert len(set(seen)) == 4
        assert ensemble.variance_factor == pytest.approx(len(seen[0]) / (data.train.shape[0] - len(seen[0])))
        assert ensemble.training_perturbations == set(data.train.perturbations.tolist())
        again = Ensemble(EnsembleConfig(model="knn", members=4)).fit(data.train, data.graph)
        other = Ensemble(EnsembleConfig(model="knn", members=4)).fit(data.train, data.graph, seed=1)
        assert (again.predict(NAMES).values == ensemble.predict(NAMES).values).all()
        assert (other.predict(NAMES).values != ensemble.predict(NAMES).values).any()

    def test_without_evidence_members_agree_and_each_says_that_it_does_not_know(self, planted_delta) -> None:
        data = planted_delta
        ensemble = Ensemble(EnsembleConfig(model="knn", members=6)).fit(data.train, data.graph)
        found, values = ensemble.predict(NAMES), np.stack([one.predict(NAMES).values for one in ensemble.members])
        assert found.spread is not None
        assert found.support[3] == 0
        assert values[:, 3].std(axis=0).mean() < values[:, 0].std(axis=0).mean()  # all say the gene's mean
        assert found.spread[3].mean() > found.spread[0].mean()

    def test_it_is_a_predictor_and_can_be_calibrated(self, planted_delta) -> None:
        data = planted_delta
        ensemble = Ensemble(EnsembleConfig(model="knn", members=4)).fit(data.train, data.graph)
        assert isinstance(ensemble, EffectPredictor)
        calibrated = calibrate(ensemble, data.test)
        assert np.isfinite(calibrated.intervals(NAMES, 0.9).upper).all()
        with pytest.raises(ModelError, match="were trained on"):
            calibrate(ensemble, data.train)

    def test_of_models_that_were_fitted_elsewhere(self, planted_delta) -> None:
        data = planted_delta
        parts = [Knn().fit(data.train.take(np.arange(k, 59, 2)), data.graph) for k in range(2)]
        ensemble = Ensemble.of(parts)
        np.testing.assert_allclose(
            ensemble.predict(NAMES).values, np.mean([part.predict(NAMES).values for part in parts], axis=0), rtol=1e-5
        )


class TestOnDisk:
    @pytest.mark.parametrize("config", [{"model": "knn"}, {"model": "propagation", "settings": QUICK, "members": 2}])
    def test_the_same_bits(self, planted_delta, tmp_path, config) -> None:
        data = planted_delta
        ensemble = Ensemble(EnsembleConfig.parse(config)).fit(data.train, data.graph, seed=5)
        ensemble.save(tmp_path / "e")
        again, found = gnnvcell.load(tmp_path / "e").predict(NAMES), ensemble.predict(NAMES)
        assert (again.values == found.values).all()
        assert (again.spread == found.spread).all()

    def test_what_cannot_be_stored(self, planted_delta, tmp_path) -> None:
        data = planted_delta
        with pytest.raises(ModelError, match="was not fitted"):
            Ensemble().save(tmp_path / "e")
        models = [Knn().fit(data.train, data.graph) for _ in range(2)]
        with pytest.raises(ModelError, match="fit the ensemble itself"):
            Ensemble.of(models).save(tmp_path / "e")
        with pytest.raises(FileFormatError, match="no model is at"):
            Ensemble.load(tmp_path)


class TestBadInput:
    def test_settings(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'propagation'"):
            Ensemble(EnsembleConfig(model="propagatoin"))
        with pytest.raises(ConfigError, match="knn has no setting 'kk'"):
            Ensemble(EnsembleConfig(model="knn", settings={"kk": 3}))
        with pytest.raises(ConfigError, match=r"would all be the same(.|\n)*perturbations"):
            Ensemble(EnsembleConfig(model="knn", vary="seed"))
        with pytest.raises(ConfigError, match="bad value for 'members'"):
            EnsembleConfig.parse({"members": 1})

    def test_members(self, planted_delta, tmp_path) -> None:
        data = planted_delta
        with pytest.raises(ModelError, match="was not fitted"):
            Ensemble().predict(NAMES)
        with pytest.raises(ModelError, match=r"make no ensemble(.|\n)*Knn, GeneMean"):
            Ensemble.of([Knn(), MODELS.get("gene_mean")()])
        with pytest.raises(ModelError, match="predict different genes"):
            of_fixed(Fixed([1, 2]), Fixed([1, 2], genes=("A", "C"))).predict(["X"])
        with pytest.raises(ModelError, match="cannot learn from different perturbations"):
            Ensemble(EnsembleConfig(model="knn")).fit(data.train.take([0]), data.graph)
        with pytest.raises(ConfigError, match="keep no runs"):
            Ensemble(EnsembleConfig(model="knn")).fit(data.train, data.graph, out_dir=tmp_path)
        with pytest.raises(ModelError, match="no common sum"):
            _ = of_fixed(Fixed([1, 2])).target_sum
