"""Stated uncertainty in an evaluation: from a file of effects to scores, tables, the figure and the page."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.data.cells import Cells
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.errors import ConfigError, DataError, FileFormatError
from gnnvcell.report.charts import NARROW, WIDE
from gnnvcell.report.evaluation import EvaluationConfig, evaluate_files
from gnnvcell.report.stated_uncertainty import score_effects_file
from gnnvcell.report.uncertainty_charts import uncertainty_chart
from gnnvcell.report.uncertainty_section import uncertainty_text
from gnnvcell.tasks.uncertainty import StatedUncertainty, UncertaintyScores, score_uncertainty

from .test_evaluation_page import cell_scores

NAMES = [f"G{i}" for i in range(6)]
GENES = [f"G{i}" for i in range(40)]


def effects_file(path: Path, names: list[str], genes: list[str], values: np.ndarray, spread: np.ndarray) -> Path:
    """As ``gnnvcell predict --output effects`` writes it."""
    obs = pd.DataFrame({"perturbation": names, "context": "a", "support": np.arange(len(names), dtype=float)})
    adata = ad.AnnData(
        np.float32(values),
        obs=obs.set_index(pd.Index(names)),
        var=pd.DataFrame(index=pd.Index(genes)),
        layers={"spread": spread, "lower": values - 1.645 * spread, "upper": values + 1.645 * spread},
        uns={"effect_kind": "delta", "intervals": {"level": 0.9, "over": "gene", "calibrated_on": 9}},
    )
    adata.write_h5ad(path)
    return path


def drawn(*, spread: bool = True, support: bool = True, intervals: bool = True) -> UncertaintyScores:
    rng = np.random.default_rng(0)
    sizes = rng.gamma(2.0, 0.1, (40, 1)) * rng.uniform(0.5, 1.5, (1, 60))
    true = sizes * rng.normal(size=sizes.shape)
    stated = StatedUncertainty(
        sizes if spread else None,
        *((-1.645 * sizes, 1.645 * sizes, 0.9) if intervals else (None, None, None)),
        support=-sizes.mean(axis=1) + 0.05 * rng.normal(size=40) if support else None,
    )
    return score_uncertainty(np.zeros_like(true), true, true < 9, stated, np.array([f"P{i}" for i in range(40)]))


@pytest.fixture
def of_cells(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Real cells, a prediction that is right but for chance, and effects with spreads of some size."""
    rng = np.random.default_rng(0)
    shift = rng.normal(0, 0.5, (len(NAMES), len(GENES)))
    labels = np.repeat(["non-targeting", *NAMES], [80, *[20] * len(NAMES)])
    row = np.array([-1 if label == "non-targeting" else NAMES.index(label) for label in labels])
    moved = np.where(row[:, None] >= 0, shift[row], 0.0)
    paths = []
    for name in ("real", "pred"):
        values = np.float32(np.maximum(3 + moved + rng.normal(0, 0.3, moved.shape), 0))
        obs = pd.DataFrame({"target_gene": labels}, index=pd.Index([f"c{i}" for i in range(len(labels))]))
        adata = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index(GENES)))
        adata.uns["log1p"] = {}
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        paths.append(tmp_path / f"{name}.h5ad")
    truth = cell_effects(Cells.open(paths[0]))
    rows = [truth.perturbations.tolist().index(name) for name in NAMES]
    spread = rng.uniform(0.1, 0.6, (len(NAMES), len(GENES)))
    values = truth.values[rows] + spread * rng.normal(size=spread.shape)
    return paths[1], paths[0], effects_file(tmp_path / "effects.h5ad", NAMES, GENES, values, spread)


