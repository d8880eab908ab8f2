from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, DataError, GnnvcellError
from gnnvcell.tasks.predicted_cells import PredictedCells, PredictedCellsConfig


def task(real: ad.AnnData, *, config: dict[str, Any] | None = None, **options: Any) -> PredictedCells:
    settings = PredictedCellsConfig(**(config or {"splits": 2}))
    return PredictedCells(Cells.of(real), config=settings, progress=False, **options)


def take(cells: ad.AnnData, rows) -> ad.AnnData:
    return cells[np.asarray(rows)].copy()


def test_deltas_are_means_less_the_controls_of_the_same_batches(make_screen, make_log) -> None:
    """Every number by hand, from dense arrays."""
    real, predicted = make_log(make_screen(seed=0)), make_log(make_screen(seed=1))
    scores = task(real).evaluate(Cells.of(predicted))
    x, y = real.to_df().to_numpy(), predicted.to_df().to_numpy()

    def control(of: ad.AnnData, name: str) -> np.ndarray:
        inside, batch = (of.obs["target_gene"] == name).to_numpy(), of.obs["batch"].astype(str).to_numpy()
        is_control = (real.obs["target_gene"] == "non-targeting").to_numpy()
        out = np.zeros(x.shape[1])
        for b in np.unique(batch[inside]):
            share = (batch[inside] == b).mean()
            out += share * x[is_control & (real.obs["batch"] == b).to_numpy()].mean(axis=0)
        return out

    for place, name in enumerate(("G0", "G1")):
        true = x[real.obs["target_gene"] == name].mean(axis=0) - control(real, name)
        mean = y[predicted.obs["target_gene"] == name].mean(axis=0)
        kept = np.arange(len(true)) != place
        delta = mean - control(predicted, name)
        row = scores.per_perturbation.loc[name]
        assert row["pearson_delta"] == pytest.approx(np.corrcoef(delta[kept], true[kept])[0, 1])
        assert row["effect_size"] == pytest.approx(np.linalg.norm(true[kept]))
        assert row["amplitude_ratio"] == pytest.approx(np.linalg.norm(delta[kept]) / np.linalg.norm(true[kept]))
        assert row["mse"] == pytest.approx(((mean - x[real.obs["target_gene"] == name].mean(axis=0)) ** 2).mean())
        assert row["cells"] == 40


def test_a_replicate_scores_high_and_the_floors_and_ceiling_stand_beside(make_screen) -> None:
    scores = task(make_screen(seed=0)).evaluate(Cells.of(make_screen(seed=1)))
    table = scores.table
    assert list(table.columns) == ["prediction", "no_change", "mean_effect", "ceiling"]
    assert table.loc["centred_pearson_delta", "prediction"] > 0.85
    assert table.loc["discrimination_score_cosine", "prediction"] == pytest.approx(1.0)
    assert table.loc["overlap_at_N", "prediction"] > 0.7
    assert 0.8 < table.loc["amplitude_ratio", "prediction"] < 1.2
    assert table.loc["amplitude_ratio", "no_change"] == 0
    assert table.loc["discrimination_score_cosine", "no_change"] == pytest.approx(0.5 + 0.5 / 6)  # all ties
    assert table.loc["overlap_at_N", "no_change"] == 0
    assert table.loc["pearson_delta", "mean_effect"] < 0.5
    assert table.loc["centred_pearson_delta", "ceiling"] > 0.85
    assert table.loc["mse", "prediction"] < table.loc["mse", "mean_effect"]
    assert 0 < table.loc["vcc2025", "prediction"] < 1
    assert scores.per_perturbation["cells"].tolist() == [40] * 6


def test_the_truth_itself_is_perfect_in_any_order(make_screen) -> None:
    real = make_screen()
    turned = take(real, np.arange(real.n_obs)[::-1])[:, np.arange(real.n_vars)[::-1]].copy()
    metrics = task(real).evaluate(Cells.of(turned)).metrics
    ranks = ("discrimination_score_cosine", "normalised_retrieval", "overlap_at_N")
    for name in ("centred_pearson_delta", "pearson_delta", *ranks):
        assert metrics[name] == pytest.approx(1.0), name
    assert metrics["mae"] == pytest.approx(0.0, abs=1e-9)


