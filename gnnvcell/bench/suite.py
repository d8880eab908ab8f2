"""A suite from its settings to files: tasks x models x graphs and their parts x controls x seeds."""

import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.bench.arms import Arm, Whole, arms_of
from gnnvcell.bench.cell_jobs import CellJob, CellTask, cell_jobs, cell_scores
from gnnvcell.bench.cell_tasks import CellBenchResult, CellFile
from gnnvcell.bench.label_jobs import LabelJob, LabelTask, label_jobs, label_records
from gnnvcell.bench.label_tasks import read_label_tasks
from gnnvcell.bench.recording import code_digest
from gnnvcell.bench.results import provenance_of, write_results
from gnnvcell.bench.running import run_jobs
from gnnvcell.bench.store import RunStore
from gnnvcell.bench.suite_config import CellTaskConfig, SuiteConfig
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
        self._config, self._chosen = config, config.chosen()
        self.graphs = {name: GeneGraph.load(folder) for name, folder in folders.items()}
        self._wholes = {name: Whole(name, graph) for name, graph in self.graphs.items()}
        named = read_label_tasks(config.tasks)
        self.label_tasks: list[LabelTask] = [task for tasks in named.values() for task in tasks]
        models = {task.name: self._models(name) for name, tasks in named.items() for task in tasks}
        self.label_jobs: list[LabelJob] = list(label_jobs(self.label_tasks, self._arms(config.seeds), models))
        self.cell_files: dict[str, CellFile] = {}
        self.cell_tasks: dict[str, CellTask] = {}
        self.cell_jobs: dict[str, list[CellJob]] = {}
        for name, task in config.tasks.items():
            if isinstance(task, CellTaskConfig):
                self._add_cells(name, task)

    def _add_cells(self, name: str, config: CellTaskConfig) -> None:
        held_out = config.held_out
        if "splits" not in held_out.model_fields_set:
            held_out = held_out.model_copy(update={"splits": self._config.seeds})
        file = CellFile(Path(config.cells), held_out, config.fields, config.groups)
        self.cell_files[name], self.cell_tasks[name] = file, (task := file.task())
        self.cell_jobs[name] = list(cell_jobs(task, self._arms(held_out.splits), self._models(name)))

    @property
    def jobs(self) -> list[LabelJob | CellJob]:
        """All of them."""
        return [*self.label_jobs, *(job for jobs in self.cell_jobs.values() for job in jobs)]

    def _models(self, task: str) -> list:
        return [self._chosen[label] for label in self._config.tasks[task].models or self._chosen]

    def _arms(self, seeds: int) -> list[Arm]:
        selections = self._config.selections
        return [arm for name, whole in self._wholes.items() for arm in arms_of(whole, selections(name), seeds)]


def suite_jobs(config: dict[str, Any], folders: Mapping[str, str]) -> Sequence[LabelJob | CellJob]:
    """The jobs of a suite from plain values, for processes that are handed no more."""
    return Suite(SuiteConfig.parse(config), folders).jobs


@dataclass(frozen=True, eq=False)
class SuiteResult:
    """What a suite gave.

    Args:
        records: one per (line, task, model, graph, control, seed, metric) of labels.
        summary: mean and spread over seeds of the headline metric of labels; None where the suite has none.
        cells: task on cells to its tables.
        provenance: command, versions, hardware, settings and digests.
    """

    records: list[dict[str, Any]]
    summary: pd.DataFrame | None
    cells: dict[str, CellBenchResult]
    provenance: dict[str, Any]


def run_suite(
    config: SuiteConfig, out_dir: str | Path, *, processes: int | None = None, progress: bool = True
) -> SuiteResult:
    """Do what is left of a suite, and write the results of all of it.

    Each finished run goes into ``out_dir/runs``. Of labels, ``results.json`` (the records), ``table.csv`` and
    ``table.md`` are written; of each task on cells, ``cells/TASK`` with the files of ``run_cell_bench``; and
    ``provenance.json``. Killed at any moment, the same call goes on where it stopped.

    Args:
        config: what is compared.
        out_dir: where the results go.
        processes: that share the work, with one thread each; None does it in this one, with its threads.
        progress: print what is built and show a progress bar, on stderr.

    Raises:
        ConfigError, DataError, FileFormatError, GraphIntegrityError: a name is unknown, or an input cannot be used.
        WorkerError: a process was killed.

    Warns:
        GnnvcellWarning: a graph is without an optional source, or finished runs were made by other code of the same
            version.
    """
    out = Path(out_dir)
    folders = graph_folders(config.graphs, out, report=_to_stderr if progress else _to_nobody)
    suite, store = Suite(config, folders), RunStore(out / "runs")
    for name, graph in suite.graphs.items():
        for source, reason in graph.manifest.skipped.items():
            warnings.warn(f"the graph {name!r} is without {source!r}: {reason}", GnnvcellWarning, stacklevel=2)
    runner = None
    if processes is not None:
        plain = {name: str(folder) for name, folder in folders.items()}
        make = partial(suite_jobs, config.model_dump(mode="json", exclude_unset=True), plain)
        runner = in_processes(make, out / "runs", processes)
    run_jobs(suite.jobs, store, runner=runner, progress=progress)
    _warn_of_other_code({job.key for job in suite.jobs}, store)
    return _write(suite, config, out, store)


def _write(suite: Suite, config: SuiteConfig, out: Path, store: RunStore) -> SuiteResult:
    provenance = provenance_of(suite.graphs)
    cells = {
        name: file.write(out / "cells" / name, cell_scores(suite.cell_jobs[name], store), task.task, provenance)
        for (name, file), task in zip(suite.cell_files.items(), suite.cell_tasks.values(), strict=True)
    }
    records, summary = label_records(suite.label_jobs, store), None
    if records:
        for task in suite.label_tasks:
            task.save_units(out)
        summary = summarise(records)
        write_results(out, records, summary)
    provenance["suite"] = config.model_dump(mode="json", exclude_unset=True)
    write_text(out / "provenance.json", json.dumps(provenance, indent=1))
    return SuiteResult(records, summary, cells, provenance)


def _warn_of_other_code(keys: Iterable[str], store: RunStore) -> None:
    """Runs are told apart by the version; code that is being worked on changes without a new one."""
    made_by = Counter(store.require(key).get("versions", {}).get("code", "") for key in keys)
    other = sum(count for code, count in made_by.items() if code != code_digest())
    if other:
        warnings.warn(
            f"{other} of {sum(made_by.values())} runs were made by other code of the same version: "
            "give another folder to make all anew",
            GnnvcellWarning,
            stacklevel=3,
        )


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _to_nobody(text: str) -> None:
    pass
