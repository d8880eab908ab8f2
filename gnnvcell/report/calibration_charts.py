"""Charts of calibration: predicted probabilities against observed shares, and scores of what is not abstained from."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnnvcell.report.charts import CHANCE, legend_height, panel_grid, series_marker, top_legend
from gnnvcell.report.scores import panel_title, unique
from gnnvcell.report.theme import INK, MARKERS, SERIES, styled, tidy

_DASHED = {"color": INK, "linewidth": 1.0, "dashes": (4, 3)}


@styled
def reliability_chart(table: pd.DataFrame, *, width: float) -> Figure:
    """Share of label 1 against predicted probability; on the dashed line they are equal.

    Args:
        table: ``reliability_table``, with a column ``series`` that tells its lines apart.
        width: inches; two panels side by side where they fit.
    """
    figure, panels = _panels(table, width)
    for axes, rows in panels:
        _lines(axes, rows, table["series"].tolist(), "predicted", "observed")
        both = rows[["predicted", "observed"]].to_numpy()
        ends = [both.min(), both.max()]
        axes.plot(ends, ends, **_DASHED)
        axes.set_xlabel("predicted probability of label 1")
        axes.set_ylabel("observed share")
    return figure


@styled
def abstention_chart(table: pd.DataFrame, *, width: float) -> Figure:
    """Score against the share of perturbations that are answered, those with most support first.

    Args:
        table: ``abstention_table``, with a column ``series`` that tells its lines apart.
        width: inches; two panels side by side where they fit.
    """
    figure, panels = _panels(table, width)
    for axes, rows in panels:
        _lines(axes, rows, table["series"].tolist(), "kept", "auroc")
        axes.axhline(CHANCE, **_DASHED)
        axes.set_xlim(1.04, rows["kept"].min() - 0.04)  # the further right, the more is left out
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlabel("perturbations answered")
        axes.set_ylabel("AUROC within a gene")
    return figure


def _panels(table: pd.DataFrame, width: float) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    series = unique(table["series"])
    groups = [(where, rows) for where, rows in table.groupby(["line", "task"], sort=False)]
    figure, grid = panel_grid(len(groups), width, 3.0, legend=legend_height(series, width))
    for axes, ((line, task), _) in zip(grid, groups, strict=True):  # type: ignore[misc]
        axes.set_title(panel_title(str(line), str(task)), loc="left", fontsize=10.5)
        tidy(axes, grid="y")
    top_legend(figure, [series_marker(place, name=name, line=True) for place, name in enumerate(series)], width)
    return figure, [(axes, rows) for axes, (_, rows) in zip(grid, groups, strict=True)]


def _lines(axes: Axes, rows: pd.DataFrame, series: Sequence[str], x: str, y: str) -> None:
    for place, name in enumerate(unique(series)):
        line = rows[rows["series"] == name]
        colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
        axes.plot(line[x], line[y], linewidth=1.5, markersize=5, marker=marker, color=colour)
