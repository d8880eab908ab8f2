"""Pictures of a graph: degree distributions, overlap between sources, coverage of genes.

Every function returns a ``matplotlib.figure.Figure`` of its own; nothing touches pyplot's global state, so they work
without a display and in threads. Colours are Okabe and Ito's, which people with colour blindness can tell apart; lines
differ in dash too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError
from gnnvcell.files import atomic_path
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.info import GraphInfo

# Okabe & Ito 2008; yellow is left out, because lines of it do not show on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.", ":")
_GREY = "#606060"
_PANEL = 5.0  # inches
_DPI = 150
_CELL, _LETTER, _TITLE_WIDTH = 0.62, 0.085, 3.9  # inches: a heat map's cell, a letter of its labels, its title
_NAMES = {keys.GENE: "genes", keys.GO_TERM: "GO terms", keys.PATHWAY: "pathways"}


def degree_distributions(graph: GeneGraph) -> Figure:
    """Degree distributions: for each relation the share of nodes with at least so many edges, on two log scales.

    One panel per node type; nodes without an edge in a relation are left out of its curve. A relation between nodes of
    one type counts both directions.

    Args:
        graph: the graph.

    Raises:
        EmptyGraphError: the graph has no edges.
    """
    curves = _degrees(graph)
    if not curves:
        raise EmptyGraphError("the graph has no edges to plot the degrees of", remedy="plot the graph it was made from")
    height = 3.8 + 0.2 * max(map(len, curves.values()))
    figure = Figure(figsize=(_PANEL * len(curves), height), layout="constrained")
    styles = relation_styles(graph.relations)
    for axes, (ntype, degrees) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        for relation, values in degrees.items():
            # The share of nodes with at least x edges is constant between two degrees that occur, up to the larger.
            axes.loglog(
                *ccdf(values), drawstyle="steps-pre", label=f"{relation} ({len(values):,} nodes)", **styles[relation]
            )
        axes.set_title(f"{_plural(ntype)} with edges, by relation", fontsize=10, loc="left")
        axes.set_xlabel("degree")
        _tidy(axes)
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0)
    figure.axes[0].set_ylabel("share of nodes with at least this degree")
    return figure


def relation_styles(relations: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Keyword arguments of a line for each relation: colour and dash, of which 28 pairs differ."""
    colours = len(PALETTE)
    return {
        relation: {
            "color": PALETTE[i % colours],
            "linestyle": DASHES[(i % colours + i // colours) % len(DASHES)],
            "linewidth": 1.8,
        }
        for i, relation in enumerate(relations)
    }


def ccdf(values: NDArray) -> tuple[NDArray, NDArray]:
    """Complementary cumulative distribution: (distinct,) sorted values, and (distinct,) share of values >= each."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct, np.cumsum(counts[::-1])[::-1] / len(values)


def source_overlap(info: GraphInfo) -> Figure:
    """What relations have in common: Jaccard index of their gene pairs, and shares of their genes.

    Left, for gene-gene relations, ``|A and B| / |A or B|`` over unordered pairs. Right, for all relations with genes,
    the share of the row's genes that have an edge in the column too.

    Args:
        info: ``graph.info()``.

    Raises:
        EmptyGraphError: no relation has genes.
    """
    panels = [
        (jaccard(info.overlap), "gene pairs in common (Jaccard index)"),
        (info.gene_overlap, "share of the row's genes that are in the column"),
    ]
    panels = [(frame, title) for frame, title in panels if len(frame)]
    if not panels:
        raise EmptyGraphError(
            "no relation of the graph has genes to compare", remedy="plot a graph with gene relations"
        )
    labels = [_LETTER * max(map(len, map(str, frame.columns))) for frame, _ in panels]
    cells = [_CELL * len(frame) for frame, _ in panels]
    widths = [max(cell + label + 0.4, _TITLE_WIDTH) for cell, label in zip(cells, labels, strict=True)]
    # Labels below stand at 45 degrees, so they are less high than long.
    height = max(cell + 0.75 * label + 0.6 for cell, label in zip(cells, labels, strict=True))
    figure = Figure(figsize=(sum(widths), height), layout="constrained")
    parts = figure.subfigures(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for part, (frame, title) in zip(parts, panels, strict=True):
        part.suptitle(title, fontsize=10)
        _heat_map(part.subplots(), frame)
    return figure


def jaccard(shares: pd.DataFrame) -> pd.DataFrame:
    """Jaccard indices from shares: with ``I / |A|`` and ``I / |B|`` known, ``I / |A or B|`` is ``1 / (1/a + 1/b - 1)``.

    Args:
        shares: (sets, sets) share of the row's members that the column has; NaN for an empty set.
    """
    row = np.asarray(shares, dtype=float)
    column = row.T
    with np.errstate(divide="ignore"):
        values = 1 / (1 / row + 1 / column - 1)
    return pd.DataFrame(np.where(row == 0, 0.0, values), shares.index, shares.columns)


def coverage(info: GraphInfo) -> Figure:
    """How many of the graph's genes each relation reaches, and with how many edges.

    Args:
        info: ``graph.info()``.

    Raises:
        EmptyGraphError: no relation has genes.
    """
    table = info.table.loc[info.table["gene_coverage"].notna()].iloc[::-1] if len(info.table) else info.table
    if not len(table):
        raise EmptyGraphError("no relation of the graph has genes", remedy="plot a graph with gene relations")
    figure = Figure(figsize=(9.0, 1.5 + 0.42 * len(table)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(table))
    left.barh(rows, table["gene_coverage"], color=PALETTE[0], height=0.65)
    left.set_yticks(rows, list(table.index))
    left.set_xlim(0, 1)
    left.xaxis.set_major_formatter(PercentFormatter(1.0))
    genes = info.nodes[keys.GENE]
    left.set_title(f"share of the {genes:,} genes that have an edge", fontsize=10, loc="left")
    right.barh(rows, table["edges"], color=PALETTE[1], height=0.65)
    right.set_title("edges (an undirected pair counts once)", fontsize=10, loc="left")
    right.xaxis.set_major_formatter(FuncFormatter(_thousands))
    right.set_xlim(0, max(float(table["edges"].max()), 1.0) * 1.25)
    for row, (share, edges) in enumerate(zip(table["gene_coverage"], table["edges"], strict=True)):
        _label_bar(left, row, float(share), f"{share:.0%}", inside=bool(share > 0.85))
        _label_bar(right, row, float(edges), f"{edges:,}", inside=False)
    for axes in (left, right):
        _tidy(axes, grid="x")
        axes.tick_params(axis="y", length=0)
    return figure


def save_plots(graph: GeneGraph, out_dir: str | Path) -> list[Path]:
    """Write ``degrees.png``, ``overlap.png`` and ``coverage.png`` into a folder, and return their paths.

    Raises:
        EmptyGraphError: the graph has no edges, or no relation with genes.
    """
    info = graph.info()
    figures = {
        "degrees": degree_distributions(graph),
        "overlap": source_overlap(info),
        "coverage": coverage(info),
    }
    paths = []
    for name, figure in figures.items():
        path = Path(out_dir) / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=_DPI)
        paths.append(path)
    return paths


def _degrees(graph: GeneGraph) -> dict[str, dict[str, NDArray]]:
    """Node type to relation to the degrees of the nodes with edges; genes first."""
    found: dict[str, dict[str, NDArray]] = {}
    for relation in graph.relations:
        source, _, destination = graph.etype(relation)
        table = graph.table(relation)
        sides = {source: [table.src]}
        sides.setdefault(destination, []).append(table.dst)
        for ntype, codes in sides.items():
            degrees = np.bincount(np.concatenate(codes), minlength=1)
            if degrees.any():
                found.setdefault(ntype, {})[relation] = degrees[degrees > 0]
    return dict(sorted(found.items(), key=lambda item: (item[0] != keys.GENE, item[0])))


def _heat_map(axes: Any, frame: pd.DataFrame) -> None:
    """Numbers on colours; the diagonal is grey and the colours span the rest, where the differences are."""
    values = np.asarray(frame, dtype=float)
    others = np.where(np.eye(len(values), dtype=bool), np.nan, values)
    highest = max(float(np.nanmax(others)), 0.01) if np.isfinite(others).any() else 1.0
    axes.set_facecolor("#E4E4E4")
    axes.set_anchor("N")
    axes.imshow(np.ma.masked_invalid(others), vmin=0, vmax=highest, cmap="Blues")
    places = np.arange(len(values))
    axes.set_xticks(places, list(frame.columns), rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(places, list(frame.index), fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        dark = row != column and value > 0.6 * highest
        text = "" if np.isnan(value) else f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")


def _label_bar(axes: Any, row: int, length: float, text: str, *, inside: bool) -> None:
    axes.annotate(
        text,
        (length, row),
        xytext=(-4 if inside else 4, 0),
        textcoords="offset points",
        ha="right" if inside else "left",
        va="center",
        fontsize=8,
        color="white" if inside else "black",
    )


def _tidy(axes: Any, *, grid: str = "both") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, color=_GREY)


def _thousands(value: float, _: int) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def _plural(ntype: str) -> str:
    return _NAMES.get(ntype, f"{ntype}s")