def test_counts_and_their_logs_score_alike(make_screen, make_log) -> None:
    real, predicted = make_screen(seed=0), make_screen(seed=1)
    wanted = task(real).evaluate(Cells.of(predicted))
    for truth, guess in ((make_log(real), predicted), (real, make_log(predicted))):
        found = task(truth).evaluate(Cells.of(guess))
        pd.testing.assert_series_equal(pd.Series(found.metrics), pd.Series(wanted.metrics), rtol=1e-4)


def test_files_on_disk_score_as_cells_in_memory(make_screen, tmp_path: Path) -> None:
    real, predicted = make_screen(seed=0), make_screen(seed=1)
    for name, cells in (("real", real), ("pred", predicted)):
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
    truth = Cells.open(tmp_path / "real.h5ad", in_memory=False)
    found = PredictedCells(truth, config=PredictedCellsConfig(splits=2), progress=False)
    found = found.evaluate(Cells.open(tmp_path / "pred.h5ad", in_memory=False))
    wanted = task(real).evaluate(Cells.of(predicted))
    pd.testing.assert_frame_equal(found.per_perturbation, wanted.per_perturbation)


def test_splits_are_seeded(make_screen) -> None:
    real, predicted = make_screen(seed=0), Cells.of(make_screen(seed=1))
    first, again = (task(real, config={"splits": 2, "seed": 3}).evaluate(predicted).ceilings for _ in range(2))
    assert first == again
    assert task(real, config={"splits": 2, "seed": 4}).evaluate(predicted).ceilings != first
    assert task(real, config={"splits": 0}).evaluate(predicted).ceilings == {}


def test_halves_of_the_controls_take_away_what_shared_ones_add(make_screen) -> None:
    """With few controls and no effect at all, the same controls on both sides make noise agree."""
    silent = {"strength": 0.0, "controls": 20, "perturbations": ("X1", "X2", "X3", "X4", "X5", "X6")}
    real, predicted = make_screen(seed=0, **silent), Cells.of(make_screen(seed=1, **silent))
    shared = task(real, config={"splits": 8}).evaluate(predicted)
    halves = task(real, config={"splits": 8, "controls": "halves"}).evaluate(predicted)
    assert shared.metrics["pearson_delta"] > 0.4
    assert halves.metrics["pearson_delta"] < 0.15
    assert any("share the real control cells" in note for note in shared.notes)
    with pytest.raises(ConfigError, match="need splits"):
        task(real, config={"splits": 0, "controls": "halves"})


def test_extra_genes_are_left_out_and_told(make_screen) -> None:
    real = make_screen(seed=0)
    predicted = make_screen(seed=1)
    more = ad.AnnData(
        sp.csr_matrix(np.hstack([predicted.X.toarray(), np.ones((predicted.n_obs, 2))])),
        obs=predicted.obs,
        var=pd.DataFrame(index=pd.Index([*predicted.var_names, "X1", "X2"])),
    )
    scores = task(real).evaluate(Cells.of(more))
    assert scores.metrics == task(real).evaluate(Cells.of(predicted)).metrics
    assert any("2 predicted genes are not among the real ones" in note for note in scores.notes)


def test_perturbations_of_one_side_are_left_out_and_told(make_screen) -> None:
    real = make_screen(seed=0)
    predicted = make_screen(seed=1, perturbations=("G0", "G1", "G2", "G9"))
    scores = task(real).evaluate(Cells.of(predicted))
    assert scores.per_perturbation.index.tolist() == ["G0", "G1", "G2"]
    assert any("3 perturbations of the real cells are not predicted: G3, G4, G5" in note for note in scores.notes)
    assert any("1 predicted perturbations are not among the real cells: G9" in note for note in scores.notes)


def test_combinations_match_in_any_order(make_screen) -> None:
    real = make_screen(perturbations=("G0", "G1", "G2+G3"))
    turned = real.copy()
    turned.obs["target_gene"] = turned.obs["target_gene"].astype(str).replace("G2+G3", "G3+G2")
    assert task(real).evaluate(Cells.of(turned)).metrics["pearson_delta"] == pytest.approx(1.0)


