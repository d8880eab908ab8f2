"""The tutorial runs, says what it should, and the notebook is that of the script."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

# Runs the cells as the notebook is made, and gives what the tests look at.
_RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tutorial_notebook import SOURCE, read_cells, run_cells
cells = read_cells(SOURCE.read_text(encoding="utf-8"))
names = run_cells(cells, Path.cwd())
graph = names["graph"]
degrees = sum(graph.adjacency(relation).getnnz(axis=1) for relation in ("string", "annotated_bp", "member_of"))
found = {
    "outputs": [cell.outputs for cell in cells],
    "relations": sorted(graph.relations),
    "ok": names["report"].ok,
    "parts": {part: int((names["split"].parts == part).sum()) for part in ("train", "val", "test")},
    "table": {"/".join(where): row for where, row in names["table"].to_dict(orient="index").items()},
    "coverage": float(names["coverage"].mean()),
    "abstained": names["abstained"],
    "without edges": [str(n) for n in names["truth"].perturbations if degrees[graph.vocab.index(n)] == 0],
    "why": names["why"].fidelity,
    "ranks": names["ranks"].tolist(),
    "candidates": len(names["screen"].table),
}
Path("found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def builder(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tutorial_notebook", root / "docs" / "tutorial_notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tutorial_notebook"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def notebook(root: Path) -> dict[str, Any]:
    return json.loads((root / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tutorial")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", str(root))}
    command = [sys.executable, "-c", _RUN, str(root / "docs")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def test_notebook_is_that_of_the_script(builder: ModuleType, notebook: dict[str, Any]) -> None:
    cells = builder.read_cells(builder.SOURCE.read_text(encoding="utf-8"))
    expected = builder.as_notebook(cells)["cells"]

    for made, shipped in zip(expected, notebook["cells"], strict=True):
        assert {**made, "outputs": []} == {**shipped, "outputs": []}, "run: python docs/tutorial_notebook.py"


def test_notebook_has_its_outputs_and_pictures(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    assert all(cell["outputs"] for cell in code)
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell["outputs"]) == 4


def test_what_the_notebook_shows_before_models_are_fitted_is_what_the_script_prints(
    notebook: dict[str, Any], found: dict[str, Any]
) -> None:
    fitted = next(i for i, cell in enumerate(notebook["cells"]) if "## 5. Fit" in "".join(cell["source"]))
    for shipped, outputs in zip(notebook["cells"][:fitted], found["outputs"], strict=False):
        assert _text(shipped.get("outputs", [])) == _text(outputs)


def test_graph_and_screen(found: dict[str, Any]) -> None:
    assert found["relations"] == ["annotated_bp", "is_a", "member_of", "part_of", "string", "subpathway_of"]
    assert found["ok"]
    assert found["parts"] == {"train": 96, "val": 24, "test": 30}


@pytest.mark.parametrize("model", ["knn", "ridge", "propagation"])
def test_models_need_the_real_graph(found: dict[str, Any], model: str) -> None:
    real, rewired = (found["table"][f"{model}/{graph}"] for graph in ("real", "rewired"))
    nothing = found["table"]["no_change/real"]

    assert real["centred_pearson_delta"] > rewired["centred_pearson_delta"] + 0.2
    assert real["pds_cosine"] > 0.65
    assert rewired["pds_cosine"] < 0.6
    assert real["mse_delta"] < 0.9 * nothing["mse_delta"]
    # What the text says of the traps.
    assert nothing["centred_pearson_delta"] > 0.1
    assert 0 < real["amplitude_ratio"] < 1


def test_uncertainty(found: dict[str, Any]) -> None:
    assert 0.85 < found["coverage"] < 1
    assert found["abstained"] == found["without edges"] != []


def test_explanation_and_target_screen(found: dict[str, Any]) -> None:
    assert found["why"]["share"] > 0.25
    assert found["why"]["effect"] > found["why"]["random_mean"] + 2 * found["why"]["random_sd"]
    assert np.median(found["ranks"]) < 0.15 * found["candidates"]


def _text(outputs: list[dict[str, Any]]) -> list[Any]:
    """Outputs without pictures, whose bytes depend on fonts."""
    return [output.get("text", output.get("data", {}).get("text/plain")) for output in outputs]
