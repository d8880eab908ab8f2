"""Targets of a benchmark: what was asked for before it was run, held against its statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, model_validator

from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.contrasts import CHANCE
from gnnvcell.bench.statistics import MEAN_LINE
from gnnvcell.config import Config, read_toml

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"


class Target(Config):
    """One figure that was asked for.

    Args:
        model: whose.
        task: of labels, "de", "dir" ..., and the figure is the per-gene AUROC; of cells, the task's name in the suite,
            or empty for any.
        line: of labels, the cell line; the mean of the lines when left out.
        metric: of cells, the score, such as "mse_delta".
        stratum: of cells, the stratum of perturbations; all of them when left out.
        graph: name of the graph; where it is left out, the target holds for every whole graph.
        at_least: the smallest value that meets it.
        at_most: the largest, in its place.
        within: how far from .5 it may be, in their place.
        over: another model on the same graph; the difference is asked for, and its interval must exclude 0.
        over_control: the same with a control graph in place of another model.
        control: the figure on a control graph in place of the real one.
    """

    model: str
    task: str = ""
    line: str = MEAN_LINE
    metric: str = ""
    stratum: str = "all"
    graph: str = ""
    at_least: float | None = None
    at_most: float | None = None
    within: float | None = Field(default=None, gt=0)
    over: str = ""
    over_control: str = ""
    control: str = ""

    @model_validator(mode="after")
    def _one_question(self) -> "Target":
        if not (self.task or self.metric):
            raise ValueError("task (of labels) or metric (of cells)")
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.within)) != 1:
            raise ValueError("one of at_least, at_most and within")
        if sum(map(bool, (self.over, self.over_control, self.control))) > 1:
            raise ValueError("at most one of over, over_control and control")
        if self.is_difference and self.within is not None:
            raise ValueError("a difference is at_least or at_most something")
        return self

    @property
    def is_difference(self) -> bool:
        """Whether two figures are compared."""
        return bool(self.over or self.over_control)

    def __str__(self) -> str:
        against = f" over {self.over}" if self.over else f" on {self.control} graphs" if self.control else ""
        against += f" over {self.over_control} graphs" if self.over_control else ""
        where = [self.metric, self.stratum] if self.metric else [self.task, self.line]
        place = ", ".join([self.model + against, *where, *([self.graph] if self.graph else [])])
        if self.within is not None:
            return f"{place}: within {self.within:g} of {CHANCE:g}"
        bound = f"at most {self.at_most:g}" if self.at_least is None else f"at least {self.at_least:g}"
        side = "below" if self.at_least is None else "above"
        return f"{place}: {bound}{f' with an interval {side} 0' if self.is_difference else ''}"


class Targets(Config):
    """A file of targets: an array of tables ``[[target]]``."""

    target: list[Target] = Field(min_length=1)


@dataclass(frozen=True)
class Verdict:
    """A target and what was found.

    Args:
        target: what was asked for.
        state: "met", "missed", "not measured".
        found: value and interval, as text; empty where it was not measured.
    """

    target: Target
    state: str
    found: str


def read_targets(path: str | Path | None, *, cells: str | None = None) -> list[Target]:
    """The targets of a TOML file.

    Args:
        path: the file; None for no targets.
        cells: a task on cells, whose targets are wanted; those of labels when left out.

    Raises:
        FileFormatError: missing or empty.
        ConfigError: not TOML, no targets, or an unknown setting.
    """
    found = [] if path is None else Targets.parse(read_toml(path), where=str(path)).target
    if cells is None:
        return [target for target in found if not target.metric]
    return [target for target in found if target.metric and target.task in ("", cells)]


def judge(targets: Sequence[Target], statistics: pd.DataFrame) -> list[Verdict]:
    """Every target held against what was measured.

    Args:
        targets: what was asked for, of labels or of cells.
        statistics: what ``benchmark_statistics`` returns, or of cells ``cell_statistics``.
    """
    return [_verdict(target, statistics) for target in targets]


def _verdict(target: Target, statistics: pd.DataFrame) -> Verdict:
    rows = _rows(target, statistics)
    if not rows:
        return Verdict(target, NOT_MEASURED, "")
    met = [_is_met(target, *row) for row in rows]
    shown = rows[met.index(False)] if False in met else rows[0]  # of several graphs, one that misses
    value, low, high = map(_text, shown)
    return Verdict(target, MET if all(met) else MISSED, f"{value} ({low} to {high})")


def _is_met(target: Target, value: float, low: float, high: float) -> bool:
    if target.within is not None:
        return abs(value - CHANCE) <= target.within
    if target.at_most is not None:
        return value <= target.at_most and (high < 0 or not target.is_difference)
    return value >= (target.at_least or 0.0) and (low > 0 or not target.is_difference)


def _rows(target: Target, statistics: pd.DataFrame) -> list[tuple[float, float, float]]:
    """Value and interval on each graph that the target holds for."""
    names = ("score", "stratum") if target.metric else ("line", "task")
    asked = (target.metric, target.stratum) if target.metric else (target.line, target.task)
    rows = [row for row in statistics.to_dict(orient="records") if tuple(row[name] for name in names) == asked]
    rows = [row for row in rows if (row["graph"] == target.graph if target.graph else not is_part(row["graph"]))]

    def found(kind: str, model: str, against: str) -> list[tuple[float, float, float]]:
        place = (kind, model, against)
        return [_numbers(row) for row in rows if (row["kind"], row["model"], row["against"]) == place]

    if target.over:
        turned = [(-value, -high, -low) for value, low, high in found("model", target.over, target.model)]
        return found("model", target.model, target.over) + turned
    if target.over_control:
        return found("control", target.model, target.over_control)
    return found("score", target.model, target.control)


def _numbers(row: Mapping[Any, Any]) -> tuple[float, float, float]:
    return row["value"], row["low"], row["high"]


def _text(value: float) -> str:
    """Three digits behind the point, or three that count where these would be mostly zeros."""
    return (f"{value:.3f}" if abs(value) >= 0.05 else f"{value:.3g}").replace("-", "−")


def sentence(verdicts: Sequence[Verdict]) -> str:
    """The first paragraph of a report: what was missed and what was not measured, by name, before what was met."""
    by_state = {state: [one for one in verdicts if one.state == state] for state in (MISSED, NOT_MEASURED, MET)}
    parts = []
    if by_state[MISSED]:
        missed = "; ".join(f"{one.target}, found {one.found}" for one in by_state[MISSED])
        parts.append(f"Missed, {len(by_state[MISSED])} of {len(verdicts)} targets: {missed}.")
    if by_state[NOT_MEASURED]:
        parts.append(f"Not measured: {'; '.join(str(one.target) for one in by_state[NOT_MEASURED])}.")
    if by_state[MET]:
        parts.append(f"Met: {len(by_state[MET])} of {len(verdicts)} targets.")
    return " ".join(parts)
