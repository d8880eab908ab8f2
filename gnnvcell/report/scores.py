"""Records of a benchmark as plain rows of one metric, checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from gnnvcell.bench.table import HEADLINE
from gnnvcell.errors import DataError

T = TypeVar("T")

_COLUMNS = ("line", "task", "model", "graph", "control", "seed", "metric", "value", "seconds")
SMALLEST_STRATUM = 20  # perturbations
_TASKS = {"de": "differential expression", "dir": "direction of change"}


@dataclass(frozen=True)
class Score:
    """One score of one run.

    Args:
        line: cell line.
        task: "de", "dir".
        model: name of the model.
        graph: name of the graph; ``name/source`` is one source of the graph ``name``.
        control: "real", "rewired" ...
        value: the headline metric; NaN where it could not be computed.
    """

    line: str
    task: str
    model: str
    graph: str
    control: str
    value: float

    @property
    def panel(self) -> tuple[str, str]:
        """Line and task: what shares a panel."""
        return self.line, self.task


@dataclass(frozen=True)
class SupportScore:
    """The score of a model in one quarter of the held-out perturbations, 0 with the least graph support."""

    line: str
    task: str
    model: str
    quarter: int
    value: float

    @property
    def panel(self) -> tuple[str, str]:
        """Line and task: what shares a panel."""
        return self.line, self.task


def read_scores(records: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The records of the headline metric.

    Raises:
        DataError: no records, a record that lacks a column, or none of the headline metric with a value.
    """
    for record in records:
        missing = [column for column in _COLUMNS if column not in record]
        if missing:
            raise DataError(
                f"a record has no {', '.join(missing)}", expected=", ".join(_COLUMNS), found=", ".join(map(str, record))
            )
    scores = [
        Score(
            line=str(record["line"]),
            task=str(record["task"]),
            model=str(record["model"]),
            graph=str(record["graph"]),
            control=str(record["control"]),
            value=float(record["value"]),
        )
        for record in records
        if record["metric"] == HEADLINE
    ]
    if not any(np.isfinite(score.value) for score in scores):
        metrics = sorted({str(record["metric"]) for record in records})
        raise DataError(f"no record of the metric {HEADLINE!r} has a value", found=", ".join(metrics) or "no records")
    return scores


def read_support(runs: Sequence[Mapping[str, Any]]) -> list[SupportScore]:
    """Scores by graph support from finished runs on whole real graphs.

    Left out are runs with one stratum, and those whose strata are too small for a score within them to mean anything.
    """
    return [
        SupportScore(str(run["line"]), str(run["task"]), str(run["model"]), quarter, float(part["per_gene_auroc"]))
        for run in runs
        if run["control"] == "real" and "/" not in run["graph"] and len(run["by_support"]) > 1
        if min(part["perturbations"] for part in run["by_support"]) >= SMALLEST_STRATUM
        for quarter, part in enumerate(run["by_support"])
    ]


def unique(names: Iterable[T]) -> list[T]:
    """The distinct values in the order in which they come."""
    return list(dict.fromkeys(names))


def mean_and_spread(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard deviation of the finite values; NaN where there are none, spread 0 where there is one."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return float("nan"), 0.0
    return float(finite.mean()), float(finite.std(ddof=1)) if len(finite) > 1 else 0.0


def panel_title(line: str, task: str) -> str:
    """How a line and a task are called in titles."""
    return f"{line}: {_TASKS.get(task, task)}"
