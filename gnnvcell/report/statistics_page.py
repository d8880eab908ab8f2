"""One self-contained page of a screen's statistics, and its tables and figures as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.data.statistics import CellStatistics
from gnnvcell.files import write_text
from gnnvcell.report.figures import figure_writer
from gnnvcell.report.html import DataTable, document, folded, section, tables_block
from gnnvcell.report.provenance import provenance_rows
from gnnvcell.report.statistics_charts import batches_chart, called_chart, cells_chart, deltas_chart, gene_means_chart

PAGE = "index.html"
_MOST_ROWS = 2000  # of the table of perturbations; the CSV has all


def write_statistics_page(
    out: str | Path, statistics: CellStatistics, *, title: str, fdr: float, extras: Mapping[str, Any] | None = None
) -> Path:
    """Write tables (CSV), figures (PNG and SVG, in ``plots``) and the page ``index.html``.

    Args:
        out: folder; made where it is missing.
        statistics: what to show.
        title: of the page.
        fdr: level at which genes were called.
        extras: provenance: command, file, settings.

    Returns:
        The path of the page.
    """
    out = Path(out)
    statistics.save(out)
    rows = [[name, _shown(value)] for name, value in statistics.summary.items()]
    origin = provenance_rows(extras or {})
    table = folded("All perturbations", tables_block([_table(statistics.perturbations)]))
    sections = [
        section("In short", tables_block([DataTable("", ("", ""), rows)])),
        *_figures(out, statistics, fdr),
        section("Every perturbation", table),
        section("Where these numbers come from", tables_block([DataTable("", ("", ""), origin)])),
    ]
    return write_text(out / PAGE, document(title, "", [], sections))


def _figures(out: Path, statistics: CellStatistics, fdr: float) -> list[str]:
    write = figure_writer(out / "plots")
    table, deltas = statistics.perturbations, statistics.deltas
    values = deltas.values[deltas.measured]
    kind = statistics.values.value
    genes = write(
        lambda width: gene_means_chart(statistics.genes, statistics.variability, values=kind, width=width),
        "gene-means",
        "Mean expression of genes over all cells, as it is in the file; and dispersion among genes of like mean.",
    )
    cells = write(
        lambda width: cells_chart(table, width=width),
        "cells-per-perturbation",
        "Cells of each perturbation. An uneven screen gives uneven effects: the noise of a mean falls with its cells.",
    )
    effects = write(
        lambda width: deltas_chart(values, table, width=width),
        "deltas",
        "Change of mean expression against controls of the same batches; the perturbed gene itself is left out.",
    )
    parts = [section("Genes", genes), section("Cells of perturbations", cells), section("Effects", effects)]
    if "de_up" in table:
        called = write(
            lambda width: called_chart(table, fdr=fdr, width=width),
            "differential",
            "Genes called by a rank-sum test against all controls; the perturbed gene itself is left out.",
        )
        parts.append(section("Differential expression", called))
    chance = statistics.batch_effect["by_chance"].to_numpy(dtype=float)
    expected = float(np.nanmean(chance)) if np.isfinite(chance).any() else float("nan")
    shares = statistics.batch_effect_by_gene["share"].to_numpy(dtype=float)
    batches = write(
        lambda width: batches_chart(shares, expected, statistics.batches, width=width),
        "batch-effect",
        "How much of the variance of control cells lies between batches, gene by gene, and the controls of each batch.",
    )
    return [*parts, section("Batches", batches)]


def _table(perturbations: pd.DataFrame) -> DataTable:
    several = perturbations["context"].nunique() > 1
    columns = [name for name in perturbations.columns if name != "context" or several]
    shown = perturbations.head(_MOST_ROWS)
    rows = [[_shown(value) for value in row] for row in shown[columns].itertuples(index=False)]
    caption = f"the first {_MOST_ROWS:,}; perturbations.csv has all" if len(perturbations) > _MOST_ROWS else ""
    return DataTable(caption, [name.replace("_", " ") for name in columns], rows)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or not np.isfinite(value):
        return "–"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}".replace("-", "−")
