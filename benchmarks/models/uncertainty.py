"""Do models know how wrong they are? Coverage, width and error against uncertainty, of models and ensembles.

Simulated screens: a world for each seed, a share of the knock-downs held out as test. Models are calibrated on 30
training knock-downs that they do not learn from ("split"), or by leaving a fifth of them out at a time ("folds").
``--cells`` does the same with real cells: each fifth of the perturbations is the test of a model that was calibrated
with folds of the others.

    OMP_NUM_THREADS=1 python benchmarks/models/uncertainty.py --out benchmarks/results/uncertainty.md
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gnnvcell.config import digest_of
from gnnvcell.data.cells import Cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.files import write_text
from gnnvcell.graphs import build
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import MODELS
from gnnvcell.models.uncertainty.calibrated import CalibratedModel, calibrate, cross_calibrate
from gnnvcell.models.uncertainty.ensemble import Ensemble, EnsembleConfig
from gnnvcell.tasks.uncertainty import StatedUncertainty, UncertaintyScores, score_uncertainty

WORLD = {"genes": 300, "modules": 10, "targets": 200, "control_cells": 1000, "test_share": 0.3}
LEVEL, HELD_OUT, FOLDS = 0.9, 30, 5
ENSEMBLES = {"knn x 10": ("knn", 10), "ridge x 5": ("ridge", 5), "propagation x 5": ("propagation", 5)}
SINGLE = ("gene_mean", "knn", "ridge", "propagation")
SLOW = ("ridge x 5", "propagation x 5")  # not fitted again for every fold
COLUMNS = {
    "coverage": "coverage at .9",
    "width": "width",
    "interval_score": "interval score",
    "calibration_error": "error of spreads",
    "own_coverage": "coverage of +- 1.645 own spreads",
    "area_pairs": "area, pairs",
    "gain_pairs": "gain, pairs",
    "gain_perturbations": "gain, perturbations",
    "gain_support": "gain by support",
}
QUARTERS = ("least support", "less", "more", "most support")


def maker(name: str) -> Callable[[], object]:
    """Makes the model or ensemble of that name."""
    if name in ENSEMBLES:
        model, members = ENSEMBLES[name]
        return lambda: Ensemble(EnsembleConfig(model=model, members=members))
    return MODELS.get(name)


def scores_of(calibrated: CalibratedModel, test: EffectTable, over: str = "gene") -> dict[str, float]:
    """Scores on test perturbations, and the coverage of what the model itself states."""
    own = calibrated.model.predict(test.perturbations)
    spread = calibrated.calibration.spread(own)
    found = calibrated.calibration.intervals(own, LEVEL, over=over)  # type: ignore[arg-type]

    def scored(stated: StatedUncertainty) -> UncertaintyScores:
        return score_uncertainty(own.values, test.values, test.measured, stated, test.perturbations)

    whole = scored(StatedUncertainty(spread, found.lower, found.upper, LEVEL, own.support))
    by_support = whole.per_perturbation.sort_values("support", kind="stable")["coverage"].to_numpy()
    quarters = {name: part.mean() for name, part in zip(QUARTERS, np.array_split(by_support, 4), strict=True)}
    scores = whole.metrics | quarters
    if own.spread is not None:
        nominal = scored(StatedUncertainty(own.spread)).nominal
        scores["own_coverage"] = float(nominal.set_index("level").loc[LEVEL, "coverage"])  # type: ignore[arg-type]
    return scores


def simulated(seed: int, models: list[str]) -> pd.DataFrame:
    """One row per model and calibration of one world."""
    world = simulate(SimulatorConfig.parse({**WORLD, "seed": seed}))
    with tempfile.TemporaryDirectory() as name:
        world.write(Path(name) / "world", cells=False, truth=False)
        graph = build(Path(name) / "world" / "recipe.toml", source_dir=Path(name) / "world", progress=False)
    table = world.effects("delta")
    train, test = table.of_split("train"), table.of_split("test")
    names = sorted(train.perturbations.tolist(), key=lambda one: digest_of([seed, one]))
    held_out = np.isin(train.perturbations, names[:HELD_OUT])
    rows = []
    for model in models:
        start = time.perf_counter()
        fitted = maker(model)().fit(train.take(~held_out), graph, seed=seed)  # type: ignore[attr-defined]
        split = calibrate(fitted, train.take(held_out))
        found = {f"split, {over}": scores_of(split, test, over) for over in ("gene", "pairs")}
        if model not in SLOW:
            found["folds, gene"] = scores_of(crossed(model, train, graph, seed), test)
        seconds = time.perf_counter() - start
        rows += [{"model": model, "calibration": how, **scores, "seconds": seconds} for how, scores in found.items()]
    return pd.DataFrame(rows).assign(seed=seed)


def crossed(model: str, train: EffectTable, graph: GeneGraph, seed: int) -> CalibratedModel:
    """A model of all training perturbations, calibrated by leaving folds out."""
    return cross_calibrate(maker(model), train, graph, folds=FOLDS, seed=seed)  # type: ignore[arg-type]


def real(path: str, graph_path: str, models: list[str], seed: int) -> pd.DataFrame:
    """One row per model and outer fold of the perturbations of real cells."""
    table = cell_effects(Cells.open(path, in_memory=True), target_sum=None, min_cells=100)
    graph = GeneGraph.load(graph_path)
    names = sorted(set(table.perturbations.tolist()), key=lambda one: digest_of([seed, one]))
    rows = []
    for fold in range(FOLDS):
        test = np.isin(table.perturbations, names[fold::FOLDS])
        for model in models:
            start = time.perf_counter()
            scores = scores_of(crossed(model, table.take(~test), graph, seed), table.take(test))
            scores["seconds"] = time.perf_counter() - start
            rows.append({"model": model, "calibration": "folds, gene", **scores, "seed": fold})
    return pd.DataFrame(rows)


def support_table(scores: pd.DataFrame) -> str:
    """Coverage in quarters of the test perturbations by graph support, means over seeds."""
    lines = [f"| model | calibration | {' | '.join(QUARTERS)} |", "|" + "---|" * (len(QUARTERS) + 2)]
    for (model, how), rows in scores.groupby(["model", "calibration"], sort=False):  # type: ignore[misc]
        lines.append(f"| {model} | {how} | {' | '.join(f'{rows[name].mean():.3f}' for name in QUARTERS)} |")
    return "\n".join(lines)


def as_table(scores: pd.DataFrame) -> str:
    """Means over seeds, of coverage with the range."""
    lines = [f"| model | calibration | {' | '.join(COLUMNS.values())} | s |", "|" + "---|" * (len(COLUMNS) + 3)]
    for (model, how), rows in scores.groupby(["model", "calibration"], sort=False):  # type: ignore[misc]
        cells = []
        for name in COLUMNS:
            values = np.asarray(rows.get(name, [np.nan]), dtype=float)
            text = "" if np.isnan(values).all() else f"{np.nanmean(values):.3f}"
            if name == "coverage":
                text += f" ({values.min():.3f} to {values.max():.3f})"
            cells.append(text)
        lines.append(f"| {model} | {how} | {' | '.join(cells)} | {rows['seconds'].mean():.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=[*SINGLE, *ENSEMBLES])
    parser.add_argument("--cells", help="real cells in place of simulated ones")
    parser.add_argument("--graph", help="saved gene graph, of real cells")
    parser.add_argument("--out", help="Markdown file to write; what it holds already is kept, and this goes behind")
    arguments = parser.parse_args()
    parts = []
    if arguments.cells:
        parts.append(real(arguments.cells, arguments.graph, arguments.models, 0))
    for seed in range(0 if arguments.cells else arguments.seeds):
        parts.append(simulated(seed, arguments.models))
        print(f"world {seed}\n{as_table(parts[-1])}", file=sys.stderr, flush=True)
    what = f"{Path(arguments.cells).name}, perturbations in {FOLDS} folds" if arguments.cells else f"Worlds {WORLD}"
    text = "\n\n".join(
        [
            f"## {what}",
            f"Written by `OMP_NUM_THREADS=1 python benchmarks/models/uncertainty.py {' '.join(sys.argv[1:])}` on "
            f"{platform.machine()}, one thread of a shared machine, torch {torch.__version__}.",
            as_table(pd.concat(parts, ignore_index=True)),
            "Coverage in quarters of the test perturbations by graph support:",
            support_table(pd.concat(parts, ignore_index=True)),
        ]
    )
    print(text)
    if arguments.out:
        before = Path(arguments.out).read_text(encoding="utf-8") if Path(arguments.out).exists() else ""
        write_text(arguments.out, f"{before}{text}\n\n")


if __name__ == "__main__":
    main()
