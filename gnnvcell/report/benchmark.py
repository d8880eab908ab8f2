"""The report of a finished benchmark, from its folder alone: statistics, figures, and every gene and perturbation."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.bench.calibration import abstention_table, reliability_table
from gnnvcell.bench.coalitions import is_part, is_single
from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.bench.statistics import benchmark_statistics
from gnnvcell.bench.strata import tables_within
from gnnvcell.bench.targets import judge, read_targets, sentence
from gnnvcell.errors import ConfigError
from gnnvcell.files import write_text
from gnnvcell.report.calibration_section import calibration_section
from gnnvcell.report.explorer import LARGEST, explored, explorer_block
from gnnvcell.report.figures import FigureWriter, figure_writer
from gnnvcell.report.html import folded, paragraphs, section, tables_block
from gnnvcell.report.interval_chart import Interval, interval_chart
from gnnvcell.report.lookup import lookup_block, lookups_of
from gnnvcell.report.markdown import markdown_page, summary_lines
from gnnvcell.report.neighbourhoods import neighbourhoods_of
from gnnvcell.report.page import write_page
from gnnvcell.report.scores import panel_title
from gnnvcell.report.statistics_tables import headline_tables, main_control, model_tables, rows_of, source_tables
from gnnvcell.report.strata_section import strata_of, strata_section, strata_tables
from gnnvcell.report.targets_section import targets_section

_HOW = (
    "Intervals are bootstraps over seeds, genes and held-out perturbations at once; differences are paired by all "
    "three. p is two-sided and normal, from the bootstrap's standard deviation, and corrected by Holm's method over "
    "all comparisons of its kind on this page. With one seed, an interval does not hold the chance in a control graph."
)
_LOOKUP = (
    "AUROC of single genes over held-out perturbations, and of single perturbations over genes, means over seeds on "
    "whole graphs. A gene with few perturbations of either label has a coarse AUROC. Perturbations score high where a "
    "model only knows which genes change often."
)
_EXPLORER = (
    "A held-out perturbation, with the scores of the first seed on the real graph. A score means something within a "
    "gene: what counts is how far it is above the gene's mean over held-out perturbations."
)


def write_report(
    folder: str | Path,
    *,
    title: str = "Graph sources",
    draws: int = 2000,
    seed: int = 0,
    ceilings: Mapping[tuple[str, str], float] | None = None,
    graphs: Mapping[str, str | Path] | None = None,
    targets: str | Path | None = None,
    explorer: bool | None = None,
    markdown: str | Path | None = None,
) -> Path:
    """Write ``index.html``, ``plots/``, ``statistics.csv``, ``reliability.csv`` and ``abstention.csv`` of a benchmark.

    Args:
        folder: what ``--out`` of ``gnnvcell bench sources`` was.
        title: of the page.
        draws: of the bootstrap.
        seed: of the draws.
        ceilings: (line, task) to the best score that the data allow.
        graphs: name to the folder of a graph that was scored, for neighbours, paths and complexes; what is found is
            kept in ``folder``, so that they are needed once. Graphs that a suite built are in there.
        targets: TOML file of what was asked for; the first paragraph names what was missed.
        explorer: whether the page has the explorer; by default where its data are not too large.
        markdown: where to write a summary and the tables as Markdown too.

    Returns:
        The path of the page; it is one file and needs no network.

    Raises:
        MissingFileError, FileFormatError: the folder is not one of a benchmark, not finished, or damaged.
        ConfigError: a ceiling for a line and task that were not run, one at or below chance, a graph that was not
            scored, or targets that cannot be read.
    """
    asked = read_targets(targets)
    bench = open_bench_folder(folder)
    _check_ceilings(ceilings or {}, list(bench.units))
    near = neighbourhoods_of(bench, graphs or {})
    tables = [*bench.tables(), *tables_within(bench, strata_of(bench, near))]
    statistics = benchmark_statistics(tables, draws=draws, seed=seed, ceilings=ceilings)
    reliability, abstention = reliability_table(bench), abstention_table(bench)
    found = {"statistics": statistics, "reliability": reliability, "abstention": abstention}
    for name, table in found.items():
        write_text(bench.path / f"{name}.csv", table.to_csv(index=False, float_format="%.4g"))
    write = figure_writer(bench.path / "plots")
    verdicts = judge(asked, statistics)
    command = _command(bench.path, draws, seed, ceilings or {}, graphs or {}, targets, explorer, markdown)
    told = {**bench.provenance, "command of figures and tables": command}
    if markdown is not None:
        write_text(markdown, _markdown(title, sentence(verdicts), statistics, told))
    lookup = paragraphs([_LOOKUP]) + lookup_block(lookups_of(bench, main_control(statistics)))
    return write_page(
        bench.path,
        bench.records,
        title=title,
        intro=sentence(verdicts),
        extras=told,
        comparisons=targets_section(verdicts) + _comparisons(statistics, write),
        lookups=[
            *strata_section(statistics, write),
            *calibration_section(reliability, abstention, write),
            section("Genes and perturbations", lookup),
            *_explorer(explored(bench, near), explorer),
        ],
    )


def _markdown(title: str, missed: str, statistics: pd.DataFrame, told: Mapping[str, Any]) -> str:
    tables = {
        "Scores with intervals": headline_tables(statistics),
        "Model against model": model_tables(statistics),
        "What each source adds": source_tables(statistics),
        "Within strata of perturbations": strata_tables(statistics),
    }
    summary = summary_lines(statistics)
    return markdown_page(title, missed=missed, summary=summary, notes=_HOW, tables=tables, told=told)


def _explorer(tables: list[dict[str, Any]], wanted: bool | None) -> list[str]:
    """The explorer; a sentence in its place where it is too large and was not asked for."""
    if not tables or wanted is False:
        return []
    block = explorer_block(tables)
    if wanted is None and len(block) > LARGEST:
        block = paragraphs([f"Left out: {len(block) / 1e6:.0f} MB of data. `gnnvcell report --explorer` puts them in."])
    return [section("One perturbation at a time", f"{paragraphs([_EXPLORER])}\n{block}")]


def _comparisons(statistics: pd.DataFrame, write: FigureWriter) -> list[str]:
    tables = tables_block(headline_tables(statistics))
    parts = [section("With intervals", f"{tables}\n{paragraphs([_HOW])}")]
    models = model_tables(statistics)
    if models:
        parts.append(section("Model against model", tables_block(models)))
    sources = source_tables(statistics)
    if sources:
        figures = _source_figures(statistics, write)
        numbers = folded("The same in numbers", tables_block(sources))
        parts.append(section("What each source adds", "\n".join([*figures, numbers])))
    return parts


def _source_figures(statistics: pd.DataFrame, write: FigureWriter) -> list[str]:
    """Real minus control of the whole and each source; then what each adds to the others."""
    control = main_control(statistics)
    drawn = [
        ("control", control, f"AUROC, real − {control}", f"Each source alone: real graph minus {control} graph."),
        ("leave_one_out", "the others", "AUROC lost without it", "What is lost when one source is left out."),
        ("shapley", "all orders", "Shapley value, AUROC", "What a source adds, averaged over all orders of adding."),
    ]
    figures = []
    for kind, against, label, caption in drawn:
        rows = rows_of(statistics, kind, against=against)
        rows = [row for row in rows if is_single(row["graph"]) or not is_part(row["graph"])]
        if not rows:
            continue
        intervals = [
            Interval(
                panel_title(row["line"], row["task"]),
                _row_name(row["graph"]),
                *(row[name] for name in ("model", "value", "low", "high")),
            )
            for row in rows
        ]
        text = f"{caption} 95% intervals; dashed: no difference. Numbers: statistics.csv, kind {kind}."
        figures.append(
            write(lambda width, i=intervals, x=label: interval_chart(i, width=width, label=x, null=0.0), kind, text)
        )
    return figures


def _command(
    path: Path,
    draws: int,
    seed: int,
    ceilings: Mapping[tuple[str, str], float],
    graphs: Mapping[str, str | Path],
    targets: str | Path | None,
    explorer: bool | None,
    markdown: str | Path | None,
) -> str:
    words = ["gnnvcell", "report", str(path), "--draws", str(draws), "--seed", str(seed)]
    if ceilings:
        words += ["--ceiling", *(f"{line}:{task}={value:g}" for (line, task), value in ceilings.items())]
    words += ["--graph", *map(str, graphs.values())] if graphs else []
    words += ["--targets", str(targets)] if targets is not None else []
    words += {None: [], True: ["--explorer"], False: ["--no-explorer"]}[explorer]
    words += ["--markdown", str(markdown)] if markdown is not None else []
    return shlex.join(words)


def _row_name(graph: str) -> str:
    """A source by its own name; the whole graph by its name and what it is."""
    return graph.partition("/")[2] if is_part(graph) else f"{graph} (all)"


def _check_ceilings(ceilings: Mapping[tuple[str, str], float], known: list[tuple[str, str]]) -> None:
    for where, value in ceilings.items():
        if where not in known:
            raise ConfigError(
                f"a ceiling for {':'.join(where)}, which was not run", expected=", ".join(map(":".join, known))
            )
        if not 0.5 < value <= 1:
            raise ConfigError(f"the ceiling of {':'.join(where)} is {value:g}", expected="above chance (.5), at most 1")
