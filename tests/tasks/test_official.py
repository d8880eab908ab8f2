import sys
import tarfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, DataError, DependencyError
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.official.packing import PackConfig, pack_vcc
from gnnvcell.tasks.official.pair import OfficialPair, official_cells, official_pairs
from gnnvcell.tasks.official.running import recorded, require_scorer
from gnnvcell.tasks.official.vcc2025 import Vcc2025Config, score_vcc2025
from gnnvcell.tasks.official.vcc2026 import Vcc2026Config, score_vcc2026
from gnnvcell.tasks.predicted_cells import PredictedCells, PredictedCellsConfig


def the_pair(predicted: ad.AnnData, real: ad.AnnData) -> OfficialPair:
    (pair,) = official_pairs(Cells.of(predicted), Cells.of(real))
    return pair


def without(cells: ad.AnnData, label: str) -> ad.AnnData:
    return cells[(cells.obs["target_gene"] != label).to_numpy()].copy()


def test_both_sides_have_the_same_genes_perturbations_and_controls(make_screen) -> None:
    real, predicted = make_screen(seed=0), make_screen(seed=1, perturbations=("G2", "G0", "G9"))
    turned = without(predicted, "non-targeting")[:, np.arange(predicted.n_vars)[::-1]].copy()
    pair = the_pair(turned, real)
    assert pair.predicted.var_names.tolist() == pair.real.var_names.tolist() == real.var_names.tolist()
    for cells in (pair.predicted, pair.real):
        assert set(cells.obs["target_gene"]) == {"non-targeting", "G0", "G2"}
        assert cells.obs_names.is_unique
    assert any("80 real ones were added" in note for note in pair.notes)
    one = np.flatnonzero(predicted.obs["target_gene"] == "G2")[0]
    mine = np.flatnonzero(pair.predicted.obs["target_gene"] == "G2")[0]
    np.testing.assert_array_equal(pair.predicted.to_df().iloc[mine], predicted.to_df().iloc[one])


def test_cell_types_become_pairs(make_screen) -> None:
    real = make_screen(seed=0, contexts=("k562", "rpe1"))
    pairs = official_pairs(Cells.of(make_screen(seed=1, contexts=("k562", "rpe1"))), Cells.of(real))
    assert [pair.context for pair in pairs] == ["k562", "rpe1"]
    assert [pair.real.n_obs for pair in pairs] == [320, 320]
    train = official_cells(Cells.of(real), pairs[1])
    assert train.n_obs == 320
    assert set(train.obs["target_gene"]) == {"non-targeting", *(f"G{i}" for i in range(6))}


def test_the_digest_follows_the_content(make_screen) -> None:
    real, predicted = make_screen(seed=0), make_screen(seed=1)
    assert the_pair(predicted, real).real_digest == the_pair(make_screen(seed=2), real.copy()).real_digest
    assert the_pair(predicted, real).real_digest != the_pair(predicted, make_screen(seed=3)).real_digest


def test_missing_controls_of_other_values_are_refused(make_screen, make_log) -> None:
    with pytest.raises(DataError, match="no control cells, and the real ones hold other values"):
        the_pair(without(make_log(make_screen(seed=1)), "non-targeting"), make_screen(seed=0))


def test_vcc2026_wants_counts_on_both_sides(make_screen, make_log, tmp_path: Path) -> None:
    counts, logs = make_screen(seed=0), make_log(make_screen(seed=0))
    for predicted, real, side in ((logs, counts, "predicted"), (counts, logs, "real")):
        with pytest.raises(DataError, match=f"integer counts, and the {side} cells hold none"):
            score_vcc2026(the_pair(predicted, real), tmp_path)


def test_a_scorer_that_is_not_installed_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cell_eval", None)
    with pytest.raises(DependencyError, match=r"cell-eval is not installed(.|\n)*pip install 'gnnvcell\[eval\]'"):
        require_scorer("cell_eval")


def test_what_a_scorer_says_goes_into_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        print("one\rtwo")
        raise ValueError("no such thing")

    with pytest.raises(DataError, match=r"cell-eval refused the data(.|\n)*no such thing"), recorded(
        tmp_path / "log", "cell-eval"
    ):
        fail()
    assert (tmp_path / "log").read_text() == "one\ntwo\nValueError: no such thing\n"
    assert capsys.readouterr().out == ""


@pytest.fixture
def cell_eval():
    return pytest.importorskip("cell_eval", reason="pip install 'gnnvcell[eval]'")


@pytest.fixture
def cell_eval2():
    return pytest.importorskip("cell_eval2", reason="pip install 'gnnvcell[eval]'")


