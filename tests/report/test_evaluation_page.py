import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnvcell.report.charts import NARROW, WIDE
from gnnvcell.report.effect_charts import StrataPanel, all_effects_chart, strata_chart, strongest_effects_chart
from gnnvcell.report.evaluation_page import findings, write_evaluation_page
from gnnvcell.report.evaluation_tables import as_json, score_text, write_tables
from gnnvcell.tasks.cell_scores import CellScores, ScoredEffects, strata_of
from gnnvcell.tasks.official.scores import OfficialScores

METRICS = ("centred_pearson_delta", "pearson_delta", "mae", "mse", "discrimination_score_cosine", "overlap_at_N")


def cell_scores(*, rows: int = 12, genes: int = 30, support: bool = True) -> CellScores:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(rows, genes)) * np.linspace(0.2, 2, rows)[:, None]
    predicted = true + 0.3 * rng.normal(size=true.shape)
    names = np.array([f"P{i}" for i in range(rows)])
    scores = pd.DataFrame({name: rng.random(rows) for name in METRICS})
    size = np.linalg.norm(true, axis=1)
    table = pd.DataFrame({"perturbation": names, "context": "", "cells": 50, "predicted_cells": 40})
    table["effect_size"] = size
    along = np.arange(rows, dtype=float)
    if support:
        table["support"] = along
    return CellScores(
        metrics={**dict.fromkeys(METRICS, 0.5), "vcc2025": float("nan")},
        per_perturbation=pd.concat([table, scores], axis=1).set_index(pd.Index(names, name="name")),
        floors={"no_change": {"mae": 0.7}, "mean_effect": {"mae": 0.6, "discrimination_score_cosine": 0.5}},
        ceilings={"centred_pearson_delta": 0.9},
        by_effect_size=strata_of(size, [float(np.median(size))], scores, scores, scores),
        by_support=strata_of(along, [4.0], scores, scores, scores) if support else pd.DataFrame(),
        effects=ScoredEffects(predicted, true, true > -9, names, np.array([f"G{i}" for i in range(genes)]), true > 1),
        notes=["a <note>"],
    )


def official(folder: Path, scorer: str = "vcc2025", context: str = "") -> OfficialScores:
    table = pd.DataFrame({"prediction": [0.5, 0.1], "baseline": [0.4, np.nan]}, index=pd.Index(["pds", "mae"]))
    by_perturbation = pd.DataFrame({"pds": [0.5]}, index=pd.Index(["P0"], name="perturbation"))
    return OfficialScores(scorer, "cell-eval 0.8.2", context, table, by_perturbation, 0.25, folder, ["controls added"])


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names += [str(values["id"])] if values.get("id") else []
        self.links += [str(values[key]) for key in ("src", "href") if values.get(key)]


def test_the_page_holds_everything_and_needs_no_network(tmp_path: Path) -> None:
    ours = cell_scores()
    parts = [official(tmp_path / "vcc2025")]
    write_tables(tmp_path, ours, parts, provenance={"command": "x y"})
    page = write_evaluation_page(tmp_path, ours, parts, title="T", extras={"command": "x y"})
    text = page.read_text()
    parsed = Page()
    parsed.feed(text)
    assert len(parsed.names) == len(set(parsed.names))
    assert not [link for link in parsed.links if not link.startswith(("#", "data:"))]
    for wanted in ("a &lt;note&gt;", "cell-eval 0.8.2: average score 0.250", "controls added", "x y", "P11"):
        assert wanted in text
    for name in ("strongest", "all-effects", "by-effect-size", "by-support"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 5000
        ET.parse(tmp_path / "plots" / f"{name}.svg")
    assert len(re.findall("<svg", text)) == 8
    table = pd.read_csv(tmp_path / "ours" / "scores.csv", index_col=0)
    assert table.loc["mae", "mean_effect"] == 0.6
    assert len(pd.read_csv(tmp_path / "ours" / "per_perturbation.csv")) == 12
    assert (tmp_path / "vcc2025" / "scores.csv").exists()


def test_json_has_null_for_what_is_not_defined(tmp_path: Path) -> None:
    found = json.loads(json.dumps(as_json(cell_scores(), [official(tmp_path)]), allow_nan=False))
    assert found["ours"]["metrics"]["vcc2025"] is None
    assert found["ours"]["by_effect_size"][0]["perturbations"] == 6
    assert found["vcc2025"][0]["metrics"]["mae"]["baseline"] is None
    assert found["vcc2025"][0]["average_score"] == 0.25


def test_text_shows_headline_scores_and_notes(tmp_path: Path) -> None:
    text = score_text(cell_scores(), [official(tmp_path, context="k562"), official(tmp_path, "vcc2026", "rpe1")])
    assert "note: a <note>" in text
    assert "(cell-eval 0.8.2, k562)" in text
    assert "average score 0.2500" in text
    assert "-" in text.splitlines()[-1] or "controls added" in text.splitlines()[-1]


def test_a_page_without_ours_or_support(tmp_path: Path) -> None:
    alone = write_evaluation_page(tmp_path / "a", None, [official(tmp_path / "a" / "vcc2025")], title="T").read_text()
    assert "<svg" not in alone
    bare = write_evaluation_page(tmp_path / "b", cell_scores(support=False), title="T").read_text()
    assert "Where the graph knows" not in bare
    paths = write_tables(tmp_path / "b", cell_scores(support=False), [], provenance={})
    assert [path.name for path in paths] == ["scores.csv", "per_perturbation.csv", "by_effect_size.csv", "scores.json"]


def test_findings_stand_between_floor_and_ceiling(tmp_path: Path) -> None:
    first, second, third = findings(cell_scores(), [official(tmp_path, context="k562")])
    assert first == "Centred Pearson delta 0.500; 0.900 for one half of the cells against the other."
    assert second == "PDS, cosine 0.500; 0.500 for the mean effect."
    assert third == "Virtual Cell Challenge 2025 in k562: average score 0.250."


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(("rows", "genes"), [(1, 3), (12, 30), (7, 5000)])
def test_charts_draw_at_any_size(width: float, rows: int, genes: int) -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=(rows, genes))
    scored = np.ones(true.shape, dtype=bool)
    names, labels = [f"P{i}" for i in range(rows)], [f"G{i}" for i in range(genes)]
    figure = strongest_effects_chart(true * 0, true, scored, names, labels, scores=[np.nan] * rows, width=width)
    assert len(figure.axes) >= min(rows, 4)
    all_effects_chart(true * 0, true, scored, width=width)


@pytest.mark.parametrize("along", [np.zeros(4), np.array([0.0, 1.0, 30.0, 200.0]), np.array([1.1, 1.2, 2.0, 5.0])])
def test_strata_are_drawn_with_zeros_and_without(along: np.ndarray) -> None:
    panel = StrataPanel("r", np.array([0.1, np.nan, 0.3, 0.4]), [0.2, 0.4], [np.nan, 0.1], [0.5, 0.6])
    edges = [along.min(), float(np.median(along)), along.max()]
    figure = strata_chart(along, [panel, panel], edges=edges, label="support", width=WIDE)
    figure.draw_without_rendering()
    assert len(figure.axes) == 2
