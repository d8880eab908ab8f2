"""The figures of a screen's statistics: genes, perturbations, effects, batches."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
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
    left.set_title(f"{len(expressed):,} genes, {int((means == 0).sum()):,} never expressed", loc="left", fontsize=10.5)
    tidy(left, grid="y")
    chosen = variability["highly_variable"].to_numpy(dtype=bool)
    for rows, colour, name in ((~chosen, GREY, "other"), (chosen, ORANGE, "highly variable")):
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
    left.set_ylabel("pairs of perturbation and gene (log scale)")
    left.set_title(f"{len(deltas):,} deltas", loc="left", fontsize=10.5)
    tidy(left, grid="y")
    table = perturbations[perturbations["effect_size"].notna()]
    cells, sizes = table["cells"].to_numpy(dtype=float), table["effect_size"].to_numpy(dtype=float)
    right.scatter(cells, sizes, s=14, color=BLUE, linewidths=0, alpha=0.8)
    if len(cells) and cells.max() > 3 * cells.min():
        right.set_xscale("log")
        right.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        right.xaxis.set_minor_formatter("")
    _name_strongest(right, cells, sizes, table["perturbation"].tolist())
    right.set_ylim(bottom=0, top=1.12 * max(sizes.max(initial=0.0), 1e-6))
    right.set_xlabel("cells of the perturbation")
    right.set_ylabel("effect size (length of delta)")
    right.set_title("chance alone makes small perturbations look strong", loc="left", fontsize=10.5)
    tidy(right, grid="y")
    return figure


def _name_strongest(axes: Axes, x: NDArray, y: NDArray, names: list[str], shown: int = 5) -> None:
    for at in np.argsort(-y)[:shown].tolist():
        left = x[at] > np.median(x)
        offset, side = (-4, "right") if left else (4, "left")
        axes.annotate(
            names[at], (x[at], y[at]), xytext=(offset, 3), textcoords="offset points", ha=side, fontsize=7.5
        )


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
    order = np.argsort(-called, kind="stable")[:_ROWS]
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
    rest = len(perturbations) - len(table)
    more = f"; {rest:,} with fewer not shown" if rest else ""
    axes.set_xlabel(f"genes called down (left) and up (right) at FDR {fdr:g}{more}")
    return figure


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
    figure, panels = _panels(2 if len(known) else 1, width, max(2.9, 0.7 + 0.19 * min(len(batches), _ROWS)))
    if len(known):
        panels[0].hist(known, bins=np.linspace(0, max(known.max(), 1e-3), 61).tolist(), color=BLUE, log=True)
        panels[0].axvline(by_chance, **_LINE)
        panels[0].set_xlabel("share of variance between batches (line: by chance)")
        panels[0].set_ylabel("genes (log scale)")
        panels[0].set_title("control cells", loc="left", fontsize=10.5)
        tidy(panels[0], grid="y")
    table = batches.sort_values("controls", ascending=False, kind="stable").head(_ROWS)
    names = [" / ".join(filter(None, map(str, pair))) or "all" for pair in zip(table["context"], table["batch"], strict=True)]
    _bars(panels[-1], names, table["controls"].to_numpy(dtype=float))
    rest = len(batches) - len(table)
    panels[-1].set_xlabel("control cells" + (f"; {rest:,} batches with fewer not shown" if rest else ""))
    return figure


def _names(table: pd.DataFrame) -> list[str]:
    several = table["context"].nunique() > 1
    pairs = zip(table["perturbation"], table["context"], strict=True)
    return [f"{name} ({context})" if several else str(name) for name, context in pairs]


def _bars(axes: Axes, names: list[str], values: NDArray) -> None:
    axes.barh(np.arange(len(names)), values, 0.72, color=BLUE)
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
