"""Tables of benchmark statistics: scores with intervals, models against each other, and what each source adds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.bench.coalitions import is_part, is_single
from gnnvcell.report.html import Cell, DataTable
from gnnvcell.report.scores import panel_title, unique
from gnnvcell.report.tables import DEGREE_MATCHED

Row = dict[str, Any]


def rows_of(statistics: pd.DataFrame, kind: str, *, against: str | None = None) -> list[Row]:
    """The comparisons of one kind, and against one thing where it is given."""
    rows = [{str(name): value for name, value in row.items()} for row in statistics.to_dict(orient="records")]
    return [row for row in rows if row["kind"] == kind and against in (None, row["against"])]


def main_control(statistics: pd.DataFrame) -> str:
    """The control that differences are shown against: the degree-matched one, or the first; empty without controls."""
    found = unique(row["against"] for row in rows_of(statistics, "control"))
    return DEGREE_MATCHED if DEGREE_MATCHED in found else (found or [""])[0]


def headline_tables(statistics: pd.DataFrame, *, level: float = 0.95) -> list[DataTable]:
    """Per line and task: each model on each whole graph, its score and its difference from the control, with intervals.

    Args:
        statistics: what ``benchmark_statistics`` returns.
        level: of its intervals.
    """
    control, interval = main_control(statistics), f"{level:.0%} interval"
    scores = [row for row in rows_of(statistics, "score", against="") if not is_part(row["graph"])]
    differences = {_place(row): row for row in rows_of(statistics, "control", against=control)}
    shares = any(np.isfinite(row["of_ceiling"]) for row in scores)
    several = len({row["graph"] for row in scores}) > 1
    header = ["model", *(["graph"] if several else []), "score", interval]
    header += [f"real − {control}", interval, "p (Holm)"] if control else []
    header += ["floor", "of ceiling"] if shares else []
    tables = []
    for title, part in _panels(scores):
        best = max(row["value"] for row in part)
        rows = []
        for row in sorted(part, key=lambda row: -row["value"]):
            score = Cell(f"{row['value']:.3f}", best=bool(row["value"] == best))
            cells: list[str | Cell] = [row["model"], *([row["graph"]] if several else []), score]
            cells.append(interval_text(row, signed=False))
            cells += _difference(differences.get(_place(row))) if control else []
            if shares:
                known = np.isfinite(row["of_ceiling"])
                cells += [f"{row['floor']:.3f}", f"{row['of_ceiling']:.0%}"] if known else ["–", "–"]
            rows.append(cells)
        tables.append(DataTable(title, header, rows))
    return tables


def model_tables(statistics: pd.DataFrame) -> list[DataTable]:
    """Per line and task: differences between models on the same real graph; none where one model was run."""
    models = rows_of(statistics, "model")
    several = len({row["graph"] for row in models}) > 1
    header = ("models", *(["graph"] if several else []), "difference", "interval", "p (Holm)", "genes above / below")
    return [
        DataTable(
            title,
            header,
            [
                [
                    f"{row['model']} − {row['against']}",
                    *([row["graph"]] if several else []),
                    *_difference(row),
                    f"{row['genes_above']:,} / {row['genes_below']:,}",
                ]
                for row in part
            ],
        )
        for title, part in _panels(models)
    ]


def source_tables(statistics: pd.DataFrame) -> list[DataTable]:
    """Per line and task: each source alone, real against control, and what it adds to the others where that was run."""
    control = main_control(statistics)
    kinds = [("control", control, f"real − {control}")] if control else []
    kinds += [("leave_one_out", "the others", "lost without it"), ("shapley", "all orders", "Shapley value")]
    compared = {title: rows_of(statistics, kind, against=against) for kind, against, title in kinds}
    columns = {
        title: {_place(row): row for row in rows if is_single(row["graph"])} for title, rows in compared.items() if rows
    }
    alone = {_place(row): row for row in rows_of(statistics, "score", against="") if is_single(row["graph"])}
    places = unique([*alone, *(place for column in columns.values() for place in column)])
    header = ["source", "model", "alone", *(name for title in columns for name in (title, "interval", "p (Holm)"))]
    tables = []
    for line, task in unique(place[:2] for place in places):
        rows = []
        for place in (one for one in places if one[:2] == (line, task)):
            score = f"{alone[place]['value']:.3f}" if place in alone else "–"
            found = [cell for column in columns.values() for cell in _difference(column.get(place))]
            rows.append([place[3].partition("/")[2], place[2], score, *found])
        tables.append(DataTable(panel_title(line, task), header, rows))
    return tables


def _place(row: Row) -> tuple[str, str, str, str]:
    return row["line"], row["task"], row["model"], row["graph"]


def _panels(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of each line and task, with its title."""
    for line, task in unique((row["line"], row["task"]) for row in rows):
        yield panel_title(line, task), [row for row in rows if (row["line"], row["task"]) == (line, task)]


def _difference(row: Row | None) -> list[str]:
    """Value, interval and corrected p."""
    if row is None:
        return ["–", "–", "–"]
    return [number_text(row["value"], signed=True), interval_text(row, signed=True), p_text(row["p_holm"])]


def interval_text(row: Row, *, signed: bool) -> str:
    """The ends of a comparison's interval."""
    return f"{number_text(row['low'], signed=signed)} to {number_text(row['high'], signed=signed)}"


def number_text(value: float, *, signed: bool) -> str:
    """Three digits, with a sign where it is a difference."""
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "−")


def p_text(value: float) -> str:
    """A p-value, or a dash for none."""
    if not np.isfinite(value):
        return "–"
    return "< .0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
