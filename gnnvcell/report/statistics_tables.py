"""Tables of benchmark statistics: scores with intervals, models against each other, and what each source adds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.bench.coalitions import is_part, is_single
from gnnvcell.report.html import Cell, DataTable
from gnnvcell.report.scores import panel_title
from gnnvcell.report.tables import DEGREE_MATCHED

_PANEL = ["line", "task"]


def main_control(statistics: pd.DataFrame) -> str:
    """The control that differences are shown against: the degree-matched one, or the first; empty without controls."""
    found = statistics.loc[statistics["kind"] == "control", "against"].unique().tolist()
    return DEGREE_MATCHED if DEGREE_MATCHED in found else (found or [""])[0]


def headline_tables(statistics: pd.DataFrame, *, level: float = 0.95) -> list[DataTable]:
    """Per line and task: each model on each whole graph, its score and its difference from the control, with intervals.

    Args:
        statistics: what ``benchmark_statistics`` returns.
        level: of its intervals.
    """
    control, interval = main_control(statistics), f"{level:.0%} interval"
    whole = statistics[~statistics["graph"].map(is_part)]
    differences = _of_kind(whole, "control", control)
    shares, several = whole["of_ceiling"].notna().any(), whole["graph"].nunique() > 1
    header = ["model", *(["graph"] if several else []), "score", interval]
    header += [f"real − {control}", interval, "p (Holm)"] if control else []
    header += ["share of ceiling"] if shares else []
    tables = []
    for (line, task), part in whole[(whole["kind"] == "score") & (whole["against"] == "")].groupby(_PANEL, sort=False):  # type: ignore[misc]
        best = part["value"].max()
        rows = []
        for row in part.sort_values("value", ascending=False, kind="stable").to_dict(orient="records"):
            score = Cell(f"{row['value']:.3f}", best=bool(row["value"] == best))
            cells: list[str | Cell] = [row["model"], *([row["graph"]] if several else []), score]
            cells.append(_interval(row, signed=False))
            if control:
                cells += _difference(differences.get((line, task, row["model"], row["graph"])))
            if shares:
                cells.append(f"{row['of_ceiling']:.0%}" if np.isfinite(row["of_ceiling"]) else "–")
            rows.append(cells)
        tables.append(DataTable(panel_title(line, task), header, rows))
    return tables


def model_tables(statistics: pd.DataFrame) -> list[DataTable]:
    """Per line and task: differences between models on the same real graph; none where one model was run."""
    models = statistics[statistics["kind"] == "model"]
    several = models["graph"].nunique() > 1
    header = ("models", *(["graph"] if several else []), "difference", "interval", "p (Holm)", "genes above / below")
    tables = []
    for (line, task), part in models.groupby(_PANEL, sort=False):  # type: ignore[misc]
        rows = [
            [
                f"{row['model']} − {row['against']}",
                *([row["graph"]] if several else []),
                *_difference(row),
                f"{row['genes_above']:,} / {row['genes_below']:,}",
            ]
            for row in part.to_dict(orient="records")
        ]
        tables.append(DataTable(panel_title(line, task), header, rows))
    return tables


def source_tables(statistics: pd.DataFrame) -> list[DataTable]:
    """Per line and task: each source alone, real against control, and what it adds to the others where that was run."""
    control = main_control(statistics)
    single = statistics[statistics["graph"].map(is_single)]
    scores = single[(single["kind"] == "score") & (single["against"] == "")]
    columns: list[tuple[str, Any]] = [(f"real − {control}", _of_kind(single, "control", control))] if control else []
    columns += [
        (title, _of_kind(statistics, kind))
        for kind, title in (("leave_one_out", "lost without it"), ("shapley", "Shapley value"))
        if (statistics["kind"] == kind).any()
    ]
    names = [name for title, _ in columns for name in (title, "interval", "p (Holm)")]
    tables = []
    for (line, task), part in _where_any(scores, columns, statistics).groupby(_PANEL, sort=False):  # type: ignore[misc]
        rows = []
        for row in part.to_dict(orient="records"):
            key = (line, task, row["model"], row["graph"])
            found = [cell for _, differences in columns for cell in _difference(differences.get(key))]
            alone = f"{row['value']:.3f}" if np.isfinite(row["value"]) else "–"
            rows.append([row["graph"].partition("/")[2], row["model"], alone, *found])
        tables.append(DataTable(panel_title(line, task), ("source", "model", "alone", *names), rows))
    return tables


def _where_any(scores: pd.DataFrame, columns: Sequence[Any], statistics: pd.DataFrame) -> pd.DataFrame:
    """Rows of sources: those scored alone, and those that were only left out."""
    if len(scores) or not columns:
        return scores
    return statistics[statistics["kind"] == "leave_one_out"].assign(value=float("nan"))


def _of_kind(statistics: pd.DataFrame, kind: str, against: str = "") -> dict[tuple[str, ...], dict[str, Any]]:
    """(line, task, model, graph) to the row of a kind, and of what it is against where that is given."""
    part = statistics[statistics["kind"] == kind]
    part = part[part["against"] == against] if against else part
    return {(row["line"], row["task"], row["model"], row["graph"]): row for row in part.to_dict(orient="records")}  # type: ignore[misc]


def _difference(row: dict[str, Any] | None) -> list[str]:
    """Value, interval and corrected p."""
    if row is None:
        return ["–", "–", "–"]
    return [_number(row["value"], signed=True), _interval(row, signed=True), _p(row["p_holm"])]


def _interval(row: dict[str, Any], *, signed: bool) -> str:
    return f"{_number(row['low'], signed=signed)} to {_number(row['high'], signed=signed)}"


def _number(value: float, *, signed: bool) -> str:
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "−")


def _p(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return "< .0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
