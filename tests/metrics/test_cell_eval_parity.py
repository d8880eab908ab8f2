"""Our scores are cell-eval's: against numbers it gave, and against the package itself where it is installed."""

import math
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.differential import differential_expression
from gnnvcell.metrics import DECalls, PseudoBulk, ceilings, disjoint_halves, score_all, vcc2025_score

NAN = math.nan
CONTROL, COLUMN = "non-targeting", "target"
SUM_OF_REAL_VALUES = 1699.0732  # the numbers below are of these cells

# cell-eval 0.8.2 on ``small_pair()``, perturbations in alphabetical order.
CELL_EVAL = {
    "de_direction_match": [0.666666667, 1, 1, 1, NAN, 1],
    "de_nsig_counts_pred": [4, 8, 6, 4, 2, 3],
    "de_nsig_counts_real": [6, 5, 4, 2, 0, 1],
    "de_sig_genes_recall": [0.333333333, 1, 0.75, 0.5, NAN, 1],
    "de_spearman_lfc_sig": [0.885714286, 0.9, 0.8, 1, NAN, NAN],
    "de_spearman_sig": [0.564288094, 0.564288094, 0.564288094, 0.564288094, 0.564288094, 0.564288094],
    "discrimination_score_cosine": [1, 1, 1, 1, 0.333333333, 1],
    "discrimination_score_l1": [0.166666667, 1, 1, 1, 0.833333333, 1],
    "discrimination_score_l2": [0.166666667, 0.833333333, 1, 1, 0.833333333, 1],
    "mae": [0.138136879, 0.0962378755, 0.0993952528, 0.118762814, 0.103959888, 0.0845353901],
    "mae_delta": [0.163824275, 0.127088025, 0.099560231, 0.120407797, 0.12206918, 0.10408473],
    "mse": [0.0569561124, 0.0408788323, 0.0378909111, 0.0399984606, 0.0418534912, 0.0349739417],
    "mse_delta": [0.0771590844, 0.0499461591, 0.0364912041, 0.0400596373, 0.0433186926, 0.0372229367],
    "overlap_at_N": [0.333333333, 0.4, 0.5, 0, 0, 0],
    "pearson_delta": [0.464537799, 0.467555135, 0.471054584, 0.193833038, -0.0963762105, 0.26870513],
    "pr_auc": [0.359126984, 0.559285714, 0.525, 0.291666667, NAN, 0.5],
    "precision_at_N": [0.5, 0.625, 0.5, 0.25, 0, 0.333333333],
    "roc_auc": [0.509259259, 0.884210526, 0.875, 0.852272727, NAN, 0.956521739],
}
# Its ceiling with seed 0.
CEILING = {
    "de_direction_match": 1,
    "de_sig_genes_recall": 0.769230769,
    "de_spearman_sig": 1,
    "discrimination_score_cosine": 0.956521739,
    "discrimination_score_l1": 0.985915493,
    "discrimination_score_l2": 0.985915493,
    "overlap_at_N": 0.588235294,
    "pearson_delta": 0.684113852,
    "precision_at_N": 0.515463918,
}
SKIPPED = ["pearson_edistance", "clustering_agreement"]  # not scores of means or of tests


def table_of(cells: ad.AnnData) -> pd.DataFrame:
    found = differential_expression(cells, perturbation_key=COLUMN, batch_key=None, min_cells=1, assume="log1p")
    return found.table()


def profile(predicted: ad.AnnData, real: ad.AnnData) -> pd.DataFrame:
    """All of ours by cell-eval's conventions, tests included."""
    bulks, calls = [], []
    for cells in (predicted, real):
        labels, genes = cells.obs[COLUMN].to_numpy(dtype=str), cells.var_names.to_numpy(dtype=str)
        bulks.append(PseudoBulk.of_cells(cells.X, labels, CONTROL, genes))  # type: ignore[arg-type]
        calls.append(DECalls.of_table(table_of(cells), bulks[-1].perturbations, genes))
    return score_all(bulks[0], bulks[1], calls[0], calls[1], convention="cell-eval")


def check_against(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    assert ours.index.tolist() == theirs.index.tolist()
    for name in theirs.columns:
        np.testing.assert_allclose(ours[name], theirs[name].astype(float), atol=1e-6, rtol=0, err_msg=name)


def test_the_numbers_of_cell_eval(screens) -> None:
    predicted, real = screens
    if not math.isclose(float(real.X.sum()), SUM_OF_REAL_VALUES, rel_tol=1e-6):
        pytest.skip("numpy draws other cells from the seed than those that were scored")
    ours = profile(predicted, real)
    check_against(ours, pd.DataFrame(CELL_EVAL, index=ours.index))
    first, second = disjoint_halves(real.obs[COLUMN].to_numpy(), seed=0)
    found = ceilings(profile(real[second].copy(), real[first].copy()))
    for name, value in CEILING.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def evaluator(predicted: ad.AnnData, real: ad.AnnData, folder: Any) -> Any:
    package = pytest.importorskip("cell_eval", reason="pip install cell-eval==0.8.2 to compare with it")
    return package.MetricsEvaluator(
        predicted.copy(), real.copy(), control_pert=CONTROL, pert_col=COLUMN, num_threads=1, outdir=str(folder)
    )


def test_agrees_with_cell_eval(screens, tmp_path) -> None:
    official = evaluator(screens[0], screens[1], tmp_path)
    results, _ = official.compute(profile="full", skip_metrics=SKIPPED, write_csv=False)
    theirs = results.to_pandas().set_index("perturbation").sort_index()
    check_against(profile(*screens), theirs)


def test_cell_eval_takes_our_tables(screens, tmp_path) -> None:
    package = pytest.importorskip("cell_eval", reason="pip install cell-eval==0.8.2 to compare with it")
    de_pred, de_real = (table_of(cells) for cells in screens)
    predicted, real = (cells.copy() for cells in screens)
    fields = {"control_pert": CONTROL, "pert_col": COLUMN, "outdir": str(tmp_path)}
    official = package.MetricsEvaluator(predicted, real, de_pred=de_pred, de_real=de_real, **fields)
    results, _ = official.compute(profile="de", write_csv=False)
    check_against(profile(*screens), results.to_pandas().set_index("perturbation").sort_index())


def test_the_challenge_score_is_that_of_cell_eval(screens, tmp_path) -> None:
    polars = pytest.importorskip("polars", reason="comes with cell-eval")
    package = pytest.importorskip("cell_eval", reason="pip install cell-eval==0.8.2 to compare with it")
    from cell_eval._score import score_agg_metrics  # pyright: ignore[reportMissingImports]

    assert package is not None
    user = {"mae": 0.05, "discrimination_score_l1": 0.7, "overlap_at_N": 0.1, "pr_auc": NAN}
    base = {"mae": 0.06, "discrimination_score_l1": 0.5, "overlap_at_N": 0.12, "pr_auc": 0.2}
    frames = [polars.DataFrame({"statistic": ["mean"], **{k: [v] for k, v in side.items()}}) for side in (user, base)]
    theirs = dict(score_agg_metrics(*frames).iter_rows())
    assert vcc2025_score(user, base, tuple(user)) == pytest.approx(theirs)