def test_vcc2025_is_what_cell_eval_says(cell_eval, make_screen, make_log, tmp_path: Path) -> None:
    real, predicted = make_log(make_screen(seed=0)), make_log(make_screen(seed=1))
    scores = score_vcc2025(the_pair(predicted, real), tmp_path / "out")
    evaluator = cell_eval.MetricsEvaluator(
        predicted, real, control_pert="non-targeting", pert_col="target_gene", outdir=str(tmp_path / "direct")
    )
    _, direct = evaluator.compute(profile="vcc")
    wanted = dict(zip(direct.columns, direct.row(2), strict=True))
    assert wanted.pop("statistic") == "mean"
    assert scores.table["prediction"].to_dict() == pytest.approx(wanted)
    assert scores.per_perturbation.index.tolist() == [f"G{i}" for i in range(6)]
    assert 0 < scores.overall <= 1
    assert scores.table["score"].mean() == pytest.approx(scores.overall)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"results.csv", "agg_results.csv", "baseline_agg_results.csv", "score.csv", "scorer.log"} <= names


def test_vcc2025_takes_the_baseline_from_training_cells(cell_eval, make_screen, tmp_path: Path) -> None:
    pair = the_pair(make_screen(seed=1), make_screen(seed=0))
    train = official_cells(Cells.of(make_screen(seed=2, perturbations=("G7", "G8", "G9"))), pair)
    own = score_vcc2025(the_pair(make_screen(seed=1), make_screen(seed=0)), tmp_path / "own")
    other = score_vcc2025(pair, tmp_path / "train", train=train)
    assert own.table["prediction"].to_dict() == pytest.approx(other.table["prediction"].to_dict())
    assert own.table["baseline"]["mae"] != pytest.approx(other.table["baseline"]["mae"])
    plain = the_pair(make_screen(seed=1), make_screen(seed=0))
    bare = score_vcc2025(plain, tmp_path / "bare", config=Vcc2025Config(baseline=False))
    assert list(bare.table.columns) == ["prediction"]
    assert np.isnan(bare.overall)


def test_vcc2025_tests_the_real_cells_once(
    cell_eval, make_screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = DETables(cache=tmp_path / "cache")
    first = score_vcc2025(the_pair(make_screen(seed=1), make_screen(seed=0)), tmp_path / "a", tables=tables)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".parquet"]
    module = sys.modules["cell_eval._evaluator"]
    tested, pdex = [], module.pdex
    monkeypatch.setattr(module, "pdex", lambda **options: tested.append(1) or pdex(**options))
    again = score_vcc2025(the_pair(make_screen(seed=1), make_screen(seed=0)), tmp_path / "b", tables=tables)
    assert len(tested) == 2  # the prediction and the baseline
    pd.testing.assert_frame_equal(again.table, first.table)
    given = DETables(real=tmp_path / "a" / "real_de.csv", predicted=tmp_path / "a" / "pred_de.csv")
    third = score_vcc2025(the_pair(make_screen(seed=1), make_screen(seed=0)), tmp_path / "c", tables=given)
    assert len(tested) == 3
    pd.testing.assert_frame_equal(third.table, first.table)


def test_our_scores_are_those_of_cell_eval(cell_eval, make_screen, make_log, tmp_path: Path) -> None:
    """On log-normalised files without batches, whose control cells are the same."""
    real, predicted = make_log(make_screen(seed=0)), make_log(make_screen(seed=1))
    controls = (real.obs["target_gene"] == "non-targeting").to_numpy()
    predicted = ad.concat([real[controls], without(predicted, "non-targeting")], index_unique="-")
    for cells in (real, predicted):
        del cells.obs["batch"]  # type: ignore[reportIndexIssue]
    pair = the_pair(predicted, real)
    theirs = score_vcc2025(pair, tmp_path, config=Vcc2025Config(profile="minimal")).per_perturbation
    config = PredictedCellsConfig(splits=0, convention="cell-eval")
    ours = PredictedCells(Cells.of(real), config=config, progress=False).evaluate(Cells.of(predicted))
    for name in theirs:
        np.testing.assert_allclose(ours.per_perturbation[name], theirs[name].to_numpy(), atol=1e-6, err_msg=str(name))
    assert {"pearson_delta", "mae", "mse", "discrimination_score_l1", "overlap_at_N", "precision_at_N"} <= set(theirs)


