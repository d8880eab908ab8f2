"""The figure of an explanation: its paths from target to responding gene, and what each source brings."""

import textwrap
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from gnnvcell.report.charts import WIDE
from gnnvcell.report.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION, styled, tidy
from gnnvcell.screens.explanation import BETWEEN, MEASURED, RESPONDING, TARGET, Explanation

_ROLES = {TARGET: (VERMILLION, "D"), BETWEEN: (GREY, "o"), MEASURED: (SKY, "s"), RESPONDING: (PURPLE, "^")}
_ROW, _LETTERS = 0.78, 30  # inches between nodes of a column; letters of a line of a name
_THINNEST, _THICKEST = 1.0, 5.0


@styled
def explanation_chart(found: Explanation, *, width: float) -> Figure:
    """Paths from left to right, as thick as what their deletion takes away, and beside them the share of each source.

    Solid arrows are edges of the graph: blue ones carry the prediction, orange ones pull against it. Dashed arrows are
    measured outcomes of neighbours on the responding gene.

    Args:
        found: the explanation.
        width: inches; the sources stand beside the paths where it is wide, else below.
    """
    columns = _columns(found.graph)
    height = max(2.6, _ROW * max(map(len, columns)) + 1.1)
    of_sources = 0.34 * len(found.sources) + 1.0
    wide = width >= WIDE
    size = (width, max(height, of_sources)) if wide else (width, height + of_sources)
    figure = Figure(figsize=size, layout="constrained")
    grid: Any = {"width_ratios": [2.4, 1]} if wide else {"height_ratios": [height, of_sources]}
    left, right = figure.subplots(1 if wide else 2, 2 if wide else 1, gridspec_kw=grid)
    _draw_paths(left, found, columns)
    _draw_sources(right, found.sources)
    effects = f"predicted {found.predicted:+.3g}, {found.bare:+.3g} without its edges"
    title = f"{found.perturbation} → {found.gene}: {effects}"
    left.set_title(title if wide else textwrap.fill(title, 44), loc="left", fontsize=10.5, pad=10)
    columns_of_legend = 3 if wide else 2
    sign = np.sign(found.predicted - found.bare)
    handles = _legend(found.graph, against=any(sign * effect < 0 for _, _, effect in found.graph.edges(data="effect")))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns_of_legend, frameon=False, fontsize=8)
    return figure


def _columns(graph: "nx.DiGraph") -> list[list[str]]:
    """Nodes by their distance from the targets over paths; the responding gene comes last."""
    targets = [node for node, role in _roles(graph) if role == TARGET]
    paths = nx.subgraph_view(graph, filter_edge=lambda a, b: graph.edges[a, b]["kind"] == "path")
    depth = {node: int(far) for node, far in nx.multi_source_dijkstra_path_length(paths, targets, weight=None).items()}
    last = max(depth.values()) + 1
    place = {n: last if role == RESPONDING else depth.get(n, last - 1) for n, role in _roles(graph)}
    return [[node for node in graph if place[node] == column] for column in range(last + 1)]


def _roles(graph: "nx.DiGraph") -> list[tuple[str, str]]:
    return [(node, graph.nodes[node]["role"]) for node in graph]


def _draw_paths(axes: Axes, found: Explanation, columns: list[list[str]]) -> None:
    graph = found.graph
    rows = max(map(len, columns))
    at = {}
    for x, column in enumerate(columns):
        for i, node in enumerate(column):
            at[node] = (float(x), (i + 0.5) * rows / len(column))
    largest = max((abs(effect) for _, _, effect in graph.edges(data="effect")), default=1.0) or 1.0
    sign = np.sign(found.predicted - found.bare) or 1.0
    for a, b, edge in graph.edges(data=True):
        thick = _THINNEST + (_THICKEST - _THINNEST) * abs(edge["effect"]) / largest
        dashed = edge["kind"] == "outcome"
        colour = BLUE if sign * edge["effect"] >= 0 else ORANGE
        axes.add_patch(
            FancyArrowPatch(
                at[a], at[b], arrowstyle="-|>", mutation_scale=7 + 1.6 * thick, color=colour, alpha=0.85,
                linewidth=thick if not dashed else 0.5 * thick + 0.5, linestyle=(0, (3, 2)) if dashed else "-",
                connectionstyle=f"arc3,rad={0.12 if dashed else 0.0}", shrinkA=7, shrinkB=8, zorder=1,
            )
        )  # fmt: skip
    for node, role in _roles(graph):
        colour, marker = _ROLES[role]
        axes.plot(*at[node], marker=marker, markersize=10, color=colour, markeredgecolor="white", zorder=3)
        axes.annotate(
            textwrap.fill(node, _LETTERS), at[node], xytext=(0, 9), textcoords="offset points", ha="center",
            va="bottom", fontsize=8.5, zorder=4, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
        )  # fmt: skip
    axes.set_xlim(-0.45, len(columns) - 0.55)
    axes.set_ylim(rows + 0.1, -0.35)
    axes.set_axis_off()


def _draw_sources(axes: Axes, sources: pd.DataFrame) -> None:
    rows = sources.sort_values("leave_one_out", key=np.abs, ascending=False)
    place = np.arange(len(rows))
    shapley = rows.shapley.notna().all()
    axes.barh(place - 0.2 * shapley, rows.leave_one_out, 0.36, color=BLUE, label="goes without it")
    if shapley:
        axes.barh(place + 0.2, rows.shapley.astype(float), 0.36, color=GREEN, label="Shapley value")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(place, rows.source)
    axes.set_xlabel("what a source brings")
    axes.set_ylim(max(len(rows), 3) - 0.5, -0.5)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    tidy(axes)


def _legend(graph: "nx.DiGraph", *, against: bool) -> list[Line2D]:
    there = {role for _, role in _roles(graph)}
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=8, label=role)
        for role, (colour, marker) in _ROLES.items()
        if role in there
    ]
    handles.append(Line2D([], [], color=BLUE, linewidth=2.5, label="carries the prediction"))
    if against:
        handles.append(Line2D([], [], color=ORANGE, linewidth=2.5, label="pulls against it"))
    if any(kind == "outcome" for _, _, kind in graph.edges(data="kind")):
        handles.append(Line2D([], [], color=INK, linewidth=1.2, dashes=(3, 2), label="measured outcome"))
    return handles