def test_a_file_of_effects_is_scored_by_the_true_ones(tmp_path: Path) -> None:
    scores = cell_scores()
    true, names, genes = scores.effects.true, scores.effects.names.tolist(), scores.effects.genes.tolist()
    spread = np.full(true.shape, 0.5)
    values = true + 0.5 * np.random.default_rng(0).normal(size=true.shape)
    values[3] = np.nan  # abstained from
    turned = [*reversed(range(len(names)))]
    path = effects_file(
        tmp_path / "e.h5ad", [names[i] for i in turned], genes[5:][::-1], values[turned][:, 5:][:, ::-1], spread[:, 5:]
    )
    found = score_effects_file(path, scores)
    assert found.per_perturbation.index.tolist() == [name for i, name in enumerate(names) if i != 3]
    error = np.sqrt(((values - true)[0, 5:] ** 2).mean())
    assert found.per_perturbation["error"].iloc[0] == pytest.approx(error, rel=1e-4)
    assert found.per_perturbation["support"].iloc[0] == len(names) - 1
    assert found.metrics["coverage"] == pytest.approx(0.9, abs=0.05)
    assert found.level == 0.9


def test_what_does_not_fit(tmp_path: Path) -> None:
    scores = cell_scores()
    names, genes = scores.effects.names.tolist(), scores.effects.genes.tolist()
    one = np.ones((len(names), len(genes)))
    with pytest.raises(DataError, match=r"lack 'P0'"):
        score_effects_file(effects_file(tmp_path / "a.h5ad", names[1:], genes, one[1:], one[1:]), scores)
    other = [f"X{i}" for i in range(len(genes))]
    with pytest.raises(DataError, match="none of the scored genes"):
        score_effects_file(effects_file(tmp_path / "b.h5ad", names, other, one, one), scores)
    ad.AnnData(np.ones((2, 2), np.float32)).write_h5ad(tmp_path / "c.h5ad")
    with pytest.raises(FileFormatError, match=r"holds no predicted effects(.|\n)*--output effects"):
        score_effects_file(tmp_path / "c.h5ad", scores)


def test_evaluate_shows_it(of_cells: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pred, real, effects = map(str, of_cells)
    out = of_cells[0].parent / "out"
    assert main(["evaluate", pred, real, "--out", str(out), "--splits", "2", "--uncertainty", effects]) == 0
    printed = capsys.readouterr().out
    assert "true effects inside stated intervals, which should be 0.9: 0.9" in printed
    page = (out / "evaluate.html").read_text()
    assert "How far to trust a prediction" in page
    assert (out / "plots" / "uncertainty.png").stat().st_size > 5000
    found = json.loads((out / "scores.json").read_text())["scores"]["uncertainty"]
    assert found["level"] == 0.9
    assert found["metrics"]["coverage"] == pytest.approx(0.9, abs=0.06)
    assert found["metrics"]["calibration_error"] < 0.3
    tables = {path.name for path in (out / "uncertainty").iterdir()}
    assert tables == {
        *("per_perturbation.csv", "by_spread.csv", "nominal.csv"),
        *("error_by_perturbations.csv", "error_by_support.csv"),
    }


def test_without_our_scorer_nothing_is_scored(of_cells: tuple[Path, Path, Path]) -> None:
    config = EvaluationConfig(scorers=("vcc2025",), uncertainty=of_cells[2])
    with pytest.raises(ConfigError, match="--scorer ours"):
        evaluate_files(*of_cells[:2], of_cells[0].parent / "out", config=config)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_figure_has_a_panel_for_each_thing_that_is_stated(width: float) -> None:
    for scores, panels in (
        (drawn(), 3),
        (drawn(support=False), 3),
        (drawn(spread=False), 1),
        (drawn(intervals=False), 3),
    ):
        figure = uncertainty_chart(scores, width=width)
        assert len(figure.axes) == panels
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles[-1] == "Error against uncertainty"


def test_text_of_what_is_known() -> None:
    assert "inside" in uncertainty_text(drawn())
    text = uncertainty_text(drawn(spread=False, intervals=False))
    assert text.startswith("gain of leaving out perturbations with little support")
