"""Does an action that acts through the gene graph help a JEPA? Versions side by side on simulated screens.

Each seed is a world of its own, whose databases miss edges and make others up. A quarter of the knock-downs is held
out; every version learns from the cells of the others, with as many cells in each of as many steps. There are no
protein features in a simulated world: v0.2 and v0.3 know targets by the same graph embeddings as ours, which is more
than ESM would tell them. Effects are scored against controls that training did not see (``HeldOutCells``).

    OMP_NUM_THREADS=1 python benchmarks/models/jepa_versions.py --workers 2 --runs RUNS \
        --out benchmarks/results/jepa_versions.md

Finished runs are kept in RUNS: the same command goes on where it stopped.
"""

import argparse
import multiprocessing
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy.stats import ttest_1samp

from gnnvcell.bench.cells import compare_on_cells
from gnnvcell.bench.published import compare_published, format_published
from gnnvcell.config import digest_of
from gnnvcell.data.cells import Cells
from gnnvcell.data.simulator import ScreenConfig, simulate_screen
from gnnvcell.files import write_text
from gnnvcell.graphs import build
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import JepaConfig
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import in_folds

SCREEN = {"silent": 0.0}
SMALL: dict[str, Any] = {
    "heads": 4, "layers": 1, "predictor_layers": 2, "genes": None, "spectral_dim": 16, "kept_controls": 64,
    "validation": 0.15,
}  # fmt: skip
SET = 8  # cells in a set of ours
PAIRS, SETS = {"encoders": ("graph",), "set_size": 1}, {"set_size": SET}
GRAPH, BARE = "graph", "graph, no outcomes"
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "v0.2": ("v0.2", PAIRS),
    "v0.3": ("v0.3", PAIRS),
    GRAPH: ("graph", SETS),
    BARE: ("graph", {**SETS, "measured": None}),
    "graph, untrained": ("graph", {**SETS, "skip": ("pretrain", "action", "decode")}),
    "graph, no outcomes, untrained": ("graph", {**SETS, "measured": None, "skip": ("pretrain", "action", "decode")}),
    "graph, shuffled labels": ("graph", {**SETS, "shuffle_labels": True}),
}
CONTROLLED = (GRAPH, BARE)  # also on the permuted and the degree-matched graph
CONTROLS = ("permuted", "rewired")
BASELINES = ("no_change", "perturbation_mean", "additive", "knn", "ridge")
SCORES = ("centred_pearson_delta", "centred_retrieval", "centred_pds_cosine", "pearson_delta", "mse_delta")
COMPARED = SCORES[:3]


