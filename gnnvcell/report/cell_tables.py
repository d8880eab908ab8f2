"""Tables of a benchmark on cells: scores by stratum, differences, single perturbations."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.bench.cell_folder import ALL, CellFolder
from gnnvcell.bench.cell_statistics import ERRORS, SCORES
from gnnvcell.bench.cells import NO_GRAPH
from gnnvcell.bench.coalitions import is_part
from gnnvcell.report.html import Cell, DataTable
from gnnvcell.report.lookup import Lookup
from gnnvcell.report.scores import unique
from gnnvcell.report.statistics_tables import p_text
from gnnvcell.report.tables import DEGREE_MATCHED

# Score to its name, the factor it is shown with, and digits behind the point.
_NAMES = {
    "mse_delta": ("MSE × 1000", 1e3, 2),
    "centred_pearson_delta": ("centred r", 1.0, 3),
    "pearson_delta": ("r", 1.0, 3),
    "centred_retrieval": ("centred retrieval", 1.0, 3),
}
HEADLINES = ("mse_delta", "centred_pearson_delta")  # with intervals and bounds, and drawn
Row = dict[Any, Any]


def shown_scores(statistics: pd.DataFrame) -> dict[str, tuple[str, float, int]]:
    """The scores that were measured: name, factor and digits of each."""
    return {score: _NAMES[score] for score in SCORES if score in set(statistics["score"])}


def score_tables(statistics: pd.DataFrame) -> list[DataTable]:
    """One table per stratum: every model on every whole graph; of error and centred r also the interval, the floor, and
    the score with 0 at the floor and 1 at the ceiling, which stands in the caption.

    Args:
        statistics: what ``cell_statistics`` returns.
    """
    real, scores = _records(statistics, "score", ""), shown_scores(statistics)
    several = len({row["graph"] for row in real} - {NO_GRAPH}) > 1
    header = ["model", "graph"] if several else ["model"]
    for score, (name, _, _) in scores.items():
        header += [name, "95% interval", "floor", "of ceiling"] if score in HEADLINES else [name]
    tables = []
    for stratum in unique(row["stratum"] for row in real):
        found = {(row["model"], row["graph"], row["score"]): row for row in real if row["stratum"] == stratum}
        best = {score: _best([row for row in found.values() if row["score"] == score]) for score in scores}
        rows: list[list[str | Cell]] = []
        for model, graph in unique((model, graph) for model, graph, _ in found):
            cells: list[str | Cell] = [model, graph] if several else [model]
            for score, shown in scores.items():
                row = found.get((model, graph, score))
                width = 4 if score in HEADLINES else 1
                cells += ["–"] * width if row is None else _cells(row, best[score], shown)[:width]
            rows.append(cells)
        tables.append(DataTable(_caption(stratum, list(found.values()), scores), header, rows))
    return tables


def difference_tables(statistics: pd.DataFrame, kind: str) -> list[DataTable]:
    """One table per stratum: real minus control, or one model minus another, with intervals.

    Args:
        statistics: what ``cell_statistics`` returns.
        kind: "control", "model".
    """
    rows, scores = _records(statistics, kind, None), shown_scores(statistics)
    header = ["model", "graph", "minus"]
    for name, _, _ in scores.values():
        header += [name, "95% interval", "p (Holm)"]
    tables = []
    for stratum in unique(row["stratum"] for row in rows):
        found = {(*_pair(row), row["score"]): row for row in rows if row["stratum"] == stratum}
        body = []
        for pair in unique(place[:3] for place in found):
            cells = list(pair)
            for score, shown in scores.items():
                row = found.get((*pair, score))
                cells += ["–"] * 3 if row is None else [
                    _number(row["value"], shown, signed=True), _interval(row, shown, signed=True), p_text(row["p_holm"])
                ]  # fmt: skip
            body.append(cells)
        tables.append(DataTable(_stratum(stratum), header, body))
    return tables


def findings(statistics: pd.DataFrame) -> list[str]:
    """One sentence per stratum: the model with the smallest error, what it has on the degree-matched control, and the
    ceiling.
    """
    sentences = []
    real = [row for row in _records(statistics, "score", "") if row["score"] == "mse_delta"]
    controls = {
        (row["stratum"], row["model"], row["graph"]): row["value"]
        for row in _records(statistics, "score", DEGREE_MATCHED)
        if row["score"] == "mse_delta"
    }
    for stratum in unique(row["stratum"] for row in real):
        best = min((row for row in real if row["stratum"] == stratum), key=lambda row: row["value"])
        where = best["model"] + ("" if best["graph"] == NO_GRAPH else f" on {best['graph']}")
        on_control = controls.get((stratum, best["model"], best["graph"]))
        text = f"{_stratum(stratum)}: smallest error {1e3 * best['value']:.2f}e-3 ({where})"
        text += "" if on_control is None else f", {1e3 * on_control:.2f}e-3 on rewired graphs"
        top = best["ceiling"]
        sentences.append(text + ("" if not np.isfinite(top) else f"; half of the cells reach {1e3 * top:.2f}e-3") + ".")
    return sentences


def lookup_of(bench: CellFolder) -> Lookup:
    """Every held-out perturbation: its strata, error and centred r of every model on whole real graphs, and what the
    real graph has before the degree-matched one, where that was run.
    """
    scores = bench.scores[~bench.scores["graph"].map(is_part)]
    by_arm: Any = scores.groupby(["model", "graph", "control", "perturbation"], sort=False)
    means = by_arm[["mse_delta", "centred_pearson_delta", "mse_of_no_change"]].mean()
    arms = unique(tuple(index[:3]) for index in means.index)
    means = means.sort_index()
    names = bench.strata[ALL]
    columns: dict[str, Any] = {"MSE of no change": 1e3 * means.loc[arms[0]]["mse_of_no_change"].loc[names]}
    several = len({graph for _, graph, _ in arms if graph != NO_GRAPH}) > 1
    for model, graph, control in arms:
        if control != "real":
            continue
        name = f"{model}, {graph}" if several and graph != NO_GRAPH else model
        here = means.loc[(model, graph, control)].loc[names]
        error, r = here["mse_delta"], here["centred_pearson_delta"]
        columns |= {f"{name}: MSE": 1e3 * error, f"{name}: centred r": r}
        if (model, graph, DEGREE_MATCHED) in arms:
            on_control = means.loc[(model, graph, DEGREE_MATCHED)]["mse_delta"].loc[names]
            columns[f"{name}: MSE, real − {DEGREE_MATCHED}"] = 1e3 * (error - on_control)
    groups = {stratum: set(members) for stratum, members in bench.strata.items() if stratum != ALL}
    strata = {name: ", ".join(one for one, members in groups.items() if name in members) for name in names}
    values = [[None if not np.isfinite(x) else round(float(x), 4) for x in column] for column in columns.values()]
    rows = [[name, strata[name], *row] for name, *row in zip(names, *values, strict=True)]
    return Lookup("all perturbations", ["perturbation", "stratum", *columns], rows, [0, 0, *[3] * len(columns)])


def _records(statistics: pd.DataFrame, kind: str, against: str | None) -> list[Row]:
    """Comparisons of a kind on whole graphs."""
    rows = [row for row in statistics.to_dict(orient="records") if row["kind"] == kind]
    return [row for row in rows if not is_part(row["graph"]) and against in (None, row["against"])]


def _pair(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    return row["model"], row["graph"], row["against"]


def _best(rows: list[Row]) -> float:
    values = [row["value"] for row in rows]
    if not values:
        return float("nan")
    return min(values) if rows[0]["score"] in ERRORS else max(values)


def _stratum(name: str) -> str:
    return "all perturbations" if name == ALL else name


def _number(value: float, shown: tuple[str, float, int], *, signed: bool = False) -> str:
    _, factor, digits = shown
    return f"{factor * value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def _interval(row: Row, shown: tuple[str, float, int], *, signed: bool = False) -> str:
    return f"{_number(row['low'], shown, signed=signed)} to {_number(row['high'], shown, signed=signed)}"


def _cells(row: Row, best: float, shown: tuple[str, float, int]) -> list[str | Cell]:
    """Value, interval, floor and the share of the way from there to the ceiling."""
    share = f"{round(row['of_ceiling'], 2) + 0.0:.0%}".replace("-", "−") if np.isfinite(row["of_ceiling"]) else "–"
    value = Cell(_number(row["value"], shown), best=bool(row["value"] == best))
    return [value, _interval(row, shown), _number(row["floor"], shown), share]


def _caption(stratum: str, rows: list[Row], scores: Mapping[str, tuple[str, float, int]]) -> str:
    tops = {row["score"]: row["ceiling"] for row in rows if row["score"] in HEADLINES and np.isfinite(row["ceiling"])}
    texts = [f"{scores[score][0]} {_number(top, scores[score])}" for score, top in tops.items()]
    ceiling = f"; ceiling: {', '.join(texts)}" if texts else ""
    return f"{_stratum(stratum)} ({rows[0]['perturbations']} perturbations{ceiling})"
