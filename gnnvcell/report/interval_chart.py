"""Values with their intervals, row by row, beside the value at which there is nothing to see."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from gnnvcell.report.charts import legend_height, panel_grid, series_marker, top_legend
from gnnvcell.report.scores import unique
from gnnvcell.report.theme import INK, SERIES, styled, tidy


@dataclass(frozen=True)
class Interval:
    """One value.

    Args:
        panel: title of its panel.
        row: what stands at its side.
        series: what its colour and marker stand for.
        value: the value.
        low: lower end of its interval.
        high: upper end.
    """

    panel: str
    row: str
    series: str
    value: float
    low: float
    high: float


@styled
def interval_chart(intervals: Sequence[Interval], *, width: float, label: str, null: float) -> Figure:
    """One panel per title, one row per name, one marker with its interval per series.

    Args:
        intervals: what to draw.
        width: inches; two panels side by side where they fit.
        label: what the value is, for the axis.
        null: the value of no difference, as a dashed line.
    """
    rows, series = unique(i.row for i in intervals), unique(i.series for i in intervals)
    panels = unique(i.panel for i in intervals)
    height = len(rows) * max(0.34, 0.13 * len(series) + 0.12) + 0.75
    figure, grid = panel_grid(len(panels), width, height, legend=legend_height(series, width))
    low, high = min(null, *(i.low for i in intervals)), max(null, *(i.high for i in intervals))
    room = 0.05 * max(high - low, 1e-6)
    for axes, panel in zip(grid, panels, strict=True):
        for one in (i for i in intervals if i.panel == panel):
            place = series.index(one.series)
            y = rows.index(one.row) + (place - (len(series) - 1) / 2) * 0.7 / len(series)
            axes.plot([one.low, one.high], [y, y], color=SERIES[place % len(SERIES)], linewidth=1.3)
            axes.add_line(series_marker(place, at=(one.value, y)))
        axes.axvline(null, color=INK, linewidth=1.0, dashes=(4, 3))
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(low - room, high + room)
        axes.set_xlabel(label)
        axes.set_title(panel, loc="left", fontsize=10.5)
        tidy(axes)
    top_legend(figure, [series_marker(place, name=name) for place, name in enumerate(series)], width)
    return figure
