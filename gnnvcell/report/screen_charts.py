"""The figures of screens: candidates by score, pairs by their departure from additivity, programmes by variant."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gnnvcell.report.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION, styled, tidy

_KINDS = {"gallery": (BLUE, "of the gallery"), "double": (ORANGE, "pair")}
_INTERACTIONS = {
    "additive": GREY,
    "synergy": VERMILLION,
    "buffering": BLUE,
    "redundancy": SKY,
    "dominance": PURPLE,
    "suppression": GREEN,
    "neomorphic": ORANGE,
}
_DIVERGING = LinearSegmentedColormap.from_list("diverging", [BLUE, "#F7F7F7", VERMILLION])
_ROW = 0.24  # inches
_NAMED_PAIRS = 8
_PROGRAMMES = 24


@styled
def target_chart(table: pd.DataFrame, *, goal: str, top: int = 20, width: float = 9.0) -> Figure:
    """The best candidates, and where they stand among all.

    Args:
        table: of a target screen.
        goal: its name, for the title.
        top: candidates that are named.
        width: inches.
    """
    best = table.head(top)
    figure = Figure(figsize=(width, len(best) * _ROW + 1.2), layout="constrained")
    bars, spread = figure.subplots(1, 2, width_ratios=[3, 2])
    colours = [_KINDS[kind][0] for kind in best["kind"]]
    places = np.arange(len(best))
    bars.barh(places, best["score"], color=colours, height=0.72)
    known = np.isfinite(best["score_sd"].to_numpy(dtype=float))
    if known.any():
        bars.errorbar(
            best["score"][known], places[known], xerr=best["score_sd"][known], fmt="none", ecolor=INK, elinewidth=1.1
        )
    bars.set_yticks(places, [_short(name) for name in best["perturbation"]])
    bars.set_ylim(len(best) - 0.4, -0.6)
    bars.set_xlabel("score (1 is the goal)")
    bars.set_title(goal, loc="left", fontsize=10.5)
    tidy(bars)
    _all_scores(spread, table, best)
    present = [kind for kind in _KINDS if (table["kind"] == kind).any()]
    if len(present) > 1:
        handles = [Patch(color=_KINDS[kind][0], label=_KINDS[kind][1]) for kind in present]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def _all_scores(axes: Axes, table: pd.DataFrame, best: pd.DataFrame) -> None:
    axes.hist(table["score"], bins=min(40, max(5, len(table) // 4)), color=GREY)
    axes.axvline(float(best["score"].min()), color=INK, linewidth=1.0, dashes=(4, 3))
    axes.set_title(f"all {len(table):,} candidates; right of the line: named", loc="left", fontsize=9)
    axes.set_xlabel("score")
    axes.set_ylabel("candidates")
    tidy(axes, grid="y")


@styled
def combo_chart(table: pd.DataFrame, *, width: float = 7.0) -> Figure:
    """Length of the predicted effect of every pair against that of the sum of its parts, by class of interaction.

    Args:
        table: of a combination screen.
        width: inches.
    """
    figure = Figure(figsize=(width, width * 0.72), layout="constrained")
    axes = figure.subplots()
    order = [kind for kind in _INTERACTIONS if (table["interaction"] == kind).any()]
    for kind in order:
        of_kind = table.iloc[np.flatnonzero(table["interaction"] == kind)]
        axes.plot(of_kind["expected"], of_kind["size"], "o", color=_INTERACTIONS[kind], markersize=5, alpha=0.75, mew=0)
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.9, dashes=(4, 3))
    limit = 1.12 * float(max(table["expected"].max(), table["size"].max(), 1e-9))
    axes.set_xlim(0, limit)
    axes.set_ylim(0, limit)
    _name_pairs(axes, table.head(_NAMED_PAIRS), limit)
    axes.set_xlabel("length of the sum of the parts' effects (log1p)")
    axes.set_ylabel("length of the predicted effect of both (log1p)")
    tidy(axes, grid="y")
    handles = [
        Line2D([], [], color=_INTERACTIONS[kind], marker="o", linestyle="", markersize=5, label=kind) for kind in order
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(handles)), frameon=False, fontsize=9)
    return figure


def _name_pairs(axes: Axes, best: pd.DataFrame, limit: float) -> None:
    """Names of the largest departures, where they do not run into each other."""
    named: list[tuple[float, float]] = []
    for x, y, name in zip(best["expected"], best["size"], best["perturbation"], strict=True):
        if any(abs(y - other[1]) < 0.035 * limit and abs(x - other[0]) < 0.3 * limit for other in named):
            continue
        named.append((x, y))
        left = x > 0.65 * limit
        axes.annotate(
            _short(str(name)),
            (x, y),
            xytext=(-5 if left else 5, 3),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8,
        )


@styled
def safety_chart(table: pd.DataFrame, programmes: pd.DataFrame, *, top: int = 20, width: float = 9.0) -> Figure:
    """Excess change of programmes under the variants, in every cell type; dots mark changed ones.

    Args:
        table: of a safety screen.
        programmes: its table of programmes.
        top: variants that are drawn, safest first.
        width: inches.
    """
    variants = table["perturbation"].head(top).tolist()
    contexts = list(dict.fromkeys(programmes["context"]))
    names = _shown_programmes(programmes)
    rows = [(variant, context) for variant in variants for context in contexts]
    place = {row: at for at, row in enumerate(rows)}
    column = {name: at for at, name in enumerate(names)}
    excess = np.full((len(rows), len(names)), np.nan)
    figure = Figure(figsize=(width, len(rows) * _ROW + 2.4), layout="constrained")
    axes = figure.subplots()
    marks: list[tuple[int, int, str]] = []
    for one in programmes.to_dict(orient="records"):
        row, at = place.get((one["perturbation"], one["context"])), column.get(one["programme"])
        if row is not None and at is not None:
            excess[row, at] = one["excess"]
            if one["verdict"]:
                marks.append((row, at, str(one["verdict"])))
    largest = float(np.nanmax(np.abs(excess), initial=1e-9))
    image = axes.imshow(excess, cmap=_DIVERGING, norm=TwoSlopeNorm(0.0, -largest, largest), aspect="auto")
    for row, at, verdict in marks:
        axes.plot(at, row, "o", color=INK, markersize=5, fillstyle="full" if verdict == "harmful" else "none", mew=1)
    harms = dict(zip(programmes["programme"], programmes["harm"], strict=True))
    axes.set_xticks(range(len(names)), [_programme(name, str(harms[name])) for name in names], rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), _labels(rows, contexts))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label("excess change (log1p)", fontsize=8.5)
    point = {"color": INK, "marker": "o", "linestyle": "", "markersize": 5}
    handles = [
        Line2D([], [], label="changed in its harmful direction", **point),
        Line2D([], [], label="changed otherwise", fillstyle="none", **point),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return figure


def _shown_programmes(programmes: pd.DataFrame) -> list[str]:
    """Programmes that can do harm and those that change, in the order of the table; the largest where they are many."""
    table = programmes.iloc[np.flatnonzero((programmes["harm"] != "") | (programmes["verdict"] != ""))]
    table = table if len(table) else programmes
    largest = np.argsort(-np.abs(table["excess"].to_numpy()), kind="stable")
    chosen = set(list(dict.fromkeys(table["programme"].iloc[largest]))[:_PROGRAMMES])
    return [name for name in dict.fromkeys(programmes["programme"]) if name in chosen]


def _labels(rows: Sequence[tuple[str, str]], contexts: Sequence[str]) -> list[str]:
    return [_short(variant) if len(contexts) == 1 else f"{_short(variant)} in {context}" for variant, context in rows]


def _programme(name: str, harm: str) -> str:
    return f"{_short(name.replace('_', ' '), 32)}{f' ({harm} is harm)' if harm else ''}"


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
