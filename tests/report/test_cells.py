import importlib.util
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.report.cells import write_cell_report

_path = Path(__file__).parents[1] / "bench" / "test_cell_statistics.py"
_spec = importlib.util.spec_from_file_location("test_cell_statistics", _path)
assert _spec is not None
assert _spec.loader is not None
_cells = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cells)

TARGETS = """
[[target]]
model = "knn"
metric = "mse_delta"
stratum = "strong"
at_most = 0.0005
[[target]]
model = "knn"
metric = "centred_pearson_delta"
over_control = "rewired"
at_least = 0.0
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells")
    (path / "targets.toml").write_text(TARGETS)
    folder = _cells.make_cell_folder(path / "out")
    return write_cell_report(folder, draws=200, targets=path / "targets.toml", markdown=path / "cells.md")


def test_the_page_holds_scores_controls_and_every_perturbation(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "Scores by stratum", "Targets", "Real graph against random graphs", "Model against model", "Perturbations",
        "Scores as bio-JEPA publishes them", "Where these numbers come from",
    ]  # fmt: skip
    assert "<p>Missed, 1 of 2 targets: knn, mse_delta, strong: at most 0.0005, found 0.00105" in text
    assert (
        "strong: smallest error 1.05e-3 (knn on g), 3.15e-3 on rewired graphs; half of the cells reach 0.50e-3." in text
    )
    assert "<td class=best>1.05</td>" in text
    assert "<td>5.25</td><td>88%</td>" in text
    statistics = pd.read_csv(page.parent / "statistics.csv")
    assert set(statistics["kind"]) == {"score", "control", "model"}
    assert (page.parent / "plots" / "control-mse_delta.svg").exists()
    assert f"gnnvcell report {page.parent} --draws 200 --seed 0 --targets" in text
    drawn = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|<link|url\(|fetch\(", drawn)


def test_perturbations_by_name_with_their_strata(page: Path) -> None:
    found = re.search(r'<script type="application/json" id="lookup-data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    (table,) = json.loads(found[1])
    assert table["columns"] == [
        "perturbation", "stratum", "MSE of no change", "knn: MSE", "knn: centred r", "knn: MSE, real − rewired",
        "no_change: MSE", "no_change: centred r",
    ]  # fmt: skip
    assert table["rows"][1] == ["B", "strong", 8.0, 1.1, 0.71, -2.2, 8.0, -0.1]


def test_markdown(page: Path) -> None:
    text = (page.parent.parent / "cells.md").read_text()
    assert text.startswith("# Held-out perturbations of cells\n\nMissed, 1 of 2 targets: ")
    assert "\n- strong: smallest error 1.05e-3 (knn on g)" in text
    assert "| knn | **1.05** | " in text


def test_the_command(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "suite"
    _cells.make_cell_folder(suite / "cells" / "one")
    _cells.make_cell_folder(suite / "cells" / "two")
    assert main(["report", str(suite), "--draws", "20", "--title", "T", "--markdown", str(tmp_path / "b.md")]) == 0
    assert capsys.readouterr().out.count("page: ") == 2
    assert (tmp_path / "b-one.md").read_text().startswith("# T\n")
    assert "--markdown" in (suite / "cells" / "two" / "index.html").read_text()
    assert main(["report", str(page.parent), "--ceiling", "k562:de=.9"]) == 2
    assert "ceilings are for benchmarks on labels" in capsys.readouterr().err
