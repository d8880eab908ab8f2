"""The scorer of the Virtual Cell Challenge 2025, cell-eval, called as it is."""

from pathlib import Path
from typing import Any, Literal

import anndata as ad
import pandas as pd

from gnnvcell import keys
from gnnvcell.config import Config, digest_of
from gnnvcell.errors import DataError
from gnnvcell.tasks.de_tables import DETables, read_de_table
from gnnvcell.tasks.official.pair import OfficialPair
from gnnvcell.tasks.official.running import recorded, require_scorer, scorer_version
from gnnvcell.tasks.official.scores import OfficialScores

_FIELDS = {"pert_col": keys.TARGET_GENE, "control_pert": keys.NON_TARGETING}
# Quadratic in the cells, and no part of the challenge.
_SKIPPED = ["pearson_edistance"]


class Vcc2025Config(Config):
    """Settings of a run of cell-eval.

    Args:
        profile: cell-eval's set of metrics: "vcc" is the challenge's three.
        baseline: also score the mean of perturbation means, and the challenge's scaled score against it.
        threads: of the rank-sum tests.
    """

    profile: Literal["vcc", "minimal", "full", "de", "anndata"] = "vcc"
    baseline: bool = True
    threads: int = 1


def score_vcc2025(
    pair: OfficialPair,
    out: str | Path,
    *,
    config: Vcc2025Config | None = None,
    train: ad.AnnData | None = None,
    tables: DETables | None = None,
) -> OfficialScores:
    """Score a prediction by ``cell_eval.MetricsEvaluator``.

    cell-eval takes each file's own control cells and excludes the target gene by name in its discrimination score
    only. Counts are normalised by it to the file's own median and log-transformed. The baseline is cell-eval's
    ``build_base_mean_adata``, the scaled score its ``score_agg_metrics``.

    Args:
        pair: prediction and truth, brought together by ``official_pair``; their matrices are changed in place.
        out: folder of cell-eval's own files: results.csv, agg_results.csv, the same with ``baseline_``, score.csv,
            scorer.log.
        config: settings.
        train: cells whose mean of perturbation means is the baseline, as ``official_cells`` gives them; the real cells
            when left out.
        tables: tables of differential expression to use or to keep.

    Raises:
        DependencyError: cell-eval is not installed.
        DataError: cell-eval refuses the data, with its own message.
    """
    config, out, tables = config or Vcc2025Config(), Path(out), tables or DETables()
    scorer = require_scorer("cell_eval")
    version = f"cell-eval {scorer_version('cell-eval')}"
    out.mkdir(parents=True, exist_ok=True)
    key = digest_of([version, pair.real_digest])
    de_real, de_predicted = tables.real_table(key), tables.predicted_table()
    with recorded(out / "scorer.log", version):
        evaluator = scorer.MetricsEvaluator(
            pair.predicted,
            pair.real,
            de_real=de_real,
            de_pred=de_predicted,
            num_threads=config.threads,
            outdir=str(out),
            **_FIELDS,
        )
        compute: dict[str, Any] = {"profile": config.profile, "skip_metrics": _SKIPPED, "break_on_error": True}
        results, aggregate = evaluator.compute(**compute)
        if de_real is None:
            tables.keep(key, read_de_table(out / "real_de.csv"))
        baseline = score = None
        if config.baseline:
            base = scorer.build_base_mean_adata(
                pair.real if train is None else train, counts_df=_cells_by_perturbation(pair.real), **_FIELDS
            )
            others = scorer.MetricsEvaluator(
                base[:, pair.real.var_names].copy(),
                pair.real,
                de_real=str(out / "real_de.csv") if de_real is None else de_real,
                num_threads=config.threads,
                outdir=str(out),
                prefix="baseline",
                **_FIELDS,
            )
            _, baseline = others.compute(**compute)
            score = scorer.score_agg_metrics(aggregate, baseline, output=str(out / "score.csv"))
    table = pd.DataFrame({"prediction": _means(aggregate)})
    overall = float("nan")
    if baseline is not None and score is not None:
        scaled = dict(zip(score["metric"].to_list(), score["from_baseline"].to_list(), strict=True))
        overall = float(scaled.pop("avg_score"))
        table["baseline"], table["score"] = _means(baseline), pd.Series(scaled, dtype=float)
    return OfficialScores(
        "vcc2025",
        version,
        pair.context,
        table.rename_axis("metric"),
        _by_perturbation(results),
        overall,
        out,
        pair.notes,
    )


def _cells_by_perturbation(real: ad.AnnData) -> Any:
    """The number of cells that cell-eval's baseline gets for each perturbation: those of the real file."""
    polars = require_scorer("polars")
    counts = real.obs[keys.TARGET_GENE].astype(str).value_counts()
    return polars.DataFrame({keys.TARGET_GENE: list(counts.index), "n_cells": counts.to_numpy()})


def _means(aggregate: Any) -> pd.Series:
    """cell-eval's mean over perturbations, by metric."""
    rows = {row["statistic"]: row for row in aggregate.to_dicts()}
    if "mean" not in rows:
        raise DataError("cell-eval's summary has no mean", found=", ".join(map(str, rows)))
    return pd.Series({name: float(value) for name, value in rows["mean"].items() if name != "statistic"}, dtype=float)


def _by_perturbation(results: Any) -> pd.DataFrame:
    columns = {name: results[name].to_list() for name in results.columns}
    return pd.DataFrame(columns).set_index("perturbation").sort_index()
