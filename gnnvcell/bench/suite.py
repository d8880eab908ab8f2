"""A suite from its settings to files: tasks x models x graphs and their parts x controls x seeds."""

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.bench.arms import Whole, arms_of
from gnnvcell.bench.label_jobs import LabelJob, LabelTask, label_jobs
from gnnvcell.bench.label_tasks import read_label_tasks
from gnnvcell.bench.results import provenance_of, write_results
from gnnvcell.bench.sources import run_label_jobs
from gnnvcell.bench.suite_config import SuiteConfig
from gnnvcell.bench.suite_graphs import graph_folders
from gnnvcell.bench.table import summarise
from gnnvcell.bench.workers import in_processes
from gnnvcell.errors import GnnvcellWarning
from gnnvcell.files import write_text
from gnnvcell.graphs.gene_graph import GeneGraph


class Suite:
    """A suite whose labels and graphs were read.

    Args:
        config: what is compared.
        folders: name of a graph to the folder it is saved in.

    Raises:
        ConfigError, DataError, FileFormatError, GraphIntegrityError: a name is unknown, or an input cannot be used.
    """

    def __init__(self, config: SuiteConfig, folders: Mapping[str, str | Path]) -> None:
        self.graphs = {name: GeneGraph.load(folder) for name, folder in folders.items()}
        named = read_label_tasks(config.tasks)
        chosen = config.chosen()
        self.tasks: list[LabelTask] = [task for tasks in named.values() for task in tasks]
        models = {
            task.name: [chosen[label] for label in config.tasks[name].models or chosen]
            for name, tasks in named.items()
            for task in tasks
        }
        arms = [
            arm
            for name, graph in self.graphs.items()
            for arm in arms_of(Whole(name, graph), config.selections(name), config.seeds)
        ]
        self.jobs: list[LabelJob] = list(label_jobs(self.tasks, arms, models))


def suite_jobs(config: dict[str, Any], folders: Mapping[str, str]) -> Sequence[LabelJob]:
    """The jobs of a suite from plain values, for processes that are handed no more."""
    return Suite(SuiteConfig.parse(config), folders).jobs


@dataclass(frozen=True, eq=False)
class SuiteResult:
    """What a suite gave.

    Args:
        records: one per (line, task, model, graph, control, seed, metric).
        summary: mean and spread over seeds of the headline metric.
        provenance: command, versions, hardware, settings and digests.
    """

    records: list[dict[str, Any]]
    summary: pd.DataFrame
    provenance: dict[str, Any]


def run_suite(
    config: SuiteConfig, out_dir: str | Path, *, processes: int | None = None, progress: bool = True
) -> SuiteResult:
    """Do what is left of a suite, and write the results of all of it.

    Writes ``results.json`` (the records), ``table.csv``, ``table.md`` and ``provenance.json`` into ``out_dir``, and
    each finished run into ``out_dir/runs``. Killed at any moment, the same call goes on where it stopped.

    Args:
        config: what is compared.
        out_dir: where the results go.
        processes: that share the work, with one thread each; None does it in this one, with its threads.
        progress: print what is built and show a progress bar, on stderr.

    Raises:
        ConfigError, DataError, FileFormatError, GraphIntegrityError: a name is unknown, or an input cannot be used.
        WorkerError: a process was killed.

    Warns:
        GnnvcellWarning: a graph is without an optional source.
    """
    out = Path(out_dir)
    folders = graph_folders(config.graphs, out, report=_to_stderr if progress else _to_nobody)
    suite = Suite(config, folders)
    for name, graph in suite.graphs.items():
        for source, reason in graph.manifest.skipped.items():
            warnings.warn(f"the graph {name!r} is without {source!r}: {reason}", GnnvcellWarning, stacklevel=2)
    runner = None
    if processes is not None:
        plain = {name: str(folder) for name, folder in folders.items()}
        runner = in_processes(partial(suite_jobs, config.model_dump(mode="json"), plain), out / "runs", processes)
    records = run_label_jobs(suite.tasks, suite.jobs, out_dir=out, runner=runner, progress=progress)
    summary = summarise(records)
    provenance = {**provenance_of(suite.graphs), "suite": config.model_dump(mode="json", exclude_none=True)}
    write_results(out, records, summary)
    write_text(out / "provenance.json", json.dumps(provenance, indent=1))
    return SuiteResult(records, summary, provenance)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _to_nobody(text: str) -> None:
    pass
