"""One self-contained HTML page of a benchmark: table, figures, graph and provenance; it needs no network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gnnvcell.bench.coalitions import is_part, is_single
from gnnvcell.files import write_text
from gnnvcell.graphs.info import GraphInfo
from gnnvcell.report.charts import controls_chart, sources_chart, support_chart
from gnnvcell.report.figures import FigureWriter, figure_writer
from gnnvcell.report.html import DataTable, document, folded, section, tables_block
from gnnvcell.report.provenance import provenance_rows
from gnnvcell.report.scores import Score, read_scores, read_support, unique
from gnnvcell.report.tables import findings, graph_tables, score_tables

_SCORE = "AUROC within a gene, mean over genes"
_WHOLE = "all sources"


def write_page(
    out_dir: str | Path,
    records: Sequence[Mapping[str, Any]],
    *,
    title: str,
    graph_info: GraphInfo | None = None,
    strata: Sequence[Mapping[str, Any]] = (),
    extras: Mapping[str, Any] | None = None,
    intro: str = "",
    comparisons: Sequence[str] = (),
    lookups: Sequence[str] = (),
) -> Path:
    """Write ``index.html`` and every figure as PNG and SVG in ``plots/``.

    Args:
        out_dir: folder of the page; made where it is missing.
        records: what ``compare_sources`` returns; graphs named ``name/source`` are sources of the graph ``name``.
        title: of the page.
        graph_info: ``GeneGraph.info()``, for a table of the graph.
        strata: finished runs (what ``compare_sources`` gives to ``on_record``) with ``by_support``, for the scores by
            graph support.
        extras: provenance to show: command, seeds, digests ...; nested tables become one row per value.
        intro: a paragraph under the title, as plain text.
        comparisons: sections after the scores, as HTML.
        lookups: sections before the provenance, as HTML.

    Returns:
        The path of the page.

    Raises:
        DataError: no record has a value of the headline metric, or a record lacks a column.
    """
    out = Path(out_dir)
    scores = read_scores(records)
    write = figure_writer(out / "plots")
    whole = [record for record in records if not is_part(str(record["graph"]))] or list(records)
    parts = [section("Scores of held-out perturbations", tables_block(score_tables(whole))), *comparisons]
    parts.append(section("Real graph against random graphs", "\n".join(_control_figures(scores, write))))
    figures = list(_source_figures(scores, write))
    if figures:
        alone = [record for record in records if is_single(str(record["graph"]))]
        numbers = folded("The same in numbers", tables_block(score_tables(alone)))
        parts.append(section("Which source helps", "\n".join([*figures, numbers])))
    by_support = read_support(strata)
    if by_support:
        caption = (
            "Held-out perturbations in order of how much measured evidence the graph brings to them. Genes are scored "
            "within each quarter, so quarters compare with each other and not with the table."
        )
        drawn = write(
            lambda width: support_chart(by_support, width=width, label="AUROC within a gene"), "support", caption
        )
        parts.append(section("Where the graph knows much and where little", drawn))
    if graph_info is not None:
        parts.append(section("The graph", tables_block(graph_tables(graph_info))))
    parts += lookups
    provenance = DataTable("", ("", ""), provenance_rows(extras or {}))
    parts.append(section("Where these numbers come from", tables_block([provenance])))
    return write_text(out / "index.html", document(title, intro, findings(whole), parts))


def _control_figures(scores: Sequence[Score], write: FigureWriter) -> list[str]:
    whole = [score for score in scores if not is_part(score.graph)] or list(scores)
    figures = []
    for place, graph in enumerate(unique(score.graph for score in whole)):
        part = [score for score in whole if score.graph == graph]
        caption = (
            f"{graph}: bars run from chance (.5, dashed) to the mean over seeds; whiskers are one standard deviation. "
            "Rewired graphs keep every gene's degree, permuted ones keep the wiring and shuffle the names: what the "
            "real graph has above both is knowledge."
        )
        drawing = _bound(controls_chart, part)
        figures.append(write(drawing, f"controls-{place + 1}" if place else "controls", caption))
    return figures


def _source_figures(scores: Sequence[Score], write: FigureWriter) -> list[str]:
    figures = []
    for place, whole in enumerate(unique(s.graph.split("/")[0] for s in scores if is_single(s.graph))):
        family = [score for score in scores if score.graph == whole or _is_source_of(score.graph, whole)]
        models = {score.model for score in family if is_part(score.graph)}
        part = [
            replace(score, graph=score.graph.partition("/")[2] or _WHOLE) for score in family if score.model in models
        ]
        caption = f"{whole}: each source alone, on the same genes, beside all of them together (means over seeds)."
        drawing = _bound(sources_chart, part)
        figures.append(write(drawing, f"sources-{place + 1}" if place else "sources", caption))
    return figures


def _is_source_of(graph: str, whole: str) -> bool:
    return is_single(graph) and graph.startswith(f"{whole}/")


def _bound(chart: Callable[..., Figure], scores: Sequence[Score]) -> Callable[[float], Figure]:
    return lambda width: chart(scores, width=width, label=_SCORE)
