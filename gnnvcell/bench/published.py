"""The table that lays scores as bio-JEPA publishes them beside those that say what was learned."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gnnvcell.metrics import published_summary

WHERE = ["model", "graph", "control"]
MEAN_CELL = "mean control cell"
HONEST = ("centred_pearson_delta", "centred_retrieval", "centred_pds_cosine", "mse_delta", "mse_of_no_change")


def compare_published(scores: pd.DataFrame, mean_cell: pd.DataFrame | None = None) -> pd.DataFrame:
    """Published and honest scores of each model, over all held-out perturbations.

    Args:
        scores: what ``compare_on_cells`` returns.
        mean_cell: ``HeldOutCells.mean_cell``; a row of its own, without honest scores, since it predicts no effect.

    Returns:
        One row per (model, graph, control): ``published_summary`` of each draw of the control cells, and the mean over
        perturbations of ``HONEST``; all averaged over draws.
    """
    if mean_cell is not None:
        top = mean_cell.assign(model=MEAN_CELL, graph="-", control="real")
        scores = pd.concat([top, scores], ignore_index=True)
    rows = []
    for where, found in scores.groupby(WHERE, sort=False):
        draws = [_of_draw(draw) for _, draw in found.groupby("split", sort=False)]
        rows.append({**dict(zip(WHERE, where, strict=True)), **pd.DataFrame(draws).mean().to_dict()})  # type: ignore[arg-type]
    return pd.DataFrame(rows)


def _of_draw(draw: pd.DataFrame) -> dict[str, float]:
    honest = {name: float(draw[name].mean()) for name in HONEST if name in draw}
    return {**published_summary(draw), **honest}


def format_published(table: pd.DataFrame) -> str:
    """A Markdown table; mean squared errors of effects in thousandths, beside that of predicting no change."""
    head = [
        *WHERE, "MSE by pair", "Pearson top-20 by pair", "R2 all: mean / median", "R2 top-50: mean / median",
        "shift by pair", "centred r", "retrieval", "PDS cosine", "MSE x 1e3 / of no change",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in table.to_dict(orient="records"):
        lines.append("| " + " | ".join([*(str(row[name]) for name in WHERE), *_figures(row)]) + " |")
    return "\n".join(lines)


def _figures(row: Mapping[Any, Any]) -> list[str]:
    error = [_number(1e3 * row[name], 1) for name in ("mse_delta", "mse_of_no_change")]
    return [
        _number(row["pair_mse"], 3),
        _number(row["pair_pearson_top20"], 2),
        f"{_number(row['r2_all_mean'], 2)} / {_number(row['r2_all_median'], 2)}",
        f"{_number(row['r2_top50_mean'], 2)} / {_number(row['r2_top50_median'], 2)}",
        _number(row["pair_shift"], 3),
        *(_number(row[name], 2) for name in HONEST[:3]),
        " / ".join(error),
    ]


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"
