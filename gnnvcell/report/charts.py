"""The figures of a benchmark: real against control graphs, sources apart, and scores by graph support."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from gnnvcell.report.scores import Score, SupportScore, mean_and_spread, panel_title, unique
from gnnvcell.report.theme import CONTROL_COLOURS, GREEN, INK, MARKERS, SERIES, VERMILLION, styled, tidy

CHANCE = 0.5
WIDE, NARROW = 9.0, 3.7  # inches: a desk, a phone
_BAR = 0.17  # inches per bar
_CHANCE_LINE = {"color": INK, "linewidth": 1.0, "dashes": (4, 3)}
_HOLLOW = "hollow: rewired"
_CONTROL_NAMES = {"real": "real graph", "rewired": "rewired, degrees kept", "permuted": "gene labels permuted"}


@styled
def controls_chart(scores: Sequence[Score], *, width: float, label: str) -> Figure:
    """One bar per model and control, from chance to the mean over seeds; the whisker is one standard deviation.

    Args:
        scores: of one graph and its controls.
        width: inches; two panels side by side where they fit.
        label: what the score is, for the axis.
    """
    models, controls = unique(s.model for s in scores), unique(s.control for s in scores)
    panels = unique(s.panel for s in scores)
    height = len(models) * (len(controls) * _BAR + 0.16) + 0.75
    names = [_CONTROL_NAMES.get(control, control) for control in controls]
    figure, grid = panel_grid(len(panels), width, height, legend=legend_height(names, width))
    limits = _limits(scores)
    for axes, panel in zip(grid, panels, strict=True):
        _draw_control_bars(axes, [s for s in scores if s.panel == panel], models, controls)
        _dress(axes, models, panel_title(*panel), limits, label)
    colours = [_control_colour(control, controls) for control in controls]
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)]
    top_legend(figure, handles, width)
    return figure


def _draw_control_bars(axes: Axes, scores: Sequence[Score], models: Sequence[str], controls: Sequence[str]) -> None:
    height = 0.8 / len(controls)
    for row, model in enumerate(models):
        for place, control in enumerate(controls):
            mean, spread = mean_and_spread(s.value for s in scores if (s.model, s.control) == (model, control))
            if not np.isfinite(mean):
                continue
            y = row - 0.4 + (place + 0.5) * height
            axes.barh(y, mean - CHANCE, height * 0.86, left=CHANCE, color=_control_colour(control, controls))
            if spread > 0:
                axes.plot([mean - spread, mean + spread], [y, y], color=INK, linewidth=1.1, solid_capstyle="butt")
            end = (max(mean + spread, CHANCE), y)
            axes.annotate(f"{mean:.3f}", end, xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)


@styled
def sources_chart(scores: Sequence[Score], *, width: float, label: str) -> Figure:
    """One row per graph (the whole, then each source alone): filled markers on the real graph, hollow on rewired ones.

    Args:
        scores: of several graphs, each named as its row shall be.
        width: inches; two panels side by side where they fit.
        label: what the score is, for the axis.
    """
    models, graphs = unique(s.model for s in scores), unique(s.graph for s in scores)
    panels = unique(s.panel for s in scores)
    height = len(graphs) * max(0.34, 0.12 * len(models) + 0.12) + 0.75
    figure, grid = panel_grid(len(panels), width, height, legend=legend_height([*models, _HOLLOW], width))
    limits = _limits(scores)
    for axes, panel in zip(grid, panels, strict=True):
        for place, model in enumerate(models):
            offset = (place - (len(models) - 1) / 2) * 0.7 / len(models)
            for control in ("rewired", "real"):
                for row, graph in enumerate(graphs):
                    where = (panel, model, graph, control)
                    mean, _ = mean_and_spread(
                        s.value for s in scores if (s.panel, s.model, s.graph, s.control) == where
                    )
                    axes.add_line(series_marker(place, at=(mean, row + offset), hollow=control == "rewired"))
        _dress(axes, graphs, panel_title(*panel), limits, label)
    handles = [series_marker(place, name=model) for place, model in enumerate(models)]
    if any(s.control == "rewired" for s in scores):
        handles.append(series_marker(0, name=_HOLLOW, hollow=True, colour=INK))
    top_legend(figure, handles, width)
    return figure


@styled
def support_chart(scores: Sequence[SupportScore], *, width: float, label: str) -> Figure:
    """Scores by quarter of graph support: what the graph brings where it knows much and where it knows little.

    Args:
        scores: of real graphs; the mean over seeds is drawn.
        width: inches; two panels side by side where they fit.
        label: what the score is, for the axis.
    """
    models, panels = unique(s.model for s in scores), unique(s.panel for s in scores)
    last = max(s.quarter for s in scores)
    figure, grid = panel_grid(len(panels), width, 2.6, legend=legend_height(models, width))
    for axes, panel in zip(grid, panels, strict=True):
        for place, model in enumerate(models):
            means = [
                mean_and_spread(s.value for s in scores if (s.panel, s.model, s.quarter) == (panel, model, quarter))[0]
                for quarter in range(last + 1)
            ]
            colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
            axes.plot(range(last + 1), means, linewidth=1.6, markersize=6, marker=marker, color=colour)
        axes.axhline(CHANCE, **_CHANCE_LINE)
        axes.set_xticks(range(last + 1), ["least", *(str(i + 1) for i in range(1, last)), "most"])
        axes.set_xlabel("held-out perturbations by graph support")
        axes.set_ylabel(label)
        axes.set_title(panel_title(*panel), loc="left", fontsize=10.5)
        tidy(axes, grid="y")
    top_legend(figure, [series_marker(place, name=model, line=True) for place, model in enumerate(models)], width)
    return figure


def series_marker(
    place: int,
    *,
    at: tuple[float, float] | None = None,
    name: str = "",
    hollow: bool = False,
    line: bool = False,
    colour: str = "",
) -> Line2D:
    """The marker of the model at ``place``: a point in a chart, or its entry in the legend."""
    colour = colour or SERIES[place % len(SERIES)]
    return Line2D(
        [] if at is None else [at[0]],
        [] if at is None else [at[1]],
        color=colour,
        marker=MARKERS[place % len(MARKERS)],
        markersize=6,
        markerfacecolor="none" if hollow else colour,
        markeredgewidth=1.1,
        linestyle="-" if line else "",
        label=name,
    )


def panel_grid(panels: int, width: float, row_height: float, *, legend: float) -> tuple[Figure, list[Axes]]:
    """A figure with one axes per panel, two in a row where the figure is wide; ``legend`` is its height in inches."""
    columns = min(2 if width >= WIDE else 1, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width, rows * row_height + legend), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for spare in cells[panels:]:
        spare.set_axis_off()
    return figure, cells[:panels]


def top_legend(figure: Figure, handles: Sequence[Any], width: float) -> None:
    """A legend above the panels, in as many columns as fit."""
    columns = _legend_columns([handle.get_label() for handle in handles], width)
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, frameon=False, fontsize=9)


def _legend_columns(labels: Sequence[str], width: float) -> int:
    letters = max(len(label) for label in labels) + 7  # the key and the gap
    return max(1, min(len(labels), int(width / (letters * 0.085)), 4))


def legend_height(labels: Sequence[str], width: float) -> float:
    """Inches that ``top_legend`` takes."""
    return 0.25 + 0.2 * -(-len(labels) // _legend_columns(labels, width))


def _limits(scores: Sequence[Score]) -> tuple[float, float]:
    """One range for all panels, with room for the numbers beside the bars; chance is always in it."""
    values = [s.value for s in scores if np.isfinite(s.value)]
    low, high = min(CHANCE, *values), max(CHANCE, *values)
    room = max(high - low, 0.05)
    return low - 0.06 * room, high + 0.3 * room


def _dress(axes: Axes, rows: Sequence[str], title: str, limits: tuple[float, float], label: str) -> None:
    axes.axvline(CHANCE, **_CHANCE_LINE)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    axes.set_xlabel(label)
    axes.set_title(title, loc="left", fontsize=10.5)
    tidy(axes)


def _control_colour(control: str, controls: Sequence[str]) -> str:
    unnamed = [name for name in controls if name not in CONTROL_COLOURS]
    return CONTROL_COLOURS[control] if control in CONTROL_COLOURS else (GREEN, VERMILLION)[unnamed.index(control) % 2]
