"""docs/metrics.md explains every score that is printed, and its numbers are what its code prints."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnvcell.bench.cell_folder import CellFolder
from gnnvcell.bench.cell_statistics import cell_statistics
from gnnvcell.bench.cells import summarise_cells
from gnnvcell.bench.contrasts import ArmScores, TableScores
from gnnvcell.bench.published import HONEST
from gnnvcell.bench.statistics import KINDS, benchmark_statistics
from gnnvcell.data import EffectTable
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.metrics import METRICS, published_summary
from gnnvcell.metrics.challenge import VCC2025
from gnnvcell.metrics.published import PUBLISHED, CellPairs, published_scores
from gnnvcell.models import Prediction
from gnnvcell.report.uncertainty_section import _NAMES
from gnnvcell.tasks import UnseenEffect, UnseenPerturbation
from gnnvcell.tasks.cell_scores import EFFECT_SIZE, HEADLINE, MEAN_EFFECT, NO_CHANGE, SUPPORT
from gnnvcell.tasks.held_out_cells import NULL, SCORES, STRONG, WEAK
from gnnvcell.tasks.uncertainty import StatedUncertainty, score_uncertainty

NAMES, GENES = np.array([f"P{i}" for i in range(6)]), np.array([f"G{i}" for i in range(8)])


@pytest.fixture(scope="module")
def page(documents: dict[str, Any]) -> Any:
    return documents["docs/metrics.md"]


@pytest.fixture(scope="module")
def explained(page: Any) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", page.text))


def table_of(kind: Any) -> EffectTable:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 8)) if kind == "delta" else rng.integers(0, 2, size=(6, 8))
    split = ["train", "train", "train", "test", "test", "test"]
    return EffectTable(values, np.ones((6, 8), bool), NAMES, GENES, kind=kind, split=split)


def prediction() -> Prediction:
    values = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
    return Prediction(values, NAMES, GENES, np.ones(6, np.float32))


def test_scores_of_evaluate(explained: set[str]) -> None:
    assert {*METRICS, *HEADLINE, *VCC2025, NO_CHANGE, MEAN_EFFECT, EFFECT_SIZE, SUPPORT, "ceiling"} <= explained


def test_scores_of_tasks(explained: set[str]) -> None:
    deltas = UnseenEffect(table_of("delta")).evaluate(prediction())
    labels = UnseenPerturbation(table_of("de")).evaluate(prediction())

    assert {*deltas.metrics, *deltas.per_perturbation.columns, *labels.metrics} <= explained
    assert "influence" in labels.per_perturbation


def test_scores_of_stated_uncertainty(page: Any, explained: set[str]) -> None:
    values = prediction().values
    stated = StatedUncertainty(np.ones_like(values), values - 1, values + 1, 0.9, np.arange(6.0))
    found = score_uncertainty(values, values * 0.5, np.ones(values.shape, bool), stated, NAMES)

    assert {*found.metrics} <= explained
    assert {*_NAMES} <= {*found.metrics}


def test_scores_of_bench_cells(explained: set[str]) -> None:
    cells = np.random.default_rng(0).random((3, 4, 60))
    scores = published_scores(CellPairs(cells[0], cells[1], cells[2], np.array(["A", "A", "B", "B"])))

    assert {*SCORES, *PUBLISHED, *HONEST, *published_summary(scores), STRONG, WEAK, NULL, "all"} <= explained


def test_columns_of_statistics(explained: set[str]) -> None:
    rng = np.random.default_rng(0)
    arms = {
        ("knn", "g", control): ArmScores(rng.random((2, 5)), rng.normal(size=(2, 4))) for control in ("real", "rewired")
    }
    table = benchmark_statistics([TableScores("line", "de", arms)], draws=10)

    assert {*table.columns} - {"line", "task", "model", "graph", "against"} <= explained
    assert {*KINDS} <= explained


def test_columns_of_statistics_of_cells(explained: set[str]) -> None:
    rng = np.random.default_rng(0)
    where = [("knn", "g", control, split) for control in ("real", "rewired") for split in (0, 1)]
    rows = [
        {"model": model, "graph": graph, "control": control, "split": split, "perturbation": name, "seconds": 1.0}
        | dict(zip(SCORES, rng.random(len(SCORES)), strict=True))
        for model, graph, control, split in where
        for name in NAMES
    ]
    scores, strata = pd.DataFrame(rows), {"all": NAMES.tolist()}
    folder = CellFolder(Path(), scores, summarise_cells(scores, {}), pd.DataFrame(), strata, {})
    table = cell_statistics(folder, draws=10)

    assert {*table.columns} - {"score", "model", "graph", "against"} <= explained
    assert {*table["score"]} <= explained


def test_controls(documents: dict[str, Any]) -> None:
    text = documents["docs/own_graph.md"].text

    assert all(f"`{control}`" in text for control in CONTROLS)


def test_numbers_are_what_the_code_prints(page: Any) -> None:
    session: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for language, content in page.blocks:
            if language == "python":
                exec(compile(content, "metrics.md", "exec"), session)
    shown = "".join(content for language, content in page.blocks if language == "text")

    assert _words(shown) == _words(printed.getvalue())
    np.testing.assert_allclose(_numbers(shown), _numbers(printed.getvalue()), atol=0.021)
    # What the page says of them.
    table = session["table"]
    assert table.loc["no change", "r2_all"] > 0.9
    assert table.loc["mean effect", "r"] > 0.7
    assert table.loc["mean effect", "PDS cosine"] > 0.6
    assert table.loc["knock-down alone", "PDS, no names"] > 0.99
    timid, times_ten = table.loc["a timid model"], table.loc["the same, times 10"]
    assert times_ten["PDS L1"] > timid["PDS L1"] + 0.15
    assert times_ten["PDS cosine"] == pytest.approx(timid["PDS cosine"])
    assert times_ten["MSE"] > 5 * timid["MSE"]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+|NaN", text)]


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]\w*", text)
