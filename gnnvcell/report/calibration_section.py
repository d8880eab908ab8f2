"""Whether scores are probabilities, and whether a model is better where it says that it knows more."""

import pandas as pd

from gnnvcell.report.calibration_charts import abstention_chart, reliability_chart
from gnnvcell.report.figures import FigureWriter
from gnnvcell.report.html import DataTable, section, tables_block
from gnnvcell.report.scores import panel_title

_RELIABILITY = (
    "Pairs of a held-out perturbation and a gene in ten equal groups by predicted probability, against the share of "
    "them that has label 1; on the dashed line both are equal. Numbers: reliability.csv."
)
_ABSTENTION = (
    "Per-gene AUROC when only the perturbations are answered to which the graph brought most, by the support that each "
    "model states; the further right, the more are left out. Where fewer are left, fewer genes have both labels. "
    "Numbers: abstention.csv."
)
_KEY = ["line", "task", "model", "graph"]


def calibration_section(reliability: pd.DataFrame, abstention: pd.DataFrame, write: FigureWriter) -> list[str]:
    """Reliability, calibration errors and scores under abstention; nothing where no whole graph was scored.

    Args:
        reliability: ``reliability_table`` of a benchmark.
        abstention: ``abstention_table`` of it.
        write: of figures.
    """
    if reliability.empty:
        return []
    reliability, abstention = _with_series(reliability), _with_series(abstention)
    drawn = write(lambda width: reliability_chart(reliability, width=width), "reliability", _RELIABILITY)
    kept = write(lambda width: abstention_chart(abstention, width=width), "abstention", _ABSTENTION)
    table = tables_block(_errors(reliability))
    return [section("Calibration and abstention", "\n".join([drawn, table, kept]))]


def _with_series(table: pd.DataFrame) -> pd.DataFrame:
    several = table["graph"].nunique() > 1
    return table.assign(series=table["model"] + (", " + table["graph"] if several else ""))


def _errors(reliability: pd.DataFrame) -> list[DataTable]:
    header = ["model", "calibration error", "scores outside 0 to 1"]
    tables = []
    for (line, task), rows in reliability.groupby(["line", "task"], sort=False):  # type: ignore[misc]
        arms = rows.drop_duplicates(_KEY).sort_values("error", kind="stable")
        body = [[str(row["series"]), f"{row['error']:.3f}", f"{row['outside']:.1%}"] for _, row in arms.iterrows()]
        tables.append(DataTable(panel_title(str(line), str(task)), header, body))
    return tables
