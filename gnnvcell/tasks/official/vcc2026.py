"""The scorer of the Virtual Cell Challenge 2026, cell-eval2 with its preset ``vcc2026``, called as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.official.pair import OfficialPair
from gnnvcell.tasks.official.running import recorded, require_scorer, scorer_version
from gnnvcell.tasks.official.scores import OfficialScores

_PRESET = "vcc2026"


class Vcc2026Config(Config):
    """Settings of a run of cell-eval2.

    Args:
        backend: engine of differential expression. It is pinned, because engines differ and "auto" takes what is
            installed.
        baseline: also compute both ends of the challenge's scale from the real cells: 0 is the context's mean response
            (``build_baseline_prediction``), 1 the mean of five split halves (``compute_replicate_anchor``). They cost
            six more runs, and are kept in the cache.
        seed: of the cells that carry the baseline.
        threads: of the rank-sum tests.
    """

    backend: Literal["pdex", "scanpy", "gpudge"] = "pdex"
    baseline: bool = True
    seed: int = 0
    threads: int = 1


def score_vcc2026(
    pair: OfficialPair,
    out: str | Path,
    *,
    config: Vcc2026Config | None = None,
    cache: str | Path | None = None,
    tables: DETables | None = None,
) -> OfficialScores:
    """Score a prediction by ``cell_eval2.compute_metrics``, integer counts on both sides.

    cell-eval2 keeps its own results on the real cells in ``cache`` (differential expression, pseudobulks, both ends of
    the scale), keyed by their content: a second prediction of the same cells costs one run.

    Args:
        pair: prediction and truth, brought together by ``official_pair``.
        out: folder of cell-eval2's own files: results.csv, agg_results.csv, de_real.parquet, de_pred.parquet,
            score.csv, run_meta.json, run_params.yaml, scorer.log, scale.log.
        config: settings.
        cache: folder of what is known of the real cells; ``out/cache`` when left out.
        tables: given tables of differential expression; they cannot be used together with the baseline.

    Raises:
        DependencyError: cell-eval2 is not installed.
        ConfigError: given tables of differential expression and a baseline at once.
        DataError: one of the files does not hold integer counts, or cell-eval2 refuses the data.
    """
    config, out, tables = config or Vcc2026Config(), Path(out), tables or DETables()
    pair.require_counts("vcc2026")
    if config.baseline and (tables.real or tables.predicted):
        raise ConfigError(
            "given tables of differential expression cannot be scored on the scale of vcc2026",
            expected="tables computed from the cells, for both ends of the scale alike",
            remedy="leave --de-real and --de-pred out (the cache keeps the real side), or add --no-baseline",
        )
    scorer = require_scorer("cell_eval2")
    version = f"cell-eval2 {scorer_version('cell-eval2')}"
    cache = Path(cache) if cache else out / "cache"
    for folder in (out, cache):
        folder.mkdir(parents=True, exist_ok=True)
    with recorded(out / "scorer.log", version):
        settings = _settings(scorer, config, out=out, cache=cache)
        runs = require_scorer("cell_eval2.run")
        names = runs.metric_output_names(settings)
        results = scorer.compute_metrics(
            pair.predicted, pair.real, config=settings, de_real=tables.real, de_pred=tables.predicted, write_de=True
        )
        aggregate = scorer.aggregate_metrics_wide(results, metrics=names)
        results.write_csv(out / "results.csv")
        aggregate.write_csv(out / "agg_results.csv")
    score = None
    if config.baseline:
        with recorded(out / "scale.log", version, remedy="score without the challenge's scale: --no-baseline"):
            score = _scaled(scorer, pair, aggregate, settings, config, out=out, cache=cache)
    table, overall = _table(aggregate, score)
    by_perturbation = results.to_pandas().pivot(index="perturbation", columns="metric", values="value")
    by_perturbation = by_perturbation.rename_axis(columns=None)
    return OfficialScores("vcc2026", version, pair.context, table, by_perturbation, overall, out, pair.notes)


def _settings(scorer: Any, config: Vcc2026Config, *, out: Path, cache: Path) -> Any:
    preset = scorer.EvalConfig.from_preset(_PRESET)
    return replace(
        preset,
        pert_col=keys.TARGET_GENE,
        control=keys.NON_TARGETING,
        num_threads=config.threads,
        outdir=str(out),
        cache_real=str(cache),
        de=replace(preset.de, backend=config.backend),
    )


def _scaled(
    scorer: Any, pair: OfficialPair, aggregate: Any, settings: Any, config: Vcc2026Config, *, out: Path, cache: Path
) -> Any:
    """cell-eval2's score of an aggregate between its two ends, which are made once for the real cells."""
    baselines, bundles = require_scorer("cell_eval2.baseline"), require_scorer("cell_eval2.real_bundle")
    fingerprint = require_scorer("cell_eval2.cache").fingerprint_adata(
        pair.real, pert_col=keys.TARGET_GENE, strict=True
    )
    bundle = cache / f"bundle-{config.backend}-{config.seed}-{fingerprint[:16]}"
    if not (bundle / "manifest.json").exists():
        fields = {"pert_col": keys.TARGET_GENE, "control": keys.NON_TARGETING}
        profile = baselines.generic_response_profile(pair.real, **fields)
        prediction = baselines.build_baseline_prediction(profile, pair.real, seed=config.seed, **fields)
        bundles.build_real_bundle(
            pair.real,
            prediction,
            config=replace(settings, outdir=None),
            outdir=str(bundle),
            bundle_id=bundle.name,
            force=True,
        )
    meta = baselines.build_run_meta(settings, pair.real, pair.predicted)
    baselines.write_json_meta(meta, str(out / "run_meta.json"))
    score = scorer.score_metrics(aggregate, real_bundle=str(bundle), user_meta=meta, output=str(out / "score.csv"))
    ends = require_scorer("polars").read_csv(bundles.read_real_bundle(str(bundle)).baseline_agg)
    anchor, _, _ = require_scorer("cell_eval2.anchor").read_anchor(str(bundle))
    return score, ends, anchor


def _table(aggregate: Any, scaled: Any) -> tuple[pd.DataFrame, float]:
    table = pd.DataFrame({"prediction": _means(aggregate)}).rename_axis("metric")
    if scaled is None:
        return table, float("nan")
    score, ends, anchor = scaled
    column = "from_replicate" if "from_replicate" in score.columns else "from_baseline"
    scores = dict(zip(score["metric"].to_list(), score[column].to_list(), strict=True))
    overall = scores.pop("avg_score")
    table["baseline"] = _means(ends)
    table["replicate"] = pd.Series(dict(zip(anchor["metric"].to_list(), anchor["replicate"].to_list(), strict=True)))
    table["score"] = pd.Series(scores, dtype=float)
    return table, float("nan") if overall is None else float(overall)


def _means(aggregate: Any) -> pd.Series:
    """cell-eval2's one value per metric."""
    rows = {row["statistic"]: row for row in aggregate.to_dicts()}
    if "mean" not in rows:
        raise DataError("cell-eval2's summary has no mean", found=", ".join(map(str, rows)))
    return pd.Series({name: float(value) for name, value in rows["mean"].items() if name != "statistic"}, dtype=float)