def test_cell_types_are_scored_apart(make_screen) -> None:
    real = make_screen(seed=0, contexts=("k562", "rpe1"))
    predicted = make_screen(seed=1, contexts=("rpe1", "k562"))
    scores = task(real).evaluate(Cells.of(predicted))
    assert len(scores.per_perturbation) == 12
    assert "G0 (k562)" in scores.per_perturbation.index
    alone = task(make_screen(seed=0)).evaluate(Cells.of(make_screen(seed=1)))
    assert scores.metrics["discrimination_score_cosine"] == pytest.approx(alone.metrics["discrimination_score_cosine"])
    assert scores.metrics["overlap_at_N"] == pytest.approx(alone.metrics["overlap_at_N"])
    other = predicted.copy()
    other.obs["cell_type"] = other.obs["cell_type"].astype(str).replace("rpe1", "rpe")
    with pytest.raises(DataError, match=r"1 cell types of the prediction(.|\n)*did you mean 'rpe1'"):
        task(real).evaluate(Cells.of(other))


def test_training_cells_give_the_centre_and_the_floor(make_screen) -> None:
    real, predicted = make_screen(seed=0), Cells.of(make_screen(seed=1))
    train = make_screen(seed=2, perturbations=("G6", "G7", "G8"))
    with_file = task(real, train=Cells.of(train)).evaluate(predicted)
    assert any("3 training perturbations of the training file" in note for note in with_file.notes)
    assert np.isnan(with_file.floors["mean_effect"]["centred_pearson_delta"])
    assert with_file.metrics["pearson_delta"] == task(real).evaluate(predicted).metrics["pearson_delta"]
    assert with_file.metrics["centred_pearson_delta"] != task(real).evaluate(predicted).metrics["centred_pearson_delta"]
    seen = task(real, train=Cells.of(make_screen(seed=2))).evaluate(predicted)
    assert any("6 scored perturbations are among the training ones" in note for note in seen.notes)


def test_a_split_says_what_is_scored_and_what_is_learned_from(make_screen) -> None:
    real, predicted = make_screen(seed=0), make_screen(seed=1)
    part = {"non-targeting": "control", "G0": "test", "G1": "test", "G2": "val"}
    parts = np.array([part.get(name, "train") for name in real.obs["target_gene"]])
    scores = task(real, parts=parts).evaluate(Cells.of(predicted))
    assert scores.per_perturbation.index.tolist() == ["G0", "G1"]
    assert any("3 training perturbations of the split" in note for note in scores.notes)
    assert any("4 predicted perturbations are not among the held-out ones: G2, G3" in note for note in scores.notes)
    assert task(real, parts=parts, part="val").evaluate(Cells.of(predicted)).per_perturbation.index.tolist() == ["G2"]
    lacking = take(predicted, predicted.obs["target_gene"] != "G1")
    with pytest.raises(DataError, match=r"lacks 1 of 2 held-out perturbations(.|\n)*nothing for G1"):
        task(real, parts=parts).evaluate(Cells.of(lacking))
    for wrong in ("train", "more"):
        with pytest.raises(DataError, match="cannot be scored"):
            task(real, parts=parts, part=wrong)
    with pytest.raises(DataError, match="none of the split's training perturbations"):
        task(real, parts=np.where(parts == "train", "val", parts))


def test_one_perturbation_has_no_mean_effect_and_no_rank(make_screen) -> None:
    real = make_screen(seed=0, perturbations=("G0",))
    scores = task(real).evaluate(Cells.of(make_screen(seed=1, perturbations=("G0",))))
    assert set(scores.floors) == {"no_change"}
    assert np.isnan(scores.metrics["centred_pearson_delta"])
    assert np.isnan(scores.metrics["discrimination_score_cosine"])
    assert scores.metrics["pearson_delta"] > 0.85


