"""Records to a table that people read: real beside control, mean and spread over seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gnnvcell.errors import DataError

HEADLINE = "per_gene_auroc"
ARM = ["line", "task", "graph", "model"]


def summarise(records: Sequence[dict[str, Any]], *, metric: str = HEADLINE) -> pd.DataFrame:
    """Mean and standard deviation over seeds of one metric.

    Args:
        records: what ``compare_sources`` returns.
        metric: which metric.

    Returns:
        One row per (line, task, graph, model); for each control a ``<control>`` and ``<control>_sd`` column, the paired
        difference ``real_minus_<control>``, and ``seconds`` (mean of the real runs).

    Raises:
        DataError: no record has that metric.
    """
    # pandas' annotations lose track of what a group-by gives.
    frame: Any = pd.DataFrame(list(records))
    if frame.empty or metric not in set(frame["metric"]):
        raise DataError(f"no record of the metric {metric!r}")
    frame = frame[frame["metric"] == metric]
    controls = list(dict.fromkeys(frame["control"]))
    groups = frame.groupby([*ARM, "control"], sort=False)["value"]
    wide = groups.mean().unstack("control")[controls]
    spread = groups.std(ddof=1).unstack("control")[controls].add_suffix("_sd")
    table = wide.join(spread)
    for control in controls:
        if control != "real" and "real" in controls:
            table[f"real_minus_{control}"] = wide["real"] - wide[control]
    seconds = frame[frame["control"] == controls[0]].groupby(ARM, sort=False)["seconds"].mean()
    return table.join(seconds).reset_index().sort_values(ARM, kind="stable", ignore_index=True)


def format_table(summary: pd.DataFrame) -> str:
    """A Markdown table of a summary: ``mean ± sd`` per control, differences with their sign."""
    controls = [c.removesuffix("_sd") for c in summary.columns if c.endswith("_sd")]
    header = [*ARM, *controls, *(f"real - {c}" for c in controls if c != "real"), "seconds"]
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---" for _ in header) + "|"]
    for row in summary.to_dict(orient="records"):
        cells = [str(row[key]) for key in ARM]
        cells += [_mean_and_sd(row[c], row[f"{c}_sd"]) for c in controls]
        differences = (row[f"real_minus_{c}"] for c in controls if f"real_minus_{c}" in row)
        cells += ["" if pd.isna(value) else f"{value:+.3f}" for value in differences]
        lines.append("| " + " | ".join([*cells, f"{row['seconds']:.1f}"]) + " |")
    return "\n".join(lines)


def _mean_and_sd(mean: float, sd: float) -> str:
    if pd.isna(mean):  # an arm that was not compared with this control
        return ""
    return f"{mean:.3f}" if pd.isna(sd) else f"{mean:.3f} ± {sd:.3f}"
