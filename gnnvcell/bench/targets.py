"""Targets of a benchmark: what was asked for before it was run, held against its statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, model_validator

from gnnvcell.bench.contrasts import CHANCE
from gnnvcell.bench.statistics import MEAN_LINE
from gnnvcell.config import Config, read_toml

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"


class Target(Config):
    """One figure that was asked for, of the per-gene AUROC.

    Args:
        model: whose.
        task: "de", "dir" ...
        line: cell line; the mean of the lines when left out.
        graph: name of the graph; where it is left out, the target holds for every whole graph.
        at_least: the smallest value that meets it.
        over: another model on the same graph; the difference is asked for, and its interval must exclude 0.
        control: a control graph in place of the real one.
        within: how far from .5 it may be, in place of ``at_least``.
    """

    model: str
    task: str
    line: str = MEAN_LINE
    graph: str = ""
    at_least: float | None = None
    over: str = ""
    control: str = ""
    within: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_question(self) -> "Target":
        if (self.at_least is None) == (self.within is None):
            raise ValueError("one of at_least and within")
        if self.over and (self.control or self.within is not None):
            raise ValueError("over goes with at_least alone")
        return self


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

    @property
    def asked(self) -> str:
        """The target in words."""
        one = self.target
        against = f" over {one.over}" if one.over else f" on {one.control} graphs" if one.control else ""
        place = f"{one.model}{against}, {one.task}, {one.line}{f', {one.graph}' if one.graph else ''}"
        if one.within is not None:
            return f"{place}: within {one.within:g} of {CHANCE:g}"
        return f"{place}: at least {one.at_least:g}{' with an interval above 0' if one.over else ''}"


def read_targets(path: str | Path) -> list[Target]:
    """The targets of a TOML file.

    Raises:
        FileFormatError: missing or empty.
        ConfigError: not TOML, no targets, or an unknown setting.
    """
    return Targets.parse(read_toml(path), where=str(path)).target


def judge(targets: Sequence[Target], statistics: pd.DataFrame) -> list[Verdict]:
    """Every target held against what was measured.

    Args:
        targets: what was asked for.
        statistics: what ``benchmark_statistics`` returns.
    """
    return [_verdict(target, statistics) for target in targets]


def _verdict(target: Target, statistics: pd.DataFrame) -> Verdict:
    rows = _rows(target, statistics)
    if not rows:
        return Verdict(target, NOT_MEASURED, "")
    met = [_is_met(target, *row) for row in rows]
    value, low, high = rows[met.index(False)] if False in met else rows[0]  # of several graphs, one that misses
    found = f"{value:.3f} ({low:.3f} to {high:.3f})".replace("-", "−")
    return Verdict(target, MET if all(met) else MISSED, found)


def _is_met(target: Target, value: float, low: float, high: float) -> bool:
    if target.within is not None:
        return abs(value - CHANCE) <= target.within
    return value >= (target.at_least or 0.0) and (low > 0 or not target.over)


def _rows(target: Target, statistics: pd.DataFrame) -> list[tuple[float, float, float]]:
    """Value and interval on each graph that the target holds for."""
    whole = ~statistics["graph"].str.contains("/") if not target.graph else statistics["graph"] == target.graph
    here: Any = statistics[whole & (statistics["line"] == target.line) & (statistics["task"] == target.task)]
    if not target.over:
        found = here[(here["kind"] == "score") & (here["model"] == target.model) & (here["against"] == target.control)]
        return [_numbers(row) for row in found.to_dict(orient="records")]
    pairs = here[here["kind"] == "model"].to_dict(orient="records")
    rows = [_numbers(row) for row in pairs if (row["model"], row["against"]) == (target.model, target.over)]
    turned = [_numbers(row) for row in pairs if (row["against"], row["model"]) == (target.model, target.over)]
    return rows + [(-value, -high, -low) for value, low, high in turned]


def _numbers(row: Mapping[Any, Any]) -> tuple[float, float, float]:
    return row["value"], row["low"], row["high"]


def sentence(verdicts: Sequence[Verdict]) -> str:
    """The first paragraph of a report: what was missed and what was not measured, by name, before what was met."""
    by_state = {state: [one for one in verdicts if one.state == state] for state in (MISSED, NOT_MEASURED, MET)}
    parts = []
    if by_state[MISSED]:
        missed = "; ".join(f"{one.asked}, found {one.found}" for one in by_state[MISSED])
        parts.append(f"Missed, {len(by_state[MISSED])} of {len(verdicts)} targets: {missed}.")
    if by_state[NOT_MEASURED]:
        parts.append(f"Not measured: {'; '.join(one.asked for one in by_state[NOT_MEASURED])}.")
    if by_state[MET]:
        parts.append(f"Met: {len(by_state[MET])} of {len(verdicts)} targets.")
    return " ".join(parts)
