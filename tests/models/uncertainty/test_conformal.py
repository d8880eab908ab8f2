from dataclasses import replace

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.errors import ConfigError, FileFormatError, ModelError
from gnnvcell.models import Knn, Prediction
from gnnvcell.models.uncertainty.calibrated import calibrate, cross_calibrate
from gnnvcell.models.uncertainty.conformal import Calibration, ConformalConfig, grouped_quantile, perturbations_needed
from gnnvcell.models.uncertainty.error_scale import ErrorScale
from gnnvcell.models.uncertainty.residuals import Residuals, residuals_of

GENES = np.array([f"R{i}" for i in range(40)])


def residuals(rows: int, *, genes: int = 40, seed: int = 0, spread: bool = False, support: float = 1.0) -> Residuals:
    """Errors whose size differs between genes; with ``spread`` also between pairs, which the spread tells up to a
    factor of 3.
    """
    rng = np.random.default_rng(seed)
    size = np.linspace(0.5, 2.0, genes) * np.ones((rows, 1))
    if spread:
        size = size * np.exp(rng.normal(size=(rows, genes)))
    error = (size * rng.normal(size=(rows, genes))).astype(np.float32)
    names = np.array([f"P{i}" for i in range(rows)])
    stated = (3 * size).astype(np.float32) if spread else None
    return Residuals(error, names, GENES[:genes], np.full(rows, support, np.float32), stated)


def as_prediction(held: Residuals) -> Prediction:
    """A prediction of 0 everywhere, whose truth are the residuals."""
    zero = np.zeros(held.error.shape, np.float32)
    return Prediction(zero, held.perturbations, held.genes, held.support, spread=held.spread)


