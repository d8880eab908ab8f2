"""A finished benchmark, read back from its folder alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gnnvcell.bench.contrasts import ArmScores, TableScores
from gnnvcell.bench.units import Units, units_path, unpack
from gnnvcell.errors import DataError, FileFormatError, MissingFileError
from gnnvcell.files import open_text, require_file

_COORDINATES = ("line", "task", "model", "graph", "control", "seed")
_COLUMNS = (*_COORDINATES, "metric", "value", "seconds", "run")
_AGAIN = "run the same `gnnvcell bench sources` command again: finished runs are kept"


@dataclass(frozen=True, eq=False)
class BenchFolder:
    """What ``gnnvcell bench sources`` left.

    Args:
        path: the folder.
        records: one per (line, task, model, graph, control, seed, metric).
        provenance: command, versions, digests.
        runs: name to record, of the runs that ``records`` name.
        units: (line, task) to what was scored.
    """

    path: Path
    records: list[dict[str, Any]]
    provenance: dict[str, Any]
    runs: Mapping[str, dict[str, Any]]
    units: Mapping[tuple[str, str], Units]

    @cached_property
    def placed(self) -> list[dict[str, Any]]:
        """Runs with their coordinates and their name, one per seed: a model without seed has one run for all."""
        found = {}
        for record in self.records:
            where = tuple(record[name] for name in _COORDINATES)
            name = record["run"]
            found[where] = {**self.runs[name], **dict(zip(_COORDINATES, where, strict=True)), "run": name}
        return list(found.values())

    def tables(self) -> list[TableScores]:
        """Scores of genes and perturbations by line and task.

        Raises:
            FileFormatError: a run does not keep them, or they are damaged.
            DataError: an arm lacks a seed, or nothing was scored.
        """
        return [self._table(*where) for where in self.units]

    def runs_of(self, line: str, task: str) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """Model, graph and control to their runs on a line and task, in the order of their seeds.

        Raises:
            DataError: an arm lacks a seed that others have.
        """
        runs: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
        for run in self.placed:
            if (run["line"], run["task"]) == (line, task):
                runs.setdefault((run["model"], run["graph"], run["control"]), {})[run["seed"]] = run
        seeds = {seed for found in runs.values() for seed in found}
        for where, found in runs.items():
            if found.keys() != seeds:
                raise DataError(
                    f"{', '.join(where)} has not the seeds of the others",
                    expected=", ".join(map(str, sorted(seeds))),
                    found=", ".join(map(str, sorted(found))),
                    remedy=_AGAIN,
                )
        return {where: [found[seed] for seed in sorted(seeds)] for where, found in runs.items()}

    def _table(self, line: str, task: str) -> TableScores:
        units = self.units[line, task]
        scored = (np.array(units.positives) > 0) & (np.array(units.negatives) > 0)
        if not scored.any():
            raise DataError(f"no gene of {line}, {task} has both labels: nothing was scored")
        arms = {}
        for where, ordered in self.runs_of(line, task).items():
            by_gene = np.stack([unpack(run, "per_gene", "auroc", len(scored))[scored] for run in ordered])
            size = len(units.perturbations)
            influence = np.stack([unpack(run, "per_perturbation", "influence", size) for run in ordered])
            arms[where] = ArmScores(by_gene, influence)
        return TableScores(line, task, arms)


def open_bench_folder(folder: str | Path) -> BenchFolder:
    """Read the folder of a finished benchmark.

    Raises:
        MissingFileError: no such folder, or it is not one of ``gnnvcell bench sources``.
        FileFormatError: the benchmark is not finished, or a file of it is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise MissingFileError(f"no folder {path}", remedy="name what --out of `gnnvcell bench sources` was")
    _check_is_finished(path)
    records = _records(path / "results.json")
    provenance = _json(path / "provenance.json")
    if not isinstance(provenance, dict):
        raise FileFormatError(f"{path / 'provenance.json'} is damaged", expected="names and values", remedy=_AGAIN)
    tables = dict.fromkeys((str(record["line"]), str(record["task"])) for record in records)
    units = {where: Units.load(units_path(path, *where)) for where in tables}
    runs = {name: _run(path / "runs" / f"{name}.json") for name in dict.fromkeys(record["run"] for record in records)}
    return BenchFolder(path, records, provenance, runs, units)


def _check_is_finished(path: Path) -> None:
    results = [path / "results.json", path / "provenance.json"]
    if all(file.exists() for file in results):
        return
    if (path / "scores.csv").exists():
        raise MissingFileError(f"{path} is a folder of `gnnvcell bench cells`", remedy="gnnvcell report makes its page")
    runs = len(list((path / "runs").glob("*.json"))) if (path / "runs").is_dir() else 0
    if runs:
        raise FileFormatError(f"the benchmark in {path} is not finished", found=f"{runs} finished runs", remedy=_AGAIN)
    raise MissingFileError(
        f"{path} is not the folder of a benchmark",
        expected="results.json, provenance.json, runs and units",
        remedy="name what --out of `gnnvcell bench sources` was; `gnnvcell demo` writes its own page",
    )


def _records(path: Path) -> list[dict[str, Any]]:
    records = _json(path)
    if not isinstance(records, list) or not records:
        raise FileFormatError(f"{path} is damaged", expected="a list of records", remedy=_AGAIN)
    for record in records:
        missing = [name for name in _COLUMNS if not isinstance(record, dict) or name not in record]
        if missing:
            raise FileFormatError(f"a record in {path} has no {', '.join(missing)}", remedy=_AGAIN)
    return records


def _run(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise MissingFileError(f"the run {path} is missing, which results.json names", remedy=_AGAIN)
    run = _json(path)
    if not isinstance(run, dict) or not {"metrics", "seconds", "by_support"} <= run.keys():
        raise FileFormatError(f"{path} is damaged", expected="the record of a run", remedy=_AGAIN)
    return run


def _json(path: Path) -> Any:
    with open_text(require_file(path)) as handle:
        text = handle.read()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{path} is damaged", expected="JSON", found=str(error), remedy=_AGAIN) from error
