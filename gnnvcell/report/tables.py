"""Tables and first sentences of a page, from records and graph descriptions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gnnvcell.bench.table import summarise
from gnnvcell.graphs.info import GraphInfo
from gnnvcell.report.html import Cell, DataTable
from gnnvcell.report.scores import panel_title, unique

DEGREE_MATCHED = "rewired"


def score_tables(records: Sequence[Mapping[str, Any]]) -> list[DataTable]:
    """One table per line, task and graph: models by control, mean and spread over seeds, the best real score marked.

    Args:
        records: what ``compare_sources`` returns.
    """
    rows, controls = _summary(records)
    spreads = {c: any(np.isfinite(row[f"{c}_sd"]) and row[f"{c}_sd"] > 0 for row in rows) for c in controls}
    differences = [control for control in controls if f"real_minus_{control}" in rows[0]]
    # Against a graph of the same degrees is the difference that counts; the others only where there is none.
    differences = [DEGREE_MATCHED] if DEGREE_MATCHED in differences else differences
    header = ("model", *controls, *(f"real − {control}" for control in differences), "seconds")
    tables = []
    for line, task, graph in unique((row["line"], row["task"], row["graph"]) for row in rows):
        part = [row for row in rows if (row["line"], row["task"], row["graph"]) == (line, task, graph)]
        part.sort(key=lambda row: -_or_lowest(row[controls[0]]))
        best = part[0][controls[0]]
        body = [
            [
                str(row["model"]),
                *(
                    _score(row[c], row[f"{c}_sd"] if spreads[c] else None, c == controls[0] and row[c] == best)
                    for c in controls
                ),
                *(_signed(row[f"real_minus_{c}"]) for c in differences),
                f"{row['seconds']:.1f}",
            ]
            for row in part
        ]
        tables.append(DataTable(f"{panel_title(line, task)} (graph: {graph})", header, body))
    return tables


def findings(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What came out, one sentence per line and task: the best model on a real graph, and the same one on controls."""
    rows, controls = _summary(records)
    rows = [row for row in rows if np.isfinite(row.get("real", np.nan))]
    sentences = []
    for line, task in unique((row["line"], row["task"]) for row in rows):
        best = max((row for row in rows if (row["line"], row["task"]) == (line, task)), key=lambda row: row["real"])
        others = [f"{best[c]:.3f} on {c} graphs" for c in controls if c != "real" and np.isfinite(best[c])]
        against = f", {' and '.join(others)}" if others else ""
        where = f"{best['model']} on {best['graph']}"
        sentences.append(f"{panel_title(line, task)}: {where} scores {best['real']:.3f}{against}; chance is .5.")
    return sentences


def _summary(records: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the bench's own summary, and the controls in it, the real graph first."""
    summary = summarise([dict(record) for record in records])
    controls = [str(column).removesuffix("_sd") for column in summary.columns if str(column).endswith("_sd")]
    rows = [{str(key): value for key, value in row.items()} for row in summary.to_dict(orient="records")]
    return rows, sorted(controls, key=lambda control: control != "real")


def _or_lowest(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _score(mean: float, spread: float | None, best: bool) -> Cell:
    if not np.isfinite(mean):
        return Cell("–", None if spread is None else "")
    if spread is None:
        return Cell(f"{mean:.3f}", best=best)
    # A model that is the same for every seed has no spread, which is not the same as a small one.
    return Cell(f"{mean:.3f}", f"± {spread:.3f}" if np.isfinite(spread) and spread > 0 else "", best)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if np.isfinite(value) else "–"


def graph_tables(info: GraphInfo) -> list[DataTable]:
    """The relations of a graph: where each comes from, how many edges, and how many genes it reaches."""
    nodes = ", ".join(f"{count:,} {ntype}" for ntype, count in info.nodes.items())
    caption = f"{info.name or 'Gene graph'}: {nodes}; {info.isolated_genes:,} genes without any edge"
    rows = [
        [
            str(row["relation"]),
            f"{int(row['edges']):,}",
            f"{row['gene_coverage']:.1%}" if np.isfinite(row["gene_coverage"]) else "–",
            f"{row['degree_median']:g}",
            f"{row['degree_max']:g}",
            str(row["source"]),
            f"{row['src_type']} → {row['dst_type']}",
        ]
        for row in info.table.reset_index(names="relation").to_dict(orient="records")
    ]
    header = ("relation", "edges", "genes reached", "median degree", "largest", "source", "between")
    return [DataTable(caption, header, rows)]