def world_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all worlds have in common."""
    return {
        "genes": arguments.genes, "modules": 10, "targets": arguments.targets,
        "cells_per_target": arguments.cells_per_target, "control_cells": 600, "batches": 2, "null_targets": 0.1,
    }  # fmt: skip


def settings_of(arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of an arm: its preset, in the small size and with the common budget."""
    (preset, own), width, steps = ARMS[arm], arguments.width, arguments.steps
    stage = {"val_every": max(1, steps // 6), "loggers": (), "optimizer": {"lr": arguments.lr}, "max_steps": steps}
    sizes = {"width": width, "decoder_dim": width, "graph": {"width": width, "layers": 1, "dropout": 0.0}}
    budget = {
        "pretrain": stage, "action": {**stage, "patience": 3}, "decode": {**stage, "patience": 3},
        "sets_per_batch": arguments.cells // own["set_size"],
    }  # fmt: skip
    return JepaConfig.preset(preset, **{**SMALL, **sizes, **budget, **own}).model_dump()


def world_of(seed: int, arguments: argparse.Namespace) -> tuple[HeldOutCells, GeneGraph]:
    """The task of a world, and its graph."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = ScreenConfig.parse({"world": {**world_settings(arguments), "seed": seed}, **SCREEN})
        simulate_screen(folder, config, progress=False)
        cells = Cells.open(folder / "cells.h5ad", in_memory=True)
        graph = build(folder / "recipe.toml", source_dir=folder, progress=False)
    return HeldOutCells(cells, in_folds(cells.perturbations, 4)[:1], splits=1, seed=seed), graph


def scores_of(
    seed: int,
    arguments: argparse.Namespace,
    arms: list[str],
    world: tuple[HeldOutCells, GeneGraph],
    control: tuple[str, ...] = (),
) -> pd.DataFrame:
    """One row per arm, graph and held-out perturbation of a world."""
    task, graph = world
    return compare_on_cells(
        task,
        {"world": graph},
        models=[f"{arm}=jepa" if arm in ARMS else arm for arm in arms],
        controls=control,
        configs={arm: settings_of(arm, arguments) for arm in arms if arm in ARMS},
        data_digest=digest_of([world_settings(arguments), SCREEN, seed]),
        out_dir=arguments.runs,
        progress=False,
    )


def run_job(job: tuple[int, str, tuple[str, ...], argparse.Namespace]) -> str:
    """One arm in one world, into the folder of runs."""
    seed, arm, control, arguments = job
    torch.set_num_threads(1)
    start = time.perf_counter()
    scores_of(seed, arguments, [arm], world_of(seed, arguments), control)
    return f"world {seed}, {arm}, {' '.join(control) or 'real'}: {time.perf_counter() - start:.0f} s"


def jobs_of(arguments: argparse.Namespace) -> list[tuple[int, str, tuple[str, ...], argparse.Namespace]]:
    """World by world; control graphs last, when the runs on the real graph that belong to them are kept."""
    seeds, found = seeds_of(arguments), []
    found += [(seed, arm, (), arguments) for seed in seeds for arm in arguments.arms]
    found += [(seed, arm, (name,), arguments) for seed in seeds for arm in controlled(arguments) for name in CONTROLS]
    return found


def seeds_of(arguments: argparse.Namespace) -> range:
    """Numbers of the worlds."""
    return range(arguments.first, arguments.first + arguments.seeds)


def controlled(arguments: argparse.Namespace) -> list[str]:
    """Arms that run on control graphs too."""
    return [] if arguments.no_controls else [arm for arm in CONTROLLED if arm in arguments.arms]


def collected(arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """All rows, those of the ceiling, and those of the mean control cell."""
    rows, ceilings, means = [], [], []
    for seed in seeds_of(arguments):
        world = world_of(seed, arguments)
        parts = [scores_of(seed, arguments, [*BASELINES, *arguments.arms], world)]
        if controlled(arguments):
            on_controls = scores_of(seed, arguments, controlled(arguments), world, CONTROLS)
            parts.append(on_controls.query("control != 'real'"))
        rows.append(pd.concat(parts).assign(split=seed))
        ceilings.append(world[0].ceiling().assign(split=seed))
        means.append(world[0].mean_cell().assign(split=seed))
    return pd.concat(rows), pd.concat(ceilings), pd.concat(means)


def table(rows: pd.DataFrame, ceiling: pd.DataFrame) -> str:
    """Means and standard deviations over worlds."""
    rows = pd.concat([rows, ceiling.assign(model="split-half ceiling", control="real", seconds=0.0)])
    of_worlds = rows.groupby(["model", "control", "split"], sort=False)[[*SCORES, "seconds"]].mean().reset_index()
    lines = ["| model | graph | r centred | retrieval | PDS cosine | r | MSE x 1e3 | fit s |", "|" + "---|" * 8]
    for (model, control), found in of_worlds.groupby(["model", "control"], sort=False):  # type: ignore[misc]
        figures = [f"{found[name].mean():.3f} ± {found[name].std():.3f}" for name in SCORES[:4]]
        error = 1e3 * found["mse_delta"]
        figures.append(f"{error.mean():.2f} ± {error.std():.2f}")
        lines.append(f"| {model} | {control} | {' | '.join(figures)} | {found['seconds'].mean():.0f} |")
    return "\n".join(lines)


def differences(rows: pd.DataFrame, first: str) -> str:
    """An arm less each other one, world by world."""
    at = rows.groupby(["model", "control", "split"], sort=False)[list(COMPARED)].mean()
    own = at.loc[(first, "real")]
    lines = [f"| {first}, less | r centred | p | retrieval | p | PDS cosine | p |", "|" + "---|" * 7]
    for model, control in dict.fromkeys(at.index.droplevel("split")):
        if (model, control) == (first, "real"):
            continue
        apart = own - at.loc[(model, control)]
        figures = [
            f"{apart[name].mean():+.3f} ± {apart[name].std():.3f} | {ttest_1samp(apart[name], 0)[1]:.3g}"
            for name in COMPARED
        ]
        lines.append(f"| {model}{'' if control == 'real' else f', {control}'} | {' | '.join(figures)} |")
    return "\n".join(lines)


def report(arguments: argparse.Namespace) -> str:
    """The page."""
    rows, ceiling, mean_cell = collected(arguments)
    named = ("steps", "lr", "width", "cells", "genes", "targets", "cells_per_target", "first", "seeds")
    given = " ".join(f"--{name.replace('_', '-')} {getattr(arguments, name):g}" for name in named)
    seeds, held_out = seeds_of(arguments), rows[rows["model"] == BASELINES[0]].groupby("split").size().iloc[0]
    about = (
        f"Worlds {seeds[0]} to {seeds[-1]}: {world_settings(arguments)}. {held_out} of {arguments.targets} knock-downs "
        f"held out; means ± standard deviation over worlds. Each version has at most {arguments.steps} steps a stage, "
        f"each of {arguments.cells} perturbed and {arguments.cells} control cells, and keeps the weights of its best "
        "validation perturbations. v0.2 and v0.3 know targets by graph embeddings (there is no ESM here). "
        "`no outcomes` is ours without the field of measured outcomes, which is cross-fitted kNN. `untrained` skips "
        "all stages. Retrieval and PDS: .5 is chance."
    )
    published = (
        "The same runs in the scores that bio-JEPA publishes, beside the honest ones. The mean control cell is no "
        "model: every cell becomes it, whatever was done."
    )
    return "\n\n".join(
        [
            "# Versions of JEPA on perturbations that they never saw, simulated",
            f"Written by `OMP_NUM_THREADS=1 python benchmarks/models/jepa_versions.py {given} --runs RUNS --out FILE` "
            f"on {platform.machine()}, one thread a run, torch {torch.__version__}.",
            about,
            table(rows, ceiling),
            "Paired differences, world by world (t test):",
            *(differences(rows, arm) for arm in CONTROLLED if arm in arguments.arms),
            published,
            format_published(compare_published(rows, mean_cell)),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first world (settings were tried on 100)")
    parser.add_argument("--steps", type=int, default=400, help="of each stage")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=32, help="of latents")
    parser.add_argument("--cells", type=int, default=64, help="perturbed cells of a step, with as many controls")
    parser.add_argument("--genes", type=int, default=200, help="of a world")
    parser.add_argument("--targets", type=int, default=100, help="knock-downs of a world")
    parser.add_argument("--cells-per-target", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--no-controls", action="store_true", help="leave the control graphs out")
    parser.add_argument("--runs", required=True, help="folder of finished runs")
    parser.add_argument("--out", help="Markdown file to write")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for said in pool.imap(run_job, jobs_of(arguments)):
            print(f"{time.perf_counter() - start:6.0f} s  {said}", file=sys.stderr, flush=True)
    text = report(arguments)
    print(text)
    if arguments.out:
        write_text(arguments.out, text + "\n")


if __name__ == "__main__":
    main()