def test_strata_follow_effect_size_and_support(make_screen) -> None:
    support = {f"G{i}": float(i) for i in range(5)}
    scores = task(make_screen(seed=0), support=support).evaluate(Cells.of(make_screen(seed=1)))
    assert scores.by_effect_size["perturbations"].sum() == 6
    assert scores.by_support["perturbations"].sum() == 5
    assert scores.by_support["from"].iloc[0] == 0
    assert scores.by_support["to"].iloc[-1] == 4
    assert any("not known for 1 perturbations" in note for note in scores.notes)
    table = scores.per_perturbation
    lowest = table[table["effect_size"] <= scores.by_effect_size["to"].iloc[0]]
    assert scores.by_effect_size["pearson_delta"].iloc[0] == pytest.approx(lowest["pearson_delta"].mean())
    assert task(make_screen(seed=0)).evaluate(Cells.of(make_screen(seed=1))).by_support.empty


def broken(cells: ad.AnnData, value: float) -> ad.AnnData:
    out = cells.copy()
    out.X = sp.csr_matrix(out.X)
    out.X.data[-1] = value
    return out


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_that_are_none_are_refused_on_both_sides(make_screen, make_log, value: float) -> None:
    good = make_log(make_screen(seed=0))
    with pytest.raises(GnnvcellError):
        task(broken(good, value))
    with pytest.raises(GnnvcellError):
        task(good).evaluate(Cells.of(broken(make_log(make_screen(seed=1)), value)))


def test_a_prediction_that_mixes_counts_and_logs_is_refused(make_screen, make_log) -> None:
    counts = make_screen(seed=1)
    mixed = ad.concat([take(make_log(counts), np.arange(0, 160)), take(counts, np.arange(160, counts.n_obs))])
    with pytest.raises(GnnvcellError):
        task(make_screen(seed=0)).evaluate(Cells.of(mixed))


def test_genes_must_have_the_real_names(make_screen) -> None:
    real = task(make_screen(seed=0))
    numbered = make_screen(seed=1)
    numbered.var_names = [str(i) for i in range(numbered.n_vars)]
    with pytest.raises(DataError, match=r"numbers for names(.|\n)*predicting the knock-down alone"):
        real.evaluate(Cells.of(numbered))
    fewer = make_screen(seed=1)[:, 3:].copy()
    with pytest.raises(DataError, match=r"lacks 3 of 40 genes(.|\n)*missing: G0, G1, G2"):
        real.evaluate(Cells.of(fewer))
    other = make_screen(seed=1)
    other.var_names = [f"ENSG{i:011d}" for i in range(other.n_vars)]
    with pytest.raises(DataError, match=r"lacks 40 of 40 genes(.|\n)*--gene-names"):
        real.evaluate(Cells.of(other))


def test_perturbations_must_overlap(make_screen) -> None:
    with pytest.raises(DataError, match="no perturbation in common"):
        task(make_screen()).evaluate(Cells.of(make_screen(perturbations=("G8", "G9"))))


def test_controls_must_be_in_every_batch(make_screen) -> None:
    real = make_screen()
    bare = take(real, ~((real.obs["target_gene"] == "non-targeting") & (real.obs["batch"] == "b1")))
    with pytest.raises(DataError, match=r"1 batches of the real cells(.|\n)*none in batch 'b1'"):
        task(bare)
    none = take(real, real.obs["target_gene"] != "non-targeting")
    with pytest.raises(GnnvcellError):
        task(none)


def test_a_prediction_needs_no_controls_and_no_batches(make_screen) -> None:
    predicted = make_screen(seed=1)
    bare = take(predicted, predicted.obs["target_gene"] != "non-targeting")
    del bare.obs["batch"]  # type: ignore[reportIndexIssue]
    scores = task(make_screen(seed=0)).evaluate(Cells.of(bare))
    assert scores.metrics["centred_pearson_delta"] > 0.85


def test_another_scale_is_told(make_screen, make_log) -> None:
    shrunk = make_log(make_screen(seed=1))
    shrunk.X = shrunk.X * 0.3
    scores = task(make_screen(seed=0)).evaluate(Cells.of(shrunk))
    assert any("not on one scale" in note for note in scores.notes)
