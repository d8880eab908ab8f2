"""What the real graph adds within strata of the held-out perturbations."""

import numpy as np
import pandas as pd

from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.folder import BenchFolder
from gnnvcell.bench.strata import (
    COMPLEX,
    EFFECT,
    SUPPORT,
    Stratum,
    by_measured_neighbours,
    by_partners,
    by_quarters,
    effect_sizes,
)
from gnnvcell.bench.units import unpack
from gnnvcell.report.figures import FigureWriter
from gnnvcell.report.html import DataTable, folded, paragraphs, section, tables_block
from gnnvcell.report.interval_chart import Interval, interval_chart
from gnnvcell.report.neighbourhoods import Near
from gnnvcell.report.scores import panel_title, unique
from gnnvcell.report.statistics_tables import Row, interval_text, main_control, number_text, p_text, rows_of

_CAPTIONS = {
    SUPPORT: "By how many measured perturbations the graph has next to them.",
    EFFECT: "By quarters of how much they do: of differential expression the share of their measured genes that "
    "changed, of directions the number of genes that changed. These are labels that no model saw.",
    COMPLEX: "By whether a training perturbation is a partner of the target in a protein complex (Gene Ontology, of at "
    "most 100 genes).",
}
_STATED = "By quarters of the support that the first model states; with the graph, by numbers of measured neighbours."
_HOW = (
    "Genes are scored within a stratum, among the perturbations in it: strata compare with each other, and not with "
    "the scores above. Strata with fewer than 20 perturbations, or 20 genes with both labels among them, are left out."
)


def strata_of(bench: BenchFolder, near: Near) -> dict[tuple[str, str], list[Stratum]]:
    """Strata of the held-out perturbations of every line and task.

    Args:
        bench: a finished benchmark.
        near: neighbourhoods in its graphs; the first whole graph's count. Without any there are no strata by complexes,
            and graph support is that which the first model states.
    """
    found = {}
    for (line, task), units in bench.units.items():
        real = [where for where in bench.runs_of(line, task) if where[2] == "real" and not is_part(where[1])]
        if not real:
            continue
        strata = by_quarters(EFFECT, effect_sizes(units, task))
        known = next((near[graph, line, task] for _, graph, _ in real if (graph, line, task) in near), None)
        if known is None:
            run = bench.runs_of(line, task)[real[0]][0]
            support = unpack(run, "per_perturbation", "support", len(units.perturbations))
            found[line, task] = [*by_quarters(SUPPORT, support), *strata]
            continue
        places = [known[name] for name in units.perturbations]
        strata = [*by_measured_neighbours(np.array([one.measured for one in places])), *strata]
        if all(one.partner is not None for one in places):
            strata += by_partners(np.array([bool(one.partner) for one in places]))
        found[line, task] = strata
    return found


def strata_section(statistics: pd.DataFrame, write: FigureWriter) -> list[str]:
    """Real minus control in every stratum, with intervals; nothing where no stratum was scored.

    Args:
        statistics: what ``benchmark_statistics`` returns.
        write: of figures.
    """
    control = main_control(statistics)
    scores, differences = _rows(statistics, "score_within", ""), _rows(statistics, "control_within", control)
    if not scores:
        return []
    drawn, signed = (differences, True) if differences else (scores, False)
    label = f"AUROC, real − {control}" if signed else "AUROC within a gene"
    figures = []
    for along in unique(row["along"] for row in drawn):
        rows = [row for row in drawn if row["along"] == along]
        several = len({row["graph"] for row in rows}) > 1
        intervals = [
            Interval(
                panel_title(row["line"], row["task"]),
                row["stratum"],
                f"{row['model']}, {row['graph']}" if several else row["model"],
                *(row[name] for name in ("value", "low", "high")),
            )
            for row in rows
        ]
        null = 0.0 if signed else 0.5
        figures.append(
            write(
                lambda width, i=intervals, null=null: interval_chart(i, width=width, label=label, null=null),
                f"strata-{along.replace(' ', '-')}",
                f"{_caption(along, rows)} 95% intervals; dashed: no difference. Numbers: statistics.csv, kinds "
                "score_within and control_within.",
            )
        )
    numbers = folded("The same in numbers", tables_block(strata_tables(statistics)))
    return [section("Within strata of perturbations", "\n".join([paragraphs([_HOW]), *figures, numbers]))]


def _caption(along: str, rows: list[Row]) -> str:
    counted = {one.name for one in by_measured_neighbours(np.zeros(0))}
    return _CAPTIONS[along] if along != SUPPORT or rows[0]["stratum"] in counted else _STATED


def strata_tables(statistics: pd.DataFrame) -> list[DataTable]:
    """Per kind of stratum, line and task: each model's score in each stratum, and what the real graph adds there.

    Args:
        statistics: what ``benchmark_statistics`` returns.
    """
    control = main_control(statistics)
    scores, differences = _rows(statistics, "score_within", ""), _rows(statistics, "control_within", control)
    found = {_place(row): row for row in differences}
    header = ["stratum", "model", "perturbations", "genes", "score", "95% interval"]
    header += [f"real − {control}", "95% interval", "p (Holm)"] if differences else []
    several = len({row["graph"] for row in scores}) > 1
    tables = []
    for along, line, task in unique((row["along"], row["line"], row["task"]) for row in scores):
        rows = []
        for row in scores:
            if (row["along"], row["line"], row["task"]) != (along, line, task):
                continue
            model = f"{row['model']}, {row['graph']}" if several else row["model"]
            cells = [row["stratum"], model, f"{row['perturbations']:,}", f"{row['genes']:,}"]
            cells += [number_text(row["value"], signed=False), interval_text(row, signed=False)]
            other = found.get(_place(row))
            if other is not None:
                cells += [number_text(other["value"], signed=True), interval_text(other, signed=True)]
                cells.append(p_text(other["p_holm"]))
            elif differences:
                cells += ["–", "–", "–"]
            rows.append(cells)
        tables.append(DataTable(f"{panel_title(line, task)}, by {along}", header, rows))
    return tables


def _rows(statistics: pd.DataFrame, kind: str, against: str) -> list[Row]:
    """Comparisons of a kind on whole graphs."""
    return [row for row in rows_of(statistics, kind, against=against) if not is_part(row["graph"])]


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("line", "task", "model", "graph", "along", "stratum"))
