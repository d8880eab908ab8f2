"""The figure of stated uncertainty: coverage, size of errors by size of spreads, and error against uncertainty."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnnvcell.metrics import ErrorCurve
from gnnvcell.report.charts import WIDE
from gnnvcell.report.theme import BLUE, GREEN, GREY, INK, ORANGE, styled, tidy
from gnnvcell.tasks.uncertainty import PERTURBATIONS, SUPPORT, UncertaintyScores

_RIGHT = {"color": INK, "linewidth": 1.0, "dashes": (4, 3)}
_ORDERS = {PERTURBATIONS: ("by stated spread", BLUE), SUPPORT: ("by graph support", ORANGE)}


@styled
def uncertainty_chart(scores: UncertaintyScores, *, width: float) -> Figure:
    """Up to three panels, for what the prediction states: are spreads right as coverages, are they right as sizes of
    errors, and does the error fall when the least certain perturbations are left out.

    Args:
        scores: of stated uncertainty.
        width: inches; panels stand side by side where they fit.
    """
    orders = [name for name in _ORDERS if name in scores.curves]
    panels = [_draw_coverage, _draw_sizes] if len(scores.nominal) else []
    panels += [_draw_curves] if orders else []
    columns = min(3, len(panels)) if width >= WIDE else 1
    rows = -(-len(panels) // columns)
    each = width / columns if width < WIDE else 3.0
    figure = Figure(figsize=(each * columns, rows * 2.9), layout="constrained")
    for axes, draw in zip(figure.subplots(rows, columns, squeeze=False).ravel(), panels, strict=True):
        draw(axes, scores)
        tidy(axes, grid="y")
    return figure


def _draw_coverage(axes: Axes, scores: UncertaintyScores) -> None:
    axes.plot([0, 1], [0, 1], **_RIGHT)
    level, covered = (scores.nominal[name].to_numpy() for name in ("level", "coverage"))
    axes.plot(level, covered, "o-", color=BLUE, linewidth=1.6, markersize=4)
    handles = [Line2D([], [], color=BLUE, marker="o", markersize=4, label="normal, of stated spreads")]
    if scores.level is not None:
        axes.plot([scores.level], [scores.metrics["coverage"]], "D", color=ORANGE, markersize=7, clip_on=False)
        handles.append(Line2D([], [], color=ORANGE, marker="D", linestyle="", label="stated intervals"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.legend(handles=handles, loc="lower right", frameon=False, fontsize=8)
    axes.set_xlabel("nominal coverage")
    axes.set_ylabel("true effects inside")
    axes.set_title("Coverage", loc="left", fontsize=10)


def _draw_sizes(axes: Axes, scores: UncertaintyScores) -> None:
    spread, error = (scores.by_spread[name].to_numpy() for name in ("spread", "error"))
    largest = 1.1 * max(float(spread.max()), float(error.max()), 1e-12)
    axes.plot([0, largest], [0, largest], **_RIGHT)
    axes.plot(spread, error, "o-", color=BLUE, linewidth=1.6, markersize=4)
    axes.set_xlim(0, largest)
    axes.set_ylim(0, largest)
    axes.set_xlabel("stated spread (log1p)")
    axes.set_ylabel("root mean squared error")
    axes.set_title("Errors by stated spread", loc="left", fontsize=10)


def _draw_curves(axes: Axes, scores: UncertaintyScores) -> None:
    handles = []
    for name, (label, colour) in _ORDERS.items():
        if name in scores.curves:
            _curve(axes, scores.curves[name], colour)
            handles.append(Line2D([], [], color=colour, label=f"{label} ({_gain(scores.curves[name])})"))
    any_curve = next(scores.curves[name] for name in _ORDERS if name in scores.curves)
    axes.plot(any_curve.kept, any_curve.best, color=GREEN, linewidth=1.4, linestyle=(0, (1.5, 1.5)))
    axes.axhline(any_curve.chance_area, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)))
    handles.append(Line2D([], [], color=GREEN, linestyle=(0, (1.5, 1.5)), label="were the errors known (1)"))
    handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), label="in no order (0)"))
    top = max(float(np.max(scores.curves[name].error)) for name in _ORDERS if name in scores.curves)
    axes.set_ylim(0, 1.65 * top)  # room for the legend
    axes.set_xlim(0, 1)
    axes.legend(handles=handles, loc="upper left", frameon=False, fontsize=8)
    axes.set_xlabel("share of perturbations kept")
    axes.set_ylabel("mean of their errors (RMSE)")
    axes.set_title("Error against uncertainty", loc="left", fontsize=10)


def _curve(axes: Axes, curve: ErrorCurve, colour: str) -> None:
    axes.plot(curve.kept, curve.error, color=colour, linewidth=1.8)


def _gain(curve: ErrorCurve) -> str:
    return f"{curve.gain:.2f}".replace("-", "−") if np.isfinite(curve.gain) else "–"
