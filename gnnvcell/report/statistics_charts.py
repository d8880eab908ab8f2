"""The figures of a screen's statistics: genes, perturbations, effects, batches."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gnnvcell.report.charts import WIDE
from gnnvcell.report.theme import BLUE, GREY, INK, ORANGE, VERMILLION, styled, tidy

_ROWS = 30  # bars that can still be read
_LINE = {"color": INK, "linewidth": 1.0, "dashes": (4, 3)}


@styled
def gene_means_chart(genes: pd.DataFrame, variability: pd.DataFrame, *, values: str, width: float) -> Figure:
    """How much genes are expressed, and which vary more than others of like expression.

    Args:
        genes: the table of ``CellStatistics``.
        variability: the same.
        values: what the values are, for the axis.
        width: inches.
    """
    figure, (left, right) = _panels(2, width, 2.9)
    means = genes["mean"].to_numpy()
    expressed = means[means > 0]
    left.hist(expressed, bins=_log_bins(expressed), color=BLUE)
    left.set_xscale("log")
    left.set_xlabel(f"mean of a gene over all cells ({values}, log scale)")
    left.set_ylabel("genes")
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title(f"{len(means):,} genes, {int((means == 0).sum()):,} never expressed", loc="left", fontsize=10.5)
    tidy(left, grid="y")
    chosen = variability["highly_variable"].to_numpy(dtype=bool)
    groups = ((~chosen, GREY, "other"), (chosen, ORANGE, "highly variable"))
    for rows, colour, name in (group for group in groups if group[0].any()):
        x, y = variability["means"].to_numpy()[rows], variability["dispersions_norm"].to_numpy()[rows]
        right.scatter(x, y, s=7, color=colour, linewidths=0, alpha=0.7, label=f"{name} ({len(x):,})", rasterized=True)
    right.set_xlabel("log1p of the mean count per 10,000")
    right.set_ylabel("normalised dispersion")
    right.set_title("variability", loc="left", fontsize=10.5)
    right.legend(frameon=False, fontsize=8.5, handletextpad=0.2, loc="upper right")
    tidy(right, grid="y")
    return figure


@styled
def deltas_chart(deltas: NDArray, perturbations: pd.DataFrame, *, width: float) -> Figure:
    """All measured deltas, and the effect size of a perturbation along its number of cells.

    Args:
        deltas: (values,) measured ones.
        perturbations: the table of ``CellStatistics``.
        width: inches.
    """
    figure, (left, right) = _panels(2, width, 2.9)
    left.hist(deltas, bins=81, color=BLUE, log=True)
    left.axvline(0, **_LINE)
    left.set_xlabel("delta (perturbed less control mean, log1p)")
    left.set_ylabel("pairs (log scale)")
    left.set_title(f"{len(deltas):,} pairs of perturbation and gene", loc="left", fontsize=10.5)
    tidy(left, grid="y")
    known = np.flatnonzero(perturbations["effect_size"].notna())
    cells, sizes = (perturbations[name].to_numpy(dtype=float)[known] for name in ("cells", "effect_size"))
    right.scatter(cells, sizes, s=14, color=BLUE, linewidths=0, alpha=0.8)
    if len(cells) and cells.max() > 3 * cells.min():
        right.set_xscale("log")
        right.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        right.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        right.xaxis.set_minor_locator(NullLocator())
    right.margins(x=0.08)
    right.set_ylim(bottom=0, top=1.12 * max(sizes.max(initial=0.0), 1e-6))
    _name_strongest(right, cells, sizes, perturbations["perturbation"].to_numpy()[known].tolist())
    right.set_xlabel("cells of the perturbation")
    right.set_ylabel("effect size (length of delta)")
    right.set_title("perturbations", loc="left", fontsize=10.5)
    tidy(right, grid="y")
    return figure


def _name_strongest(axes: Axes, x: NDArray, y: NDArray, names: list[str], shown: int = 6) -> None:
    """Names beside the strongest, where they lie neither on another name nor on another point."""
    at = axes.transAxes.inverted().transform(axes.transData.transform(np.column_stack([x, y])))
    boxes: list[tuple[float, float, float, float]] = []  # left, right, bottom, top, as shares of the panel
    for place in np.argsort(-y)[:shown].tolist():
        across, up = at[place]
        side = -1 if across > 0.5 else 1
        ends = sorted((across + side * 0.015, across + side * (0.015 + 0.022 * len(names[place]))))
        box = (ends[0], ends[1], up - 0.03, up + 0.03)
        inside = (at[:, 0] > box[0]) & (at[:, 0] < box[1]) & (at[:, 1] > box[2]) & (at[:, 1] < box[3])
        if inside.any() or any(
            box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3] for other in boxes
        ):
            continue
        boxes.append(box)
        style = {"textcoords": "offset points", "ha": "left" if side > 0 else "right", "va": "center", "fontsize": 7.5}
        axes.annotate(names[place], (x[place], y[place]), xytext=(5 * side, 0), **style)


@styled
def cells_chart(perturbations: pd.DataFrame, *, width: float) -> Figure:
    """Cells of every perturbation: bars with names where they can be read, else a curve over their ranks."""
    sizes = perturbations["cells"].to_numpy(dtype=float)
    if len(sizes) > _ROWS:
        figure, (axes,) = _panels(1, width, 2.7)
        axes.fill_between(np.arange(1, len(sizes) + 1), sizes, step="mid", color=BLUE, linewidth=0)
        axes.set_xlabel("perturbations, most cells first")
        axes.set_ylabel("cells")
        axes.set_xlim(1, len(sizes))
        axes.set_ylim(bottom=0)
        axes.axhline(np.median(sizes), **_LINE)
        axes.annotate(
            f"median {np.median(sizes):,.0f}",
            (len(sizes), np.median(sizes)),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
        )
        tidy(axes, grid="y")
        return figure
    figure, (axes,) = _panels(1, width, 0.7 + 0.19 * len(sizes))
    _bars(axes, _names(perturbations), sizes)
    axes.set_xlabel("cells")
    return figure


@styled
def called_chart(perturbations: pd.DataFrame, *, fdr: float, width: float) -> Figure:
    """Genes that went up and down, for the perturbations with most of them."""
    called = (perturbations["de_up"] + perturbations["de_down"]).fillna(0).to_numpy()
    order = np.argsort(-called, kind="stable")[: max(1, min(_ROWS, int((called > 0).sum())))]
    table = perturbations.iloc[order]
    up, down = (table[name].fillna(0).to_numpy(dtype=float) for name in ("de_up", "de_down"))
    figure, (axes,) = _panels(1, width, 0.95 + 0.19 * len(table))
    rows = np.arange(len(table))
    axes.barh(rows, up, 0.72, color=VERMILLION, label="up")
    axes.barh(rows, -down, 0.72, color=BLUE, label="down")
    axes.axvline(0, color=INK, linewidth=0.8)
    _rows(axes, _names(table))
    reach = 1.12 * max(up.max(initial=1.0), down.max(initial=1.0))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{abs(x):,.0f}"))
    for row, (right, left) in enumerate(zip(up, down, strict=True)):
        for value, side in ((right, "left"), (-left, "right")):
            offset = 3 if side == "left" else -3
            axes.annotate(
                f"{abs(value):,.0f}", (value, row), xytext=(offset, 0), textcoords="offset points", ha=side,
                va="center", fontsize=7.5,
            )  # fmt: skip
    axes.set_xlabel(f"genes called down (left) and up (right) at FDR {fdr:g}")
    axes.set_title(_what_is_shown(len(table), called), loc="left", fontsize=10.5)
    return figure


def _what_is_shown(shown: int, called: NDArray) -> str:
    none, fewer = int((called == 0).sum()), int((called > 0).sum()) - shown
    rest = [f"{fewer:,} more with fewer"] if fewer > 0 else []
    rest += [f"{none:,} of {len(called):,} have none"] if none else []
    return "; ".join(rest)


@styled
def batches_chart(by_gene: NDArray, by_chance: float, batches: pd.DataFrame, *, width: float) -> Figure:
    """Share of the variance of control cells between batches, over genes; and controls of each batch.

    Args:
        by_gene: (genes,) shares; NaN where there is none.
        by_chance: the share expected of batches without effect.
        batches: the table of ``CellStatistics``.
        width: inches.
    """
    known = by_gene[np.isfinite(by_gene)]
    height = 0.7 + 0.19 * min(len(batches), _ROWS)
    figure, panels = _panels(2, width, max(2.9, height)) if len(known) else _panels(1, width, height)
    if len(known):
        panels[0].hist(known, bins=np.linspace(0, max(known.max(), 1e-3), 61).tolist(), color=BLUE, log=True)
        panels[0].axvline(by_chance, **_LINE)
        panels[0].set_xlabel("share of variance between batches (line: by chance)")
        panels[0].set_ylabel("genes (log scale)")
        panels[0].set_title("control cells", loc="left", fontsize=10.5)
        tidy(panels[0], grid="y")
    table = batches.sort_values("controls", ascending=False, kind="stable").head(_ROWS)
    pairs = zip(table["context"], table["batch"], strict=True)
    names = [" / ".join(filter(None, map(str, pair))) or "all" for pair in pairs]
    _bars(panels[-1], names, table["controls"].to_numpy(dtype=float))
    rest = len(batches) - len(table)
    panels[-1].set_xlabel("control cells" + (f"; {rest:,} batches with fewer not shown" if rest else ""))
    return figure


def _names(table: pd.DataFrame) -> list[str]:
    several = table["context"].nunique() > 1
    pairs = zip(table["perturbation"], table["context"], strict=True)
    return [f"{name} ({context})" if several else str(name) for name, context in pairs]


def _bars(axes: Axes, names: list[str], values: NDArray) -> None:
    axes.barh(np.arange(len(names)), values, 0.72 * min(1.0, max(len(names), 2) / 6), color=BLUE)
    _rows(axes, names)
    axes.set_xlim(0, 1.12 * max(values.max(initial=0.0), 1.0))
    for row, value in enumerate(values.tolist()):
        axes.annotate(
            f"{value:,.0f}", (value, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5
        )


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    tidy(axes)


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Panels side by side where the figure is wide, else one below the other."""
    columns = count if width >= WIDE else 1
    rows = count // columns
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06, hspace=0.08)  # type: ignore[union-attr]
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def _log_bins(values: NDArray) -> list[float]:
    low, high = (float(np.log10(v)) for v in (values.min(initial=1.0), values.max(initial=1.0)))
    return np.logspace(low, max(high, low + 0.1), 51).tolist()
