"""One self-contained page of an evaluation: scores between floor and ceiling, effects, strata, official scores."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnnvcell.files import write_text
from gnnvcell.report.effect_charts import StrataPanel, all_effects_chart, strata_chart, strongest_effects_chart
from gnnvcell.report.evaluation_tables import (
    METRIC_NAMES,
    TITLES,
    official_tables,
    our_tables,
    perturbation_table,
)
from gnnvcell.report.figures import FigureWriter, figure_writer
from gnnvcell.report.html import DataTable, document, folded, paragraphs, section, tables_block
from gnnvcell.report.provenance import provenance_rows
from gnnvcell.report.uncertainty_section import uncertainty_section
from gnnvcell.tasks.cell_scores import CellScores
from gnnvcell.tasks.official.scores import OfficialScores
from gnnvcell.tasks.uncertainty import UncertaintyScores

PAGE = "evaluate.html"
_STRATA_METRICS = (
    "centred_pearson_delta",
    "pearson_delta",
    "discrimination_score_cosine",
    "mse",
    "overlap_at_N",
    "normalised_retrieval",
)


def write_evaluation_page(
    out: str | Path,
    ours: CellScores | None,
    official: Sequence[OfficialScores] = (),
    *,
    title: str,
    extras: Mapping[str, Any] | None = None,
    uncertainty: UncertaintyScores | None = None,
) -> Path:
    """Write figures and the page ``evaluate.html``.

    Args:
        out: folder; made where it is missing. Figures (PNG and SVG) go into ``plots``.
        ours: scores of ``PredictedCells``.
        official: scores of official scorers, in folders of ``out``.
        title: of the page.
        extras: provenance: command, files, digests, settings.
        uncertainty: scores of what the prediction says of its error.

    Returns:
        The path of the page.
    """
    out, parts = Path(out), []
    if ours is not None:
        parts += _our_sections(ours, uncertainty, figure_writer(out / "plots"))
    for scorer, group in groupby(official, key=lambda part: part.scorer):
        tables = list(group)
        notes = dict.fromkeys(note for part in tables for note in part.notes)
        parts.append(section(TITLES[scorer], tables_block(official_tables(tables)) + paragraphs(list(notes))))
    rows = provenance_rows(extras or {})
    parts.append(section("Where these numbers come from", tables_block([DataTable("", ("", ""), rows)])))
    return write_text(out / PAGE, document(title, "", findings(ours, official), parts))


def findings(ours: CellScores | None, official: Sequence[OfficialScores]) -> list[str]:
    """What came out, one sentence for each score that leads."""
    found = []
    if ours is not None:
        for metric in ("centred_pearson_delta", "discrimination_score_cosine"):
            found += _finding(ours, metric)
    for part in official:
        if np.isfinite(part.overall):
            where = f" in {part.context}" if part.context else ""
            found.append(f"{TITLES[part.scorer]}{where}: average score {part.overall:.3f}.")
    return found


def _finding(scores: CellScores, metric: str) -> list[str]:
    value = scores.metrics[metric]
    if not np.isfinite(value):
        return []
    beside = [("the mean effect", scores.floors.get("mean_effect", {}).get(metric, np.nan))]
    beside.append(("one half of the cells against the other", scores.ceilings.get(metric, np.nan)))
    texts = [f"{number:.3f} for {name}" for name, number in beside if np.isfinite(number)]
    name = METRIC_NAMES[metric]
    return [f"{name[0].upper()}{name[1:]} {value:.3f}" + (f"; {', '.join(texts)}." if texts else ".")]


def _our_sections(scores: CellScores, uncertainty: UncertaintyScores | None, write: FigureWriter) -> list[str]:
    text = (
        "Floors need no model: no change, and the mean effect of perturbations. The ceiling is what one half of the "
        "real cells scores against the other half, corrected to whole samples: Spearman-Brown for correlations and "
        "ranks, the number of cells for errors."
    )
    table = tables_block(our_tables(scores)) + paragraphs([text, *scores.notes])
    figures = "\n".join(_effect_figures(scores, write))
    parts = [section("Scores", table), section("Predicted against true changes", figures)]
    by_size = _strata(scores, scores.by_effect_size, "effect_size", "effect size (length of the true delta)")
    caption = (
        "Each dot is a perturbation; lines are means within quarters of effect size. Where the ceiling is low, the "
        "cells do not tell what the effect was, and no model could."
    )
    parts.append(section("Small effects and large ones", write(by_size, "by-effect-size", caption)))
    if len(scores.by_support):
        by_support = _strata(scores, scores.by_support, "support", "graph support")
        caption = "The same along the measured evidence that the graph brings to a perturbation."
        parts.append(section("Where the graph knows much and where little", write(by_support, "by-support", caption)))
    if uncertainty is not None:
        parts.append(uncertainty_section(uncertainty, write))
    single = folded("Scores of single perturbations", tables_block([perturbation_table(scores)]))
    return [*parts, section("Every perturbation", single)]


def _effect_figures(scores: CellScores, write: FigureWriter) -> list[str]:
    effects = scores.effects
    correlation = np.asarray(scores.per_perturbation["pearson_delta"])
    parts = (effects.predicted, effects.true, effects.scored)

    def strongest(width: float) -> Figure:
        return strongest_effects_chart(
            *parts,
            effects.names,
            effects.genes,
            scores=correlation,
            significant=effects.significant,
            width=width,
        )

    caption = (
        "The perturbations with the largest true effects; each dot is a gene, the perturbed ones left out. On the "
        "dashed line the prediction is right; flatter clouds are too small in amplitude."
    )
    overall = "All genes under all perturbations; darker hexagons hold more of them."
    return [
        write(strongest, "strongest", caption),
        write(lambda width: all_effects_chart(*parts, width=width), "all-effects", overall),
    ]


def _strata(scores: CellScores, strata: pd.DataFrame, column: str, label: str) -> Callable[[float], Figure]:
    table = scores.per_perturbation
    panels = [
        StrataPanel(
            METRIC_NAMES[metric],
            table[metric].to_numpy(),
            *(strata[f"{metric}{part}"].tolist() for part in ("", "_floor", "_ceiling")),
        )
        for metric in _STRATA_METRICS
        if metric in table
    ]
    edges = [*strata["from"].tolist(), float(strata["to"].iloc[-1])]
    along = table[column].to_numpy(dtype=float)
    return lambda width: strata_chart(along, panels, edges=edges, label=label, width=width)