def test_vcc2026_is_what_cell_eval2_says(cell_eval2, make_screen, tmp_path: Path) -> None:
    from dataclasses import replace

    real, predicted = make_screen(seed=0), make_screen(seed=1)
    scores = score_vcc2026(the_pair(predicted, real), tmp_path / "out", cache=tmp_path / "cache")
    preset = cell_eval2.EvalConfig.from_preset("vcc2026")
    direct = cell_eval2.compute_metrics(
        predicted, real, config=replace(preset, pert_col="target_gene", de=replace(preset.de, backend="pdex"))
    )
    means = cell_eval2.aggregate_metrics(direct)
    wanted = dict(zip(means["metric"].to_list(), means["mean"].to_list(), strict=True))
    found = {name: value for name, value in scores.table["prediction"].items() if np.isfinite(wanted.get(name, np.nan))}
    assert found == pytest.approx({name: wanted[name] for name in found})
    assert "pds_cosine" in found
    assert list(scores.table.columns) == ["prediction", "baseline", "replicate", "score"]
    assert np.isfinite(scores.overall)
    bundles = list((tmp_path / "cache").glob("bundle-*"))
    stamp = (bundles[0] / "manifest.json").stat().st_mtime_ns
    again = score_vcc2026(the_pair(predicted, real), tmp_path / "again", cache=tmp_path / "cache")
    assert (bundles[0] / "manifest.json").stat().st_mtime_ns == stamp
    pd.testing.assert_frame_equal(again.table, scores.table)


def test_vcc2026_scales_nothing_with_given_tables(cell_eval2, make_screen, tmp_path: Path) -> None:
    pair = the_pair(make_screen(seed=1), make_screen(seed=0))
    plain = score_vcc2026(pair, tmp_path / "a", config=Vcc2026Config(baseline=False))
    assert list(plain.table.columns) == ["prediction"]
    given = DETables(real=tmp_path / "a" / "de_real.parquet", predicted=tmp_path / "a" / "de_pred.parquet")
    with pytest.raises(ConfigError, match="cannot be scored on the scale of vcc2026"):
        score_vcc2026(pair, tmp_path / "b", tables=given)
    again = score_vcc2026(pair, tmp_path / "c", tables=given, config=Vcc2026Config(baseline=False))
    pd.testing.assert_frame_equal(again.table, plain.table)


@pytest.fixture
def submission(make_screen, tmp_path: Path) -> tuple[Path, Path]:
    cells = make_screen(seed=1)
    cells[:, np.arange(cells.n_vars)[::-1]].copy().write_h5ad(tmp_path / "pred.h5ad")
    (tmp_path / "genes.csv").write_text("\n".join(cells.var_names) + "\n")
    return tmp_path / "pred.h5ad", tmp_path / "genes.csv"


def test_a_prediction_is_packed(cell_eval, submission: tuple[Path, Path], tmp_path: Path) -> None:
    import subprocess

    path, genes = submission
    report = pack_vcc(Cells.open(path), genes, tmp_path / "x.vcc")
    assert (report.cells, report.controls, report.genes, report.perturbations) == (320, 80, 40, 6)
    assert "order of the list" in str(report)
    assert "normalised to their median" in str(report)
    with tarfile.open(tmp_path / "x.vcc") as archive:
        assert set(archive.getnames()) == {"pred.h5ad.zst", "watermark.txt"}
        archive.extractall(tmp_path / "unpacked", filter="data")
    subprocess.run(["zstd", "-q", "-d", str(tmp_path / "unpacked" / "pred.h5ad.zst")], check=True)
    packed = ad.read_h5ad(tmp_path / "unpacked" / "pred.h5ad")
    assert packed.var_names.tolist() == genes.read_text().split()
    assert packed.to_df().dtypes.unique().tolist() == [np.float32]
    assert list(packed.obs.columns) == ["target_gene"]
    assert sp.issparse(packed.X)


def test_what_cannot_be_packed_is_refused(
    cell_eval, make_screen, submission: tuple[Path, Path], tmp_path: Path
) -> None:
    path, genes = submission
    with pytest.raises(DataError, match=r"320 cells(.|\n)*at most 100"):
        pack_vcc(Cells.open(path), genes, tmp_path / "x.vcc", config=PackConfig(max_cells=100))
    (tmp_path / "more.csv").write_text(genes.read_text() + "TP53\n")
    with pytest.raises(DataError, match=r"lacks 1 of 41 genes(.|\n)*missing: TP53"):
        pack_vcc(Cells.open(path), tmp_path / "more.csv", tmp_path / "x.vcc")
    (tmp_path / "fewer.csv").write_text("\n".join(genes.read_text().split()[:-1]) + "\n")
    with pytest.raises(DataError, match="1 predicted genes are not in the gene list"):
        pack_vcc(Cells.open(path), tmp_path / "fewer.csv", tmp_path / "x.vcc")
    assert not (tmp_path / "x.vcc").exists()