class TestQuantile:
    def test_one_score_a_group_is_the_classical_rule(self) -> None:
        scores = np.random.default_rng(0).random((30, 3))
        found = grouped_quantile(scores, np.arange(30), 0.9)
        assert (found == np.sort(scores, axis=0)[27]).all()  # ceil(31 * .9) = 28th smallest

    def test_groups_weigh_the_same_by_hand(self) -> None:
        # Masses: group a 1/4 over its three scores, group b 1/4, group c 1/4, infinity 1/4.
        scores, group = np.array([[1.0], [2.0], [3.0], [10.0], [5.0]]), np.array(["a", "a", "a", "b", "c"])
        levels = (0.05, 0.16, 0.25, 0.5, 0.75, 0.76)
        assert [grouped_quantile(scores, group, level)[0] for level in levels] == [1, 2, 3, 5, 10, np.inf]

    def test_what_was_not_measured_is_no_score(self) -> None:
        scores = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 6.0]])
        assert grouped_quantile(scores, np.arange(3), 0.75).tolist() == [3.0, np.inf]
        assert grouped_quantile(scores, np.arange(3), 2 / 3).tolist() == [3.0, 6.0]

    def test_blocks_of_genes_do_not_matter(self, monkeypatch) -> None:
        scores = np.random.default_rng(0).random((12, 50))
        whole = grouped_quantile(scores, np.arange(12) // 2, 0.8)
        monkeypatch.setattr("gnnvcell.models.uncertainty.conformal._GENES_AT_ONCE", 7)
        assert (grouped_quantile(scores, np.arange(12) // 2, 0.8) == whole).all()

    def test_perturbations_needed(self) -> None:
        assert [perturbations_needed(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]


class TestScale:
    def test_by_hand(self) -> None:
        error = np.array([[3.0, np.nan], [4.0, 1.0]], np.float32)
        held = Residuals(error, np.array(["A", "B"]), GENES[:2], np.ones(2, np.float32))
        scale, without = ErrorScale.fit(held, prior_count=1.0, use_spread=True)
        np.testing.assert_allclose(scale.gene, np.sqrt([(25 + 26 / 3) / 3, (1 + 26 / 3) / 2]))
        alone = np.array([[(16 + 17 / 2) / 2, (1 + 17 / 2) / 2], [9.0, 9.0]])  # B for A, and A for B
        square = (9 / alone[0, 0] + 16 / alone[1, 0] + 1 / alone[1, 1]) / 3
        assert (scale.weight, scale.factor) == (0.0, pytest.approx(np.sqrt(square)))
        np.testing.assert_allclose(without, np.sqrt(square * alone))
        np.testing.assert_allclose(scale.of(2, None)[1], scale.factor * scale.gene)

    def test_a_perturbation_in_two_cell_types_is_left_out_whole(self) -> None:
        held = residuals(6)
        pairs = replace(held, perturbations=np.array(["A", "A", "B", "B", "C", "C"]))
        _, without = ErrorScale.fit(pairs, prior_count=1.0, use_spread=True)
        other, _ = ErrorScale.fit(
            replace(held, error=held.error[2:], perturbations=pairs.perturbations[2:]), prior_count=1.0, use_spread=True
        )
        ratio = without[:2] / other.gene
        np.testing.assert_allclose(ratio, ratio[0, 0])

    def test_a_spread_that_tells_is_used_and_one_that_does_not_is_left(self) -> None:
        held = residuals(60, spread=True)
        scale, _ = ErrorScale.fit(held, prior_count=3.0, use_spread=True)
        assert scale.weight >= 0.8
        assert scale.ratio == pytest.approx(1 / 3, rel=0.15)
        assert held.spread is not None
        noise = np.random.default_rng(1).permuted(held.spread.ravel()).reshape(held.spread.shape)
        scale, _ = ErrorScale.fit(replace(residuals(60), spread=noise), prior_count=3.0, use_spread=True)
        assert scale.weight <= 0.1
        scale, _ = ErrorScale.fit(held, prior_count=3.0, use_spread=False)
        assert scale.weight == 0

    def test_residuals_without_a_size(self) -> None:
        for held in (replace(residuals(4), error=np.zeros((4, 40), np.float32)), residuals(1)):
            with pytest.raises(ModelError, match="have no size"):
                Calibration(held)


@pytest.mark.parametrize("spread", [False, True])
class TestCoverage:
    def coverage(self, over: str, spread: bool, level: float, rows: int = 25) -> np.ndarray:
        """(draws, perturbations, genes) whether the truth was inside."""
        inside = []
        for seed in range(40):
            both = residuals(rows + 20, genes=15, seed=seed, spread=spread)
            one, other = (
                replace(
                    both,
                    error=both.error[part],
                    perturbations=both.perturbations[part],
                    support=both.support[part],
                    spread=None if both.spread is None else both.spread[part],
                )
                for part in (slice(rows), slice(rows, None))
            )
            found = Calibration(one).intervals(as_prediction(other), level, over=over)  # type: ignore[arg-type]
            inside.append((found.lower <= other.error) & (other.error <= found.upper))
        return np.array(inside)

    def test_of_genes(self, spread: bool) -> None:
        # ceil(26 * .9) / 26 = .923
        by_gene = self.coverage("gene", spread, 0.9).mean(axis=(0, 1))
        assert by_gene.mean() == pytest.approx(24 / 26, abs=0.012)
        assert by_gene.min() > 0.86

    def test_of_pairs_is_on_the_safe_side(self, spread: bool) -> None:
        assert 0.9 - 0.01 < self.coverage("pairs", spread, 0.9).mean() < 0.9 + 1 / 26 + 0.02

    def test_of_whole_perturbations(self, spread: bool) -> None:
        assert self.coverage("perturbation", spread, 0.8).all(axis=2).mean() == pytest.approx(21 / 26, abs=0.05)


def test_the_spread_of_a_calibrated_model_is_that_of_its_errors() -> None:
    held, new = residuals(200, spread=True), residuals(300, seed=1, spread=True)
    z = new.error / Calibration(held).spread(as_prediction(new))
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.1)
    assert np.median(np.abs(z)) == pytest.approx(0.67, abs=0.12)  # a tenth is the gene's own size


def test_error_bounds_hold_as_often_as_they_say() -> None:
    held = [0.0, 0.0]
    for seed in range(60):
        both = residuals(59, genes=10, seed=seed)
        first = replace(both, error=both.error[:19], perturbations=both.perturbations[:19], support=both.support[:19])
        bound = Calibration(first).error_bound(as_prediction(both), 0.9)[19:]
        held[0] += (np.sqrt((both.error[19:] ** 2).mean(axis=1)) <= bound).mean() / 60
        held[1] += bound.mean() / 60
    assert held[0] == pytest.approx(18 / 20, abs=0.04)
    assert held[1] < 2 * np.sqrt((both.error**2).mean())


def test_strata_of_support_are_calibrated_apart() -> None:
    weak, strong = residuals(20), residuals(20, seed=1, support=30.0)
    both = Residuals.joined([replace(weak, error=4 * weak.error), strong])
    calibration = Calibration(both, ConformalConfig(support_edges=(20.0,)))
    wide, narrow = (calibration.intervals(as_prediction(part)).upper.mean() for part in (weak, strong))
    assert wide > 3 * narrow
    one_for_all = Calibration(both).intervals(as_prediction(weak)).upper
    assert (one_for_all == Calibration(both).intervals(as_prediction(strong)).upper).all()
    few = Calibration(Residuals.joined([weak, residuals(8, support=30.0)]), ConformalConfig(support_edges=(20.0,)))
    with pytest.raises(ModelError, match=r"in the stratum of support 20 to inf(.|\n)*at least 9(.|\n)*8"):
        few.intervals(as_prediction(strong))


def test_too_few_perturbations_for_the_level() -> None:
    calibration = Calibration(residuals(18))
    assert np.isfinite(calibration.intervals(as_prediction(residuals(2)), 0.9).upper).all()
    with pytest.raises(ModelError, match=r"level 0.95\n  expected: at least 19\n  found: 18(.|\n)*at most 0.95"):
        calibration.intervals(as_prediction(residuals(2)), 0.95)
    with pytest.raises(ConfigError, match="no interval has the level 90"):
        calibration.intervals(as_prediction(residuals(2)), 90.0)


def test_a_gene_measured_in_too_few_perturbations_has_no_end() -> None:
    held = residuals(9)
    held.error[3, 5] = np.nan
    found = Calibration(held).intervals(as_prediction(residuals(2)), 0.9)
    assert np.flatnonzero(np.isinf(found.upper[0])).tolist() == [5]


def test_another_models_prediction_is_an_error() -> None:
    calibration = Calibration(residuals(12, spread=True))
    with pytest.raises(ModelError, match="of other genes"):
        calibration.intervals(as_prediction(residuals(2, genes=39, spread=True)))
    with pytest.raises(ModelError, match="states no spread"):
        calibration.intervals(as_prediction(residuals(2)))


@pytest.mark.parametrize("spread", [False, True])
def test_on_disk(tmp_path, spread: bool) -> None:
    calibration = Calibration(residuals(12, spread=spread), ConformalConfig(over="pairs", support_edges=(0.5,)))
    calibration.save(tmp_path / "c")
    again, new = Calibration.load(tmp_path / "c"), as_prediction(residuals(3, seed=5, spread=spread))
    assert again.config == calibration.config
    assert (again.intervals(new).upper == calibration.intervals(new).upper).all()
    assert (again.error_bound(new) == calibration.error_bound(new)).all()
    with pytest.raises(FileFormatError, match="no model is at"):
        Calibration.load(tmp_path)


class TestOfModels:
    def test_residuals_are_truth_less_prediction(self, planted_delta) -> None:
        data = planted_delta
        model = Knn().fit(data.train, data.graph)
        held, predicted = residuals_of(model, data.test), model.predict(data.test.perturbations)
        expected = np.where(data.test.measured, data.test.values - predicted.values, np.nan)
        np.testing.assert_array_equal(held.error, expected)
        wider = EffectTable(
            np.c_[data.test.values[:, ::-1], np.ones(len(held.error))],
            np.c_[data.test.measured[:, ::-1], np.ones(len(held.error), bool)],
            data.test.perturbations,
            [*data.test.genes[::-1], "ELSE"],
            kind="delta",
        )
        np.testing.assert_array_equal(residuals_of(model, wider).error, expected)

    def test_split_and_cross_calibration(self, planted_delta) -> None:
        data = planted_delta
        half = len(data.test.perturbations) // 2
        held_out, test = data.test.take(np.arange(half)), data.test.take(np.arange(half, len(data.test.perturbations)))
        for model in (
            calibrate(Knn().fit(data.train, data.graph), held_out),
            cross_calibrate(Knn, data.train, data.graph, folds=4),
        ):
            prediction, found = model.predict(test.perturbations), model.intervals(test.perturbations, 0.9)
            assert prediction.spread is not None
            assert prediction.spread.shape == test.shape
            inside = (found.lower <= test.values) & (test.values <= found.upper)
            assert inside[test.measured].mean() == pytest.approx(0.9, abs=0.07)

    def test_cross_calibration_never_scores_what_a_model_saw(self, planted_delta) -> None:
        data = planted_delta
        found = cross_calibrate(Knn, data.train, data.graph, folds=4)
        assert sorted(found.calibration.perturbations) == sorted(data.train.perturbations)
        own = Knn().fit(data.train, data.graph).predict(found.calibration.residuals.perturbations)
        seen = Residuals.of(own, data.train)
        assert np.nanmean(seen.error**2) < np.nanmean(found.calibration.residuals.error**2)

    def test_training_perturbations_are_refused(self, planted_delta) -> None:
        data = planted_delta
        model = Knn().fit(data.train, data.graph)
        with pytest.raises(ModelError, match=r"of these perturbations were trained on, for example 'P\d+'"):
            calibrate(model, data.train)
        with pytest.raises(ModelError, match="1 of these perturbations were trained on"):
            calibrate(model, data.test, trained=[str(data.test.perturbations[0])])

    def test_bad_input(self, planted_delta, planted_de) -> None:
        data = planted_delta
        model = Knn().fit(data.train, data.graph)
        with pytest.raises(ModelError, match="labels of kind 'de' have no residuals"):
            calibrate(model, planted_de.test, trained=())
        with pytest.raises(ModelError, match="'P999' was not measured"):
            Residuals.of(model.predict(["P999"]), data.test)
        renamed = EffectTable([[0.0]], [[True]], ["P1"], ["ELSE"], kind="delta")
        with pytest.raises(ModelError, match="no gene in common"):
            Residuals.of(model.predict(["P1"]), renamed)
        with pytest.raises(ModelError, match="in 1 folds"):
            cross_calibrate(Knn, data.train, data.graph, folds=1)
        with pytest.raises(ModelError, match="cannot be joined"):
            Residuals.joined([residuals(3), residuals(3, genes=4)])
