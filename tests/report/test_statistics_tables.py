from typing import Any

import pandas as pd
import pytest

from gnnvcell.report.charts import NARROW, WIDE
from gnnvcell.report.html import Cell
from gnnvcell.report.interval_chart import Interval, interval_chart
from gnnvcell.report.statistics_tables import headline_tables, main_control, model_tables, source_tables


def row(kind: str, model: str, graph: str, against: str, value: float, **others: Any) -> dict[str, Any]:
    interval = {"low": value - 0.02, "high": value + 0.02, "p_holm": 0.0123}
    counts = {"genes_above": 1200, "genes_below": 30, "floor": 0.5, "of_ceiling": float("nan")}
    where = {"kind": kind, "line": "k562", "task": "de", "model": model, "graph": graph, "against": against}
    return {**where, "value": value, **interval, **counts, **others}


SCORES = [
    row("score", "knn", "g", "", 0.65),
    row("score", "smoother", "g", "", 0.7),
    row("score", "knn", "g", "rewired", 0.5),
    row("control", "knn", "g", "permuted", 0.16),
    row("control", "knn", "g", "rewired", 0.15, p_holm=1e-9),
    row("model", "knn", "g", "smoother", -0.05, p_holm=0.5),
]


def text(cells: Any) -> list[str]:
    return [cell.text if isinstance(cell, Cell) else cell for cell in cells]


def test_scores_and_differences_with_intervals() -> None:
    (table,) = headline_tables(pd.DataFrame(SCORES))
    assert table.caption == "k562: differential expression"
    expected = ["model", "score", "95% interval", "real − rewired", "95% interval", "p (Holm)"]
    assert list(table.header) == expected
    assert text(table.rows[0]) == ["smoother", "0.700", "0.680 to 0.720", "–", "–", "–"]
    assert text(table.rows[1]) == ["knn", "0.650", "0.630 to 0.670", "+0.150", "+0.130 to +0.170", "< .0001"]
    assert [cell.best for cells in table.rows for cell in cells if isinstance(cell, Cell)] == [True, False]


def test_graphs_and_ceilings_have_columns_where_there_are_some() -> None:
    more = [*SCORES, row("score", "knn", "h", "", 0.6, of_ceiling=0.25)]
    (table,) = headline_tables(pd.DataFrame(more))
    assert list(table.header)[1] == "graph"
    assert list(table.header)[-2:] == ["floor", "of ceiling"]
    assert text(table.rows[2])[:3] == ["knn", "h", "0.600"]
    assert text(table.rows[2])[-1] == "25%"
    (alone,) = headline_tables(pd.DataFrame(SCORES[:2]))
    assert list(alone.header) == ["model", "score", "95% interval"]


def test_models_against_each_other() -> None:
    (table,) = model_tables(pd.DataFrame(SCORES))
    assert text(table.rows[0]) == ["knn − smoother", "−0.050", "−0.070 to −0.030", "0.50", "1,200 / 30"]
    assert model_tables(pd.DataFrame(SCORES[:2])) == []


def test_the_control_that_differences_are_shown_against() -> None:
    assert main_control(pd.DataFrame(SCORES)) == "rewired"
    assert main_control(pd.DataFrame(SCORES[:4])) == "permuted"
    assert main_control(pd.DataFrame(SCORES[:2])) == ""


def test_what_sources_add_whether_or_not_they_were_scored_alone() -> None:
    assert source_tables(pd.DataFrame(SCORES)) == []
    left_out = row("leave_one_out", "knn", "g/string", "the others", 0.04)
    (table,) = source_tables(pd.DataFrame([*SCORES, left_out]))
    assert "Shapley value" not in table.header
    assert text(table.rows[0]) == ["string", "knn", "–", *["–"] * 3, "+0.040", "+0.020 to +0.060", "0.012"]
    alone = [row("score", "knn", "g/string", "", 0.61), row("control", "knn", "g/string", "rewired", 0.1)]
    (table,) = source_tables(pd.DataFrame([*SCORES, left_out, *alone]))
    assert text(table.rows[0])[2:5] == ["0.610", "+0.100", "+0.080 to +0.120"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_intervals_are_drawn_about_their_values(width: float) -> None:
    found = [Interval("k562", "string", "knn", 0.1, 0.05, 0.2), Interval("rpe1", "string", "ridge", -0.1, -0.2, 0.0)]
    figure = interval_chart(found, width=width, label="x", null=0.0)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["k562", "rpe1"]
    interval, marker, null = figure.axes[0].lines
    assert list(interval.get_xdata()) == [0.05, 0.2]  # type: ignore[arg-type]
    assert list(marker.get_xdata()) == [0.1]  # type: ignore[arg-type]
    assert list(null.get_xdata()) == [0.0, 0.0]  # type: ignore[arg-type]
    assert figure.axes[0].get_xlim() == pytest.approx((-0.22, 0.22))
