"""Scores of predicted cells against cell-eval, on 20,000 cells x 2,000 genes x 100 perturbations and on Papalexi 2021.

    pytest benchmarks/speed/test_metrics_speed.py --benchmark-only -s

Both sides start from the same two AnnData in memory, and run turn by turn in one process. Differential expression is
left out of the times: either the scores that need none, or all scores with both tables given. Every value is compared
in the run; ``-s`` prints the table of differences. ``GNNVCELL_BENCH_CELLS`` makes the simulated file smaller.
"""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from contest import compete  # pyright: ignore[reportMissingImports]
from scored_cells import COLUMN, CONTROL, papalexi_pair, simulated_pair  # pyright: ignore[reportMissingImports]

from gnnvcell.data.differential import differential_expression
from gnnvcell.metrics import DECalls, PseudoBulk, score_all

CELLS = int(os.environ.get("GNNVCELL_BENCH_CELLS", 20_000))
FULL_SIZE = 20_000
PAPALEXI = Path(__file__).resolve().parents[3] / "shared" / "data" / "cells" / "papalexi2021_thp1_eccite.h5ad"
ROUNDS = 5
OF_MEANS = (
    "mae", "mse", "mae_delta", "mse_delta", "pearson_delta",
    "discrimination_score_l1", "discrimination_score_l2", "discrimination_score_cosine",
)  # fmt: skip
SKIPPED = ["pearson_edistance", "clustering_agreement"]  # of single cells, and of a clustering: not ours

Pair = tuple[ad.AnnData, ad.AnnData]


@pytest.fixture(scope="module", params=["simulated", "papalexi"])
def pair(request: pytest.FixtureRequest) -> Pair:
    if request.param == "simulated":
        return simulated_pair(CELLS)
    if not PAPALEXI.exists():
        pytest.skip("the real files are not beside the checkout")
    return papalexi_pair(PAPALEXI)


def tables(pair: Pair) -> list[pd.DataFrame]:
    fields: dict[str, Any] = {"perturbation_key": COLUMN, "control": CONTROL, "batch_key": None, "min_cells": 1}
    return [differential_expression(cells, **fields, assume="log1p", threads=1).table() for cells in pair]


def ours(pair: Pair, de: list[pd.DataFrame] | None) -> pd.DataFrame:
    genes = pair[1].var_names.to_numpy(dtype=str)
    predicted, real = (
        PseudoBulk.of_cells(cells.X, cells.obs[COLUMN].to_numpy(dtype=str), CONTROL, genes)  # type: ignore[arg-type]
        for cells in pair
    )
    if de is None:
        return score_all(predicted, real, metrics=OF_MEANS, convention="cell-eval")
    calls = [DECalls.of_table(table, real.perturbations, genes) for table in de]
    return score_all(predicted, real, calls[0], calls[1], convention="cell-eval")


def theirs(pair: Pair, de: list[Any] | None) -> pd.DataFrame:
    """What ``MetricsEvaluator.compute`` does, without its look at every value of the files and without writing any."""
    pytest.importorskip("cell_eval", reason="pip install cell-eval==0.8.2 to race it")
    from cell_eval._pipeline import MetricPipeline  # pyright: ignore[reportMissingImports]
    from cell_eval._types import (  # pyright: ignore[reportMissingImports]
        PerturbationAnndataPair,
        initialize_de_comparison,
    )

    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        cells = PerturbationAnndataPair(real=pair[1], pred=pair[0], control_pert=CONTROL, pert_col=COLUMN)
        pipeline = MetricPipeline(profile="full" if de else "anndata", break_on_error=True)
        pipeline.skip_metrics(SKIPPED)
        if de is not None:
            pipeline.compute_de_metrics(initialize_de_comparison(real=de[1], pred=de[0]))
        pipeline.compute_anndata_metrics(cells)
        return pipeline.get_results().to_pandas().set_index("perturbation").sort_index()


def check_parity(mine: pd.DataFrame, other: pd.DataFrame, name: str) -> None:
    """Every value within 1e-6, and not defined in the same places; prints the largest difference of each metric."""
    assert mine.index.tolist() == other.index.tolist()
    print(f"\n| metric ({name}, {len(mine)} perturbations) | cell-eval's mean | largest difference |\n|---|---|---|")
    for metric in other.columns:
        x, y = mine[metric].to_numpy(dtype=float), other[metric].to_numpy(dtype=float)
        np.testing.assert_array_equal(np.isnan(x), np.isnan(y), err_msg=metric)
        largest = np.nanmax(np.abs(x - y), initial=0)
        print(f"| `{metric}` | {np.nanmean(y):.4f} | {largest:.1e} |")
        assert largest <= 1e-6, metric


@pytest.mark.benchmark(group="scores")
@pytest.mark.parametrize("what", ["scores of means and deltas", "all scores, tables of tests given"])
def test_scores_against_cell_eval(benchmark, pair: Pair, what: str) -> None:
    polars = pytest.importorskip("polars", reason="comes with cell-eval")
    mine = other = None
    if what.startswith("all"):
        mine = tables(pair)
        other = [polars.from_pandas(table) for table in mine]
    size = f"{pair[1].n_obs:,} x {pair[1].n_vars:,}"
    check_parity(ours(pair, mine), theirs(pair, other), size)
    outcome = compete(
        lambda: ours(pair, mine),
        lambda: theirs(pair, other),
        case=f"{what}, {size}",
        rival="cell-eval",
        target=5.0,
        threads=1,
        rounds=ROUNDS,
    )
    benchmark.pedantic(ours, args=(pair, mine), rounds=3)
    if pair[1].n_obs >= FULL_SIZE:
        assert outcome.ratio >= 5


@pytest.mark.benchmark(group="scores, tests included")
def test_scores_and_tests_against_cell_eval(benchmark, pair: Pair, tmp_path: Path) -> None:
    """From two AnnData to all scores, each side with tests of its own; both on one thread."""
    package = pytest.importorskip("cell_eval", reason="pip install cell-eval==0.8.2 to race it")

    def official() -> pd.DataFrame:
        with contextlib.redirect_stderr(io.StringIO()):
            evaluator = package.MetricsEvaluator(
                *pair, control_pert=CONTROL, pert_col=COLUMN, num_threads=1, outdir=str(tmp_path)
            )
            results, _ = evaluator.compute(profile="full", skip_metrics=SKIPPED, write_csv=False)
        return results.to_pandas().set_index("perturbation").sort_index()

    def own() -> pd.DataFrame:
        return ours(pair, tables(pair))

    check_parity(own(), official(), f"{pair[1].n_obs:,} x {pair[1].n_vars:,}, own tests")
    case = f"all scores and tests, {pair[1].n_obs:,} x {pair[1].n_vars:,}"
    compete(own, official, case=case, rival="cell-eval", target=None, threads=1, rounds=3)
    benchmark.pedantic(own, rounds=3)
