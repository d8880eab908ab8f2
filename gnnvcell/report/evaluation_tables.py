"""Scores of an evaluation as text, CSV, JSON and tables of a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.files import write_text
from gnnvcell.report.html import Cell, DataTable
from gnnvcell.tasks.cell_scores import EFFECT_SIZE, HEADLINE, SUPPORT, CellScores
from gnnvcell.tasks.official.scores import OfficialScores
from gnnvcell.tasks.uncertainty import PAIRS, UncertaintyScores

OURS = "ours"
TITLES = {
    OURS: "gnnvcell",
    "vcc2025": "Virtual Cell Challenge 2025",
    "vcc2026": "Virtual Cell Challenge 2026",
}
METRIC_NAMES = {
    "centred_pearson_delta": "centred Pearson delta",
    "pearson_delta": "Pearson delta",
    "mae": "MAE",
    "mse": "MSE",
    "discrimination_score_cosine": "PDS, cosine",
    "amplitude_ratio": "amplitude (median, 1 is right)",
    "normalised_retrieval": "normalised retrieval",
    "overlap_at_N": "DE overlap at N",
    "vcc2025": "VCC 2025 composite",
}


def score_text(ours: CellScores | None, official: Sequence[OfficialScores] = ()) -> str:
    """All scores as tables for a terminal."""
    parts = []
    if ours is not None:
        parts.append("\n".join([_text(ours.headline), *(f"note: {note}" for note in ours.notes)]))
    for part in official:
        where = f", {part.context}" if part.context else ""
        lines = [f"{TITLES[part.scorer]} ({part.version}{where})", _text(part.table)]
        if np.isfinite(part.overall):
            lines.append(f"average score {part.overall:.4f}")
        parts.append("\n".join([*lines, *(f"note: {note}" for note in part.notes)]))
    return "\n\n".join(parts)


def _text(table: pd.DataFrame) -> str:
    return table.map(_number).to_string()


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}"


def write_tables(
    out: Path,
    ours: CellScores | None,
    official: Sequence[OfficialScores],
    *,
    provenance: Mapping[str, Any],
    uncertainty: UncertaintyScores | None = None,
) -> list[Path]:
    """Write ``scores.json``, and CSV files of every scorer in its folder.

    Args:
        out: folder.
        ours: scores of ``PredictedCells``: ours/scores.csv, per_perturbation.csv, by_effect_size.csv, by_support.csv.
        official: scores of official scorers: scores.csv and per_perturbation.csv in their folders in ``out``.
        provenance: plain values for the JSON file.
        uncertainty: of the predicted effects: uncertainty/per_perturbation.csv, by_spread.csv, nominal.csv, and for
            each curve its share kept and errors.
    """
    tables: dict[str, pd.DataFrame] = {}
    if ours is not None:
        tables |= {f"{OURS}/scores": ours.table, f"{OURS}/per_perturbation": ours.per_perturbation}
        strata = {"by_effect_size": ours.by_effect_size, "by_support": ours.by_support}
        tables |= {f"{OURS}/{name}": table.set_index("from") for name, table in strata.items() if len(table)}
    for part in official:
        folder = part.folder.relative_to(out)
        tables |= {f"{folder}/scores": part.table, f"{folder}/per_perturbation": part.per_perturbation}
    if uncertainty is not None:
        tables |= {f"uncertainty/{name}": table for name, table in _uncertainty_tables(uncertainty).items()}
    everything = {"scores": as_json(ours, official, uncertainty), "provenance": dict(provenance)}
    paths = [write_text(out / f"{name}.csv", table.to_csv()) for name, table in tables.items()]
    return [*paths, write_text(out / "scores.json", json.dumps(everything, indent=1) + "\n")]


def _uncertainty_tables(scores: UncertaintyScores) -> dict[str, pd.DataFrame]:
    tables = {"per_perturbation": scores.per_perturbation}
    if len(scores.by_spread):
        tables |= {"by_spread": scores.by_spread.set_index("spread"), "nominal": scores.nominal.set_index("level")}
    for name, curve in scores.curves.items():
        if name != PAIRS:  # of as many lines as pairs
            table = pd.DataFrame({"kept": curve.kept, "error": curve.error, "best": curve.best})
            tables[f"error_by_{name}"] = table.set_index("kept")
    return tables


def as_json(
    ours: CellScores | None, official: Sequence[OfficialScores], uncertainty: UncertaintyScores | None = None
) -> dict[str, Any]:
    """All scores as plain values; what is not defined is null."""
    found: dict[str, Any] = {}
    if ours is not None:
        found[OURS] = {
            "metrics": _plain(ours.metrics),
            "floors": {name: _plain(floor) for name, floor in ours.floors.items()},
            "ceilings": _plain(ours.ceilings),
            "by_effect_size": _records(ours.by_effect_size),
            "by_support": _records(ours.by_support),
            "notes": ours.notes,
        }
    if uncertainty is not None:
        found["uncertainty"] = {"level": uncertainty.level, "metrics": _plain(uncertainty.metrics)}
    for part in official:
        found.setdefault(part.scorer, []).append(
            {
                "version": part.version,
                "cell_type": part.context,
                "metrics": json.loads(str(part.table.to_json(orient="index"))),
                "average_score": _plain({"": part.overall})[""],
                "notes": part.notes,
            }
        )
    return found


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(str(table.to_json(orient="records")))


def our_tables(scores: CellScores) -> list[DataTable]:
    """The table of our scores, floors and ceiling, for a page."""
    names = {"prediction": "prediction", "no_change": "no change", "mean_effect": "mean effect", "ceiling": "ceiling"}
    table = scores.headline
    rows: list[list[str | Cell]] = [
        [METRIC_NAMES.get(str(metric), str(metric)), *(Cell(_shown(value), best=i == 0) for i, value in enumerate(row))]
        for metric, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return [DataTable("", ("score", *(names[column] for column in table.columns)), rows)]


def official_tables(parts: Sequence[OfficialScores]) -> list[DataTable]:
    """The tables of one official scorer, one per cell type."""
    tables = []
    for part in parts:
        rows = [
            [str(metric), *(_shown(value) for value in row)]
            for metric, row in zip(part.table.index, part.table.to_numpy(), strict=True)
        ]
        caption = part.version + (f", {part.context}" if len(parts) > 1 else "")
        if np.isfinite(part.overall):
            caption += f": average score {part.overall:.3f}"
        tables.append(DataTable(caption, ("metric", *map(str, part.table.columns)), rows))
    return tables


def perturbation_table(scores: CellScores) -> DataTable:
    """Every perturbation with its scores, the strongest first."""
    table = scores.per_perturbation.sort_values("effect_size", ascending=False)
    wanted = (*_COUNTED, EFFECT_SIZE, SUPPORT, *HEADLINE)
    columns = [column for column in wanted if column in table]
    texts = {name: [f"{v:,}" if name in _COUNTED else _shown(float(v)) for v in table[name]] for name in columns}
    rows = [[str(name), *row] for name, *row in zip(table.index, *texts.values(), strict=True)]
    header = ("perturbation", *(_SHORT.get(column, METRIC_NAMES.get(column, column)) for column in columns))
    return DataTable("", header, rows)


_COUNTED = ("cells", "predicted_cells")
_SHORT = {
    "amplitude_ratio": "amplitude",
    "predicted_cells": "predicted cells",
    "effect_size": "effect size",
    "centred_pearson_delta": "centred r",
    "pearson_delta": "r",
    "discrimination_score_cosine": "PDS",
    "normalised_retrieval": "retrieval",
    "overlap_at_N": "DE overlap",
}


def _shown(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    text = f"{value:.3f}" if abs(value) >= 0.05 or value == 0 else f"{value:.3g}"
    return text.replace("-", "−")
