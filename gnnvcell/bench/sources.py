"""Which graph source helps: every model on every graph, real and control, over seeds."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gnnvcell import __version__
from gnnvcell.bench.store import RunStore
from gnnvcell.bench.units import PER_GENE, PER_PERTURBATION, Units, pack_scores, units_path
from gnnvcell.config import Config, digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import MODELS
from gnnvcell.tasks import UnseenPerturbation

REAL = "real"
TASK_NAMES = {"de": "de", "direction": "dir"}
_TERMINAL_REFRESH, _LOG_REFRESH = 0.1, 10.0  # seconds between two states of the progress bar


@dataclass(frozen=True, eq=False)
class Arm:
    """One graph to fit on: the real one or a control drawn with a seed; a control is made when it is first needed."""

    name: str
    real: GeneGraph
    control: str
    seed: int

    @cached_property
    def graph(self) -> GeneGraph:
        """The graph itself."""
        return self.real if self.control == REAL else CONTROLS.get(self.control)(self.real, seed=self.seed)


def refresh_interval() -> float:
    """Seconds between two states of a progress bar: few of them in a log."""
    return _TERMINAL_REFRESH if sys.stderr.isatty() else _LOG_REFRESH


def per_source_graphs(name: str, graph: GeneGraph) -> dict[str, GeneGraph]:
    """A graph whole and by source.

    Args:
        name: the graph's name.
        graph: a graph whose manifest tells which source gave which relation.

    Returns:
        ``{name: graph, "name/source": only that source's relations, ...}``. The node set stays the same, so that the
        sources are compared on the same genes.
    """
    parts = {f"{name}/{source}": graph.select(relations) for source, relations in graph.source_relations.items()}
    return {name: graph, **parts}


def compare_sources(
    tables: Sequence[EffectTable],
    graphs: Mapping[str, GeneGraph],
    *,
    models: Sequence[str] = ("smoother", "propagation", "knn"),
    controls: Sequence[str] = ("rewired", "permuted"),
    seeds: int = 5,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    out_dir: str | Path | None = None,
    progress: bool = True,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Fit every model on every graph and control, and score held-out perturbations.

    A model that does not use its seed is fitted once on the real graph, and its scores stand for every seed. Controls
    are drawn anew for each seed, and the model's seed goes with it, so that real and control pair by seed.

    Args:
        tables: label tables with train and test perturbations; ``context`` names the line.
        graphs: name to graph.
        models: names in ``MODELS``.
        controls: names in ``CONTROLS`` beside the real graph.
        seeds: number of seeds, from 0.
        configs: model name to settings that differ from its defaults.
        out_dir: where finished runs are kept; a second call goes on where the first stopped.
        progress: show a progress bar.
        on_record: called with each finished run.

    Returns:
        Records with ``line, task, model, graph, control, seed, metric, value, seconds, run``, one per metric. ``run``
        names the run's file in ``out_dir/runs``; what the runs score is in ``out_dir/units``.

    Raises:
        ConfigError: unknown model or control, no tables, graphs or seeds.
    """
    if not (tables and graphs and models and seeds > 0):
        raise ConfigError(
            "nothing to compare", expected="at least one table, graph, model and seed", found=f"seeds={seeds}"
        )
    for control in controls:
        CONTROLS.get(control)
    store = RunStore(Path(out_dir) / "runs" if out_dir is not None else None)
    if out_dir is not None:
        for table in tables:
            Units.of_table(table).save(units_path(out_dir, table.context, TASK_NAMES[table.kind]))
    jobs = _jobs(tables, graphs, models, controls, seeds, configs or {})
    total = len(graphs) * (1 + len(controls)) * seeds * len(tables) * len(models)
    records: list[dict[str, Any]] = []
    pause = refresh_interval()
    with tqdm(jobs, total=total, disable=not progress, unit="run", desc="bench sources", mininterval=pause) as bar:
        for job in bar:
            bar.set_postfix_str(" ".join(str(value) for value in job.where.values()), refresh=False)
            run = store.get_or_run(job.key, job.run)
            records += [
                {**job.where, "metric": metric, "value": value, "seconds": run["seconds"], "run": job.key}
                for metric, value in run["metrics"].items()
            ]
            if on_record is not None:
                on_record({**job.where, **run})
    return records


@dataclass(frozen=True, eq=False)
class Job:
    """One model to fit on one graph for one task."""

    arm: Arm
    task: UnseenPerturbation
    label_digest: str
    model: str
    config: Config

    @property
    def where(self) -> dict[str, Any]:
        """The coordinates of the job in the records."""
        return {
            "line": self.task.context,
            "task": TASK_NAMES[self.task.kind],
            "model": self.model,
            "graph": self.arm.name,
            "control": self.arm.control,
            "seed": self.arm.seed,
        }

    @property
    def key(self) -> str:
        """Digest of all that the result depends on."""
        repeatable = self.arm.control == REAL and not MODELS.get(self.model).uses_seed
        content = {
            "labels": self.label_digest,
            "graph": self.arm.real.digest,
            "control": self.arm.control,
            "model": self.model,
            "config": self.config.digest(),
            "seed": 0 if repeatable else self.arm.seed,
            "version": __version__,
            "units": [*PER_GENE, *PER_PERTURBATION],
        }
        return digest_of(content)

    def run(self) -> dict[str, Any]:
        """Fit and score. The control graph is made outside the time that is measured."""
        graph = self.arm.graph
        inputs = self.task.inputs()
        start = time.perf_counter()
        model = MODELS.get(self.model)(self.config)
        prediction = model.fit(inputs.train, graph, seed=self.arm.seed).predict(inputs.perturbations)
        seconds = time.perf_counter() - start
        scores = self.task.evaluate(prediction)
        return {
            "metrics": scores.metrics,
            "seconds": round(seconds, 3),
            "by_support": scores.by_support.to_dict(orient="records"),
            **pack_scores(scores),
        }


def _jobs(
    tables: Sequence[EffectTable],
    graphs: Mapping[str, GeneGraph],
    models: Sequence[str],
    controls: Sequence[str],
    seeds: int,
    configs: Mapping[str, Mapping[str, Any]],
) -> Iterator[Job]:
    """Jobs in an order in which each graph is made once and let go before the next."""
    made = {name: MODELS.get(name).config_class.parse(configs.get(name, {}), where=f"model {name}") for name in models}
    tasks = [(UnseenPerturbation(table), _digest_of_table(table)) for table in tables]
    for arm in _arms(graphs, controls, seeds):
        for task, label_digest in tasks:
            for name, config in made.items():
                yield Job(arm, task, label_digest, name, config)


def _arms(graphs: Mapping[str, GeneGraph], controls: Sequence[str], seeds: int) -> Iterator[Arm]:
    for name, graph in graphs.items():
        for control in (REAL, *controls):
            for seed in range(seeds):
                yield Arm(name, graph, control, seed)


def _digest_of_table(table: EffectTable) -> str:
    return digest_of(
        [
            table.context,
            table.kind,
            table.perturbations.tolist(),
            table.genes.tolist(),
            table.split.tolist(),
            np.flatnonzero(table.measured).tolist(),
            table.values[table.measured].tolist(),
        ]
    )
