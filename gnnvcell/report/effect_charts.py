"""The figures of an evaluation: predicted against true effects, and scores where effects and graph support differ."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gnnvcell.report.charts import WIDE
from gnnvcell.report.theme import BLUE, GREEN, GREY, INK, ORANGE, VERMILLION, styled, tidy

_STRONGEST = {True: 6, False: 4}  # panels on a desk, on a phone
_NAMED_GENES = 3
_SCATTERED = 4000  # points of a panel; above, they are counted in hexagons
_DENSITY = LinearSegmentedColormap.from_list("density", ["#C9DDEE", BLUE, "#00324F"])
_IDENTITY = {"color": INK, "linewidth": 0.9, "dashes": (4, 3)}


@styled
def strongest_effects_chart(
    predicted: NDArray,
    true: NDArray,
    scored: NDArray,
    names: Sequence[str] | NDArray,
    genes: Sequence[str] | NDArray,
    *,
    scores: Sequence[float] | NDArray,
    significant: NDArray | None = None,
    width: float,
) -> Figure:
    """Predicted against true change of every gene, one panel for each of the perturbations with the largest effects.

    Args:
        predicted: (perturbations, genes) deltas.
        true: (perturbations, genes) deltas.
        scored: (perturbations, genes) bool; other pairs, the targets, are left out.
        names: (perturbations,) for the titles.
        genes: (genes,) names; the genes with the largest true changes are named.
        scores: (perturbations,) Pearson correlations, for the titles.
        significant: (perturbations, genes) bool, drawn in another colour; None where it was not tested.
        width: inches.
    """
    wide = width >= WIDE
    size = np.where(scored, true**2, 0.0).sum(axis=1)
    chosen = np.argsort(-size, kind="stable")[: _STRONGEST[wide]]
    columns = min(3 if wide else 2, len(chosen))
    rows = -(-len(chosen) // columns)
    side = width / columns
    figure = Figure(figsize=(width if wide or columns > 1 else side, rows * side * 1.02 + 0.3), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for spare in cells[len(chosen) :]:
        spare.set_axis_off()
    for axes, row in zip(cells, chosen, strict=False):
        inside = scored[row]
        marked = None if significant is None else significant[row, inside]
        _draw_changes(axes, true[row, inside], predicted[row, inside], marked)
        _name_genes(axes, true[row, inside], predicted[row, inside], np.asarray(genes)[inside])
        axes.set_title(f"{names[row]}  r = {scores[row]:.2f}", loc="left", fontsize=9.5 if wide else 8.5)
    figure.supxlabel("true change (log1p)", fontsize=9.5)
    figure.supylabel("predicted change (log1p)", fontsize=9.5)
    if significant is not None:
        _legend_of_tested(figure)
    return figure


@styled
def all_effects_chart(predicted: NDArray, true: NDArray, scored: NDArray, *, width: float) -> Figure:
    """Predicted against true change of all genes under all perturbations, as a density; the dashed line is y = x.

    Args:
        predicted: (perturbations, genes) deltas.
        true: (perturbations, genes) deltas.
        scored: (perturbations, genes) bool.
        width: inches.
    """
    side = min(width, 5.6)
    figure = Figure(figsize=(side, side * 0.92), layout="constrained")
    axes = figure.subplots()
    x, y = true[scored], predicted[scored]
    extent = _extent(x, y)
    drawn = axes.hexbin(
        *(x, y), gridsize=55, bins="log", mincnt=1, cmap=_DENSITY, extent=(*extent[0], *extent[1]), linewidths=0.15
    )
    _cross(axes, extent)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label("(perturbation, gene) pairs", fontsize=8.5)
    axes.set_xlabel("true change (log1p)")
    axes.set_ylabel("predicted change (log1p)")
    return figure


@styled
def strata_chart(
    along: NDArray,
    panels: Sequence["StrataPanel"],
    *,
    edges: Sequence[float],
    label: str,
    width: float,
) -> Figure:
    """Scores of single perturbations along what makes them easy or hard, with floor and ceiling by stratum.

    Args:
        along: (perturbations,) effect size or graph support.
        panels: one per metric.
        edges: (strata + 1,) of the strata, ascending.
        label: what ``along`` is.
        width: inches; panels stand side by side where they fit.
    """
    wide = width >= WIDE
    columns = min(3 if wide else 1, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(width, rows * 2.75 + 0.55), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for spare in cells[len(panels) :]:
        spare.set_axis_off()
    along, bounds = np.asarray(along, dtype=float), np.asarray(edges, dtype=float)
    for axes, panel in zip(cells, panels, strict=False):
        axes.plot(along, panel.values, "o", color=BLUE, markersize=4, alpha=0.65, markeredgewidth=0, clip_on=False)
        for values, style in ((panel.means, _MEAN), (panel.floor, _FLOOR), (panel.ceiling, _CEILING)):
            _steps(axes, bounds, values, style)
        _logarithmic(axes, along)
        axes.set_title(panel.name, loc="left", fontsize=10)
        axes.set_xlabel(label)
        tidy(axes, grid="y")
    columns = 4 if wide else 2
    figure.legend(handles=_strata_handles(), loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    return figure


class StrataPanel:
    """One metric of ``strata_chart``.

    Args:
        name: of the metric.
        values: (perturbations,) scores.
        means: (strata,) mean score.
        floor: (strata,) what the mean of other effects scores; NaN where it has no score.
        ceiling: (strata,) what one half of the cells scores against the other.
    """

    def __init__(
        self,
        name: str,
        values: NDArray,
        means: Sequence[float],
        floor: Sequence[float],
        ceiling: Sequence[float],
    ) -> None:
        self.name = name
        self.values = np.asarray(values, dtype=float)
        self.means, self.floor, self.ceiling = means, floor, ceiling


_MEAN = {"color": BLUE, "linewidth": 2.0}
_FLOOR = {"color": ORANGE, "linewidth": 1.8, "linestyle": (0, (4, 2))}
_CEILING = {"color": GREEN, "linewidth": 1.8, "linestyle": (0, (1.5, 1.5))}


def _logarithmic(axes: Axes, values: NDArray) -> None:
    """A logarithmic axis that ends in a zero where there are zeros, with plain round numbers."""
    positive = values[values > 0]
    if not len(positive):
        return
    if (values == 0).any():
        axes.set_xscale("symlog", linthresh=float(positive.min()), linscale=0.5)
        ticks = [0.0, *_round_numbers(positive)]
    else:
        axes.set_xscale("log")
        ticks = _round_numbers(positive)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _round_numbers(values: NDArray) -> list[float]:
    """Round numbers in the range of positive values, fewer in a decade where there are several."""
    low, high = np.floor(np.log10(values.min())), np.ceil(np.log10(values.max()))
    decades = np.log10(values.max() / values.min())
    steps = (1, 1.5, 2, 3, 4, 5, 7) if decades < 0.8 else (1, 2, 5) if decades <= 2 else (1,)
    candidates = [step * 10.0**power for power in np.arange(low, high + 1) for step in steps]
    return [value for value in candidates if values.min() * 0.8 <= value <= values.max() * 1.2]


def _strata_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=BLUE, marker="o", markersize=4, linestyle="", alpha=0.65, label="one perturbation"),
        Line2D([], [], **_MEAN, label="mean of a stratum"),
        Line2D([], [], **_FLOOR, label="floor: mean effect"),
        Line2D([], [], **_CEILING, label="ceiling: split halves"),
    ]


def _steps(axes: Axes, edges: NDArray, values: Sequence[float], style: dict) -> None:
    """One horizontal line per stratum."""
    for low, high, value in zip(edges[:-1], edges[1:], values, strict=True):
        if np.isfinite(value):
            if low == high:  # a stratum of one value, such as "no neighbour"
                axes.plot([low], [value], marker="_", markersize=14, markeredgewidth=2, color=style["color"])
            else:
                axes.plot([low, high], [value, value], solid_capstyle="butt", **style)


def _draw_changes(axes: Axes, x: NDArray, y: NDArray, significant: NDArray | None) -> None:
    extent = _extent(x, y)
    if len(x) > _SCATTERED:
        spread = (*extent[0], *extent[1])
        axes.hexbin(x, y, gridsize=35, bins="log", mincnt=1, cmap=_DENSITY, extent=spread, linewidths=0.1)
    else:
        plain = np.ones(len(x), dtype=bool) if significant is None else ~significant
        axes.plot(x[plain], y[plain], "o", color=BLUE if significant is None else GREY, **_POINT)
        axes.plot(x[~plain], y[~plain], "o", color=VERMILLION, **_POINT)
    _cross(axes, extent)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5))


_POINT = {"markersize": 3, "alpha": 0.6, "markeredgewidth": 0}


def _legend_of_tested(figure: Figure) -> None:
    point = {**_POINT, "marker": "o", "linestyle": "", "markersize": 5, "alpha": 0.9}
    handles = [
        Line2D([], [], color=VERMILLION, label="truly differentially expressed", **point),
        Line2D([], [], color=GREY, label="other genes", **point),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=8.5)


def _name_genes(axes: Axes, x: NDArray, y: NDArray, genes: NDArray) -> None:
    """Name the genes with the largest true changes, as far as the names do not run into each other."""
    middle, height = np.mean(axes.get_xlim()), np.ptp(axes.get_ylim())
    named: list[int] = []
    for place in np.argsort(-np.abs(x), kind="stable")[:_NAMED_GENES]:
        if any(abs(y[place] - y[other]) < 0.06 * height for other in named):
            continue
        named.append(place)
        left = x[place] > middle
        axes.annotate(
            str(genes[place]),
            (x[place], y[place]),
            xytext=(-4 if left else 4, 3),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=7,
        )


def _extent(x: NDArray, y: NDArray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of the two axes with some room; an axis without spread gets the other's."""
    reach = [(float(v.min(initial=0.0)), float(v.max(initial=0.0))) for v in (x, y)]
    widest = max(high - low for low, high in reach) or 1.0
    limits = []
    for low, high in reach:
        room = max(0.06 * (high - low), 0.03 * widest)
        limits.append((low - room, high + room))
    return limits[0], limits[1]


def _cross(axes: Axes, extent: tuple[tuple[float, float], tuple[float, float]]) -> None:
    axes.axline((0, 0), slope=1, **_IDENTITY)
    axes.set_xlim(*extent[0])
    axes.set_ylim(*extent[1])
    tidy(axes, grid="y")
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axvline(0, color=GREY, linewidth=0.6)
