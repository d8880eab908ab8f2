"""A benchmark as Markdown: what was missed, a summary in ten lines, the tables, and where the numbers come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gnnvcell.bench.coalitions import is_part, is_single
from gnnvcell.bench.statistics import MEAN_LINE
from gnnvcell.report.html import Cell, DataTable
from gnnvcell.report.provenance import provenance_rows
from gnnvcell.report.scores import panel_title, unique
from gnnvcell.report.statistics_tables import Row, interval_text, main_control, number_text, rows_of


def markdown_page(
    title: str,
    *,
    missed: str,
    summary: Sequence[str],
    notes: str,
    tables: Mapping[str, Sequence[DataTable]],
    told: Mapping[str, Any],
) -> str:
    """The text of a page.

    Args:
        title: its heading.
        missed: first paragraph; empty for none.
        summary: lines of it.
        notes: how to read them.
        tables: heading to tables under it.
        told: provenance; its command comes first.
    """
    parts = [f"# {title}", *([missed] if missed else []), "\n".join(f"- {line}" for line in summary), notes]
    for heading, found in tables.items():
        parts += [f"## {heading}", *(_table(table) for table in found)] if found else []
    rows = "\n".join(f"- {name}: `{value}`" for name, value in provenance_rows(told))
    parts += ["## Where these numbers come from", rows]
    return "\n\n".join(parts) + "\n"


def summary_lines(statistics: pd.DataFrame) -> list[str]:
    """What a reader would quote, five lines for each task: all models, the real graph against its control, the best
    model against the others, its sources, and its strata. Over several lines the means of the lines.

    Args:
        statistics: what ``benchmark_statistics`` returns.
    """
    scores = [row for row in rows_of(statistics, "score", against="") if not is_part(row["graph"])]
    several = any(row["line"] == MEAN_LINE for row in scores)
    places = unique((row["line"], row["task"]) for row in scores if not several or row["line"] == MEAN_LINE)
    return [text for place in places for text in _lines(statistics, *place)]


def _lines(statistics: pd.DataFrame, line: str, task: str) -> list[str]:
    here: Any = statistics[(statistics["line"] == line) & (statistics["task"] == task)]
    scores = sorted(_whole(rows_of(here, "score", against="")), key=lambda row: -row["value"])
    best, control = scores[0], main_control(here)
    where, title = (best["model"], best["graph"]), panel_title(line, task)
    texts = [f"{title}, AUROC within a gene: {_list(scores, signed=False)}; chance is .5."]
    differences = _whole(rows_of(here, "control", against=control)) if control else []
    if differences:
        texts.append(f"{title}, real − {control} graph: {_list(differences)}.")
    over = [row for row in rows_of(here, "model") if best["model"] in (row["model"], row["against"])]
    over = [_turned(row) if row["against"] == best["model"] else row for row in over if row["graph"] == best["graph"]]
    if over:
        names = ", ".join(f"{row['against']} {_value(row)}" for row in over)
        texts.append(f"{title}, {best['model']} over {names}.")
    texts += _sources(here, title, *where)
    within = [row for row in rows_of(here, "control_within", against=control) if (row["model"], row["graph"]) == where]
    for along in unique(row["along"] for row in within)[:1]:
        parts = [f"{row['stratum']} {_value(row)}" for row in within if row["along"] == along]
        texts.append(f"{title}, {best['model']}, real − {control} graph by {along}: {', '.join(parts)}.")
    return texts


def _sources(here: pd.DataFrame, title: str, model: str, graph: str) -> list[str]:
    """Each source alone, and what is lost without it."""
    own: Any = here[(here["model"] == model) & here["graph"].str.startswith(f"{graph}/")]
    alone = [row for row in rows_of(own, "score", against="") if is_single(row["graph"])]
    if not alone:
        return []
    lost = {row["graph"]: row for row in rows_of(own, "leave_one_out")}
    texts = []
    for row in sorted(alone, key=lambda row: -row["value"]):
        text = f"{row['graph'].partition('/')[2]} {row['value']:.3f}"
        without = lost.get(row["graph"])
        texts.append(text + (f" ({number_text(without['value'], signed=True)} lost without it)" if without else ""))
    return [f"{title}, {model}, each source alone: {', '.join(texts)}."]


def _whole(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not is_part(row["graph"])]


def _turned(row: Row) -> Row:
    """The difference the other way round."""
    ends = {"value": -row["value"], "low": -row["high"], "high": -row["low"]}
    return {**row, **ends, "model": row["against"], "against": row["model"]}


def _list(rows: Sequence[Row], *, signed: bool = True) -> str:
    several = len({row["graph"] for row in rows}) > 1
    names = [row["model"] + (f" on {row['graph']}" if several else "") for row in rows]
    return ", ".join(f"{name} {_value(row, signed=signed)}" for name, row in zip(names, rows, strict=True))


def _value(row: Row, *, signed: bool = True) -> str:
    return f"{number_text(row['value'], signed=signed)} ({interval_text(row, signed=signed)})"


def _table(table: DataTable) -> str:
    lines = [f"**{table.caption}**", ""] if table.caption else []
    lines.append("| " + " | ".join(map(_escaped, table.header)) + " |")
    lines.append("|" + "---|" * len(table.header))
    return "\n".join([*lines, *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows)])


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return _escaped(cell)
    text = f"**{_escaped(cell.text)}**" if cell.best else _escaped(cell.text)
    return f"{text} {_escaped(cell.small)}" if cell.small else text


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
