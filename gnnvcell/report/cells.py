"""The report of a finished benchmark on cells, from its folder alone."""

import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.bench.cell_folder import CellFolder, open_cell_folder
from gnnvcell.bench.cell_statistics import ERRORS, cell_statistics
from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.published import format_published
from gnnvcell.bench.targets import judge, read_targets, sentence
from gnnvcell.files import write_text
from gnnvcell.report.cell_tables import HEADLINES, difference_tables, findings, lookup_of, score_tables, shown_scores
from gnnvcell.report.figures import FigureWriter, figure_writer
from gnnvcell.report.html import DataTable, document, folded, paragraphs, section, tables_block
from gnnvcell.report.interval_chart import Interval, interval_chart
from gnnvcell.report.lookup import lookup_block
from gnnvcell.report.markdown import markdown_page
from gnnvcell.report.provenance import provenance_rows
from gnnvcell.report.targets_section import targets_section

_HOW = (
    "Intervals are bootstraps over held-out perturbations and draws of the control cells at once; differences are "
    "paired by both. Over a handful of perturbations they are rough. p is two-sided and normal, from the bootstrap's "
    "standard deviation, and corrected by Holm's method over all comparisons of its kind on this page. The floor is "
    "the same model on permuted graphs where these were run, else predicting no change; the ceiling is half of a "
    "perturbation's cells as a prediction of the other half."
)
_CENTRED = (
    "r is Pearson's correlation of predicted and true changes over genes without the targets; centred, both less the "
    "mean change of the training perturbations: what is common to all perturbations counts in r and not in the centred "
    "one. Errors are of changes of log1p expression. Over perturbations without an effect a correlation means nothing, "
    "and only the error counts."
)
_LOOKUP = "Means over draws of the control cells on whole graphs. Errors are mean squared ones, in thousandths."


def write_cell_report(
    folder: str | Path,
    *,
    title: str = "Held-out perturbations of cells",
    draws: int = 2000,
    seed: int = 0,
    targets: str | Path | None = None,
    markdown: str | Path | None = None,
) -> Path:
    """Write ``index.html``, ``plots/`` and ``statistics.csv`` of a benchmark on cells into its folder.

    Args:
        folder: what ``--out`` of ``gnnvcell bench cells`` was.
        title: of the page.
        draws: of the bootstrap.
        seed: of the draws.
        targets: TOML file of what was asked for; the first paragraph names what was missed.
        markdown: where to write the tables as Markdown too.

    Returns:
        The path of the page; it is one file and needs no network.

    Raises:
        MissingFileError, FileFormatError, DataError: the folder is not one of a benchmark on cells, or damaged.
        ConfigError: targets that cannot be read.
    """
    bench = open_cell_folder(folder)
    asked = read_targets(targets, cells=bench.path.resolve().name)
    statistics = cell_statistics(bench, draws=draws, seed=seed)
    write_text(bench.path / "statistics.csv", statistics.to_csv(index=False, float_format="%.4g"))
    verdicts = judge(asked, statistics)
    words = ["gnnvcell", "report", str(bench.path), "--draws", str(draws), "--seed", str(seed)]
    words += ["--targets", str(targets)] if targets is not None else []
    words += ["--markdown", str(markdown)] if markdown is not None else []
    told = {**bench.provenance, "strata": bench.strata, "command of figures and tables": shlex.join(words)}
    if markdown is not None:
        tables = {
            "Scores by stratum": score_tables(statistics),
            "Real − control": difference_tables(statistics, "control"),
        }
        missed, notes = sentence(verdicts), f"{_CENTRED} {_HOW}"
        write_text(
            markdown,
            markdown_page(title, missed=missed, summary=findings(statistics), notes=notes, tables=tables, told=told),
        )
    sections = [
        section("Scores by stratum", f"{tables_block(score_tables(statistics))}\n{paragraphs([_CENTRED, _HOW])}"),
        *targets_section(verdicts),
        *_controls(statistics, figure_writer(bench.path / "plots")),
        *_models(statistics),
        section("Perturbations", paragraphs([_LOOKUP]) + lookup_block([lookup_of(bench)])),
        _published(bench),
        section("Where these numbers come from", tables_block([DataTable("", ("", ""), provenance_rows(told))])),
    ]
    page = document(title, sentence(verdicts), findings(statistics), sections)
    return write_text(bench.path / "index.html", page)


def _controls(statistics: pd.DataFrame, write: FigureWriter) -> list[str]:
    """Real minus control by stratum: a figure for error and for centred r, and numbers."""
    rows = [row for row in statistics.to_dict(orient="records") if row["kind"] == "control"]
    rows = [row for row in rows if not is_part(row["graph"])]
    if not rows:
        return []
    several = len({row["graph"] for row in rows}) > 1
    figures = []
    for score, (name, factor, _) in shown_scores(statistics).items():
        if score not in HEADLINES:
            continue
        intervals = [
            Interval(
                f"real − {row['against']}{', ' + row['graph'] if several else ''}",
                row["stratum"],
                row["model"],
                *(factor * row[number] for number in ("value", "low", "high")),
            )
            for row in rows
            if row["score"] == score
        ]
        better = "below" if score in ERRORS else "above"
        caption = (
            f"{name}: real minus control graph, by stratum, paired by perturbation and draw; {better} 0 the real graph "
            "is the better one. 95% intervals; dashed: no difference. Numbers: statistics.csv, kind control."
        )
        draw = lambda width, i=intervals, x=name: interval_chart(i, width=width, label=x, null=0.0)  # noqa: E731
        figures.append(write(draw, f"control-{score}", caption))
    numbers = folded("The same in numbers", tables_block(difference_tables(statistics, "control")))
    return [section("Real graph against random graphs", "\n".join([*figures, numbers]))]


def _models(statistics: pd.DataFrame) -> list[str]:
    tables = [table for table in difference_tables(statistics, "model") if table.rows]
    return [section("Model against model", folded("Differences by stratum", tables_block(tables)))] if tables else []


def _published(bench: CellFolder) -> str:
    whole: Any = bench.published[~bench.published["graph"].map(is_part)]
    lines = format_published(whole).split("\n")
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return section("Scores as bio-JEPA publishes them", folded("Table", tables_block([DataTable("", head, rows)])))
