"""The whole way in one call: simulate a world, build its graph, predict unseen knock-downs, score, write a page."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gnnvcell.bench import compare_sources, format_table, per_source_graphs, summarise
from gnnvcell.bench.results import write_results
from gnnvcell.data import EffectTable
from gnnvcell.data.simulator import SimulatorConfig, World, simulate
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.build import build
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import Prediction
from gnnvcell.report.page import write_page
from gnnvcell.tasks import UnseenPerturbation

MODELS = ("smoother", "propagation", "knn", "ridge", "gene_mean")
CONTROLS = ("rewired", "permuted")
SOURCE_MODELS = ("smoother", "knn")  # quick ones, for every source by itself
SEEDS, QUICK_SEEDS = 3, 1
GRAPH = "planted"


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo made.

    Args:
        world: the simulated world.
        graph: the graph built from its knowledge files.
        records: scores, one per (line, task, model, graph, control, seed, metric).
        summary: mean and spread over seeds of the per-gene AUROC.
        ceiling: task to the score that the true effects reach, which labels from cells keep below 1.
        page: the page.
        seconds: stage to wall-clock seconds.
    """

    world: World
    graph: GeneGraph
    records: list[dict[str, Any]]
    summary: pd.DataFrame
    ceiling: dict[str, float]
    page: Path
    seconds: dict[str, float]

    def __str__(self) -> str:
        ceiling = ", ".join(f"{task} {score:.3f}" for task, score in self.ceiling.items())
        total = sum(self.seconds.values())
        return f"{format_table(self.summary)}\n\nthe true effects would score {ceiling}; {total:.0f} s in all"


def demo_config(*, seed: int = 0, quick: bool = False) -> SimulatorConfig:
    """The demo's world: that of ``graphs/example``, or a smaller one for a quick look."""
    if quick:
        return SimulatorConfig(seed=seed, genes=160, modules=8, targets=80, cells_per_target=25, control_cells=300)
    return SimulatorConfig.example().model_copy(update={"seed": seed})


def run_demo(out_dir: str | Path, *, seed: int = 0, quick: bool = False, progress: bool = True) -> DemoResult:
    """Simulate, build, fit, score and report.

    Writes into ``out_dir``: ``world/`` (knowledge files, cells, labels, truth), ``graph/`` (the saved graph),
    ``results.json``, ``table.md``, ``table.csv``, ``index.html`` and ``plots/``.

    Args:
        out_dir: folder of the results; made where it is missing.
        seed: seed of the world; models and control graphs have their own seeds, from 0.
        quick: a smaller world and one seed.
        progress: print stages and a progress bar on stderr.

    Raises:
        ConfigError: a negative seed.
        DataError: ``out_dir/world`` holds something else.
    """
    if seed < 0:
        raise ConfigError(f"the seed is {seed}", expected="0 or more")
    out, clock = Path(out_dir), _Clock(progress)
    config = demo_config(seed=seed, quick=quick)
    with clock.stage(f"simulating {config.genes} genes and {config.targets} knock-downs"):
        world = simulate(config)
        world.write(out / "world")
        tables = [world.effects("de"), world.effects("direction")]
    with clock.stage("building the graph from the knowledge files"):
        graph = build(out / "world" / "recipe.toml", progress=False)
        graph.save(out / "graph")
    with clock.stage("predicting held-out knock-downs on real and random graphs"):
        with _one_thread():
            records, runs = _score(tables, graph, seeds=QUICK_SEEDS if quick else SEEDS, progress=progress)
        ceiling = {"de" if table.kind == "de" else "dir": _ceiling(world, table) for table in tables}
    with clock.stage("writing the page"):
        summary = summarise(records)
        write_results(out, records, summary)
        page = write_page(
            out,
            records,
            title="A planted world: what the gene graph adds",
            intro=_intro(world, tables[0], ceiling),
            graph_info=graph.info(),
            strata=runs,
            extras=_provenance(world, graph, clock.seconds),
        )
    return DemoResult(world, graph, records, summary, ceiling, page, clock.seconds)


def _score(
    tables: list[EffectTable], graph: GeneGraph, *, seeds: int, progress: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Every model on the whole graph and its controls, then the quick ones on each source: records and runs."""
    runs: list[dict[str, Any]] = []
    records = compare_sources(
        tables,
        {GRAPH: graph},
        models=MODELS,
        controls=CONTROLS,
        seeds=seeds,
        progress=progress,
        on_record=runs.append,
    )
    sources = {name: part for name, part in per_source_graphs(GRAPH, graph).items() if name != GRAPH}
    records += compare_sources(
        tables, sources, models=SOURCE_MODELS, controls=CONTROLS, seeds=seeds, progress=progress, on_record=runs.append
    )
    return records, runs


def _ceiling(world: World, table: EffectTable) -> float:
    """Per-gene AUROC of the true effects: what noise in the cells leaves to be predicted."""
    truth = world.truth
    effects = np.abs(truth.effects) if table.kind == "de" else truth.effects
    prediction = Prediction(
        effects.astype(np.float32), truth.targets, truth.wiring.genes, np.zeros(len(truth.targets), dtype=np.float32)
    )
    return UnseenPerturbation(table).evaluate(prediction).metrics["per_gene_auroc"]


def _intro(world: World, table: EffectTable, ceiling: dict[str, float]) -> str:
    config = world.config
    held_out = int((table.split == "test").sum())
    truth = " and ".join(f"{score:.3f} ({task})" for task, score in ceiling.items())
    return (
        f"A simulated screen of {config.genes} genes in {config.modules} modules: {world.cells.n_obs:,} cells, "
        f"{config.targets} knock-downs of which {held_out} were held out. Labels come from the simulated cells, not "
        f"from the truth. The knowledge files miss {config.knowledge.missed_edges:.0%} of the interactions and more of "
        f"what is little studied, make up others, and know nothing of {config.knowledge.isolated:.0%} of the genes. "
        f"The true effects themselves would score {truth}."
    )


def _provenance(world: World, graph: GeneGraph, seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "command": " ".join(["gnnvcell", *sys.argv[1:]]),
        "seed of the world": world.config.seed,
        "settings of the world": world.config.digest(),
        "graph": graph.digest,
        "seconds": {stage: f"{value:.1f}" for stage, value in seconds.items()},
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: on matrices of this size a second one gains next to nothing, and loses much on shared
    cores, where threads wait for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Stages with their wall-clock seconds, announced on stderr."""

    def __init__(self, progress: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        if self._progress:
            print(f"{name} ...", file=sys.stderr, flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        if self._progress:
            print(f"  {self.seconds[name]:.1f} s", file=sys.stderr, flush=True)
