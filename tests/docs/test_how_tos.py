"""The how-tos are run as they stand: files that they show are written, commands and Python run in their order."""

import re
import shlex
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.data import Cells
from gnnvcell.data.check import check_cells
from gnnvcell.genes import GeneVocab
from gnnvcell.models import MODELS


def follow(document: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Do what a how-to says, in an empty folder.

    A block of TOML is written to the file that its first line names, blocks of ``sh`` and ``python`` are run; the
    Python of a document is one session.

    Returns:
        The names that the session has in the end.
    """
    monkeypatch.chdir(folder)
    session: dict[str, Any] = {"__name__": "__main__"}
    for language, content in document.blocks:
        if language == "toml":
            name = content.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(content, encoding="utf-8")
        elif language == "python":
            exec(compile(content, document.path, "exec"), session)
        elif language == "sh":
            for line in content.replace("\\\n", " ").splitlines():
                name, *arguments = shlex.split(line, comments=True)
                assert name == "gnnvcell", line
                assert main(arguments) == 0, line
    return session


@pytest.mark.slow
def test_own_graph(
    documents: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = documents["docs/own_graph.md"]

    session = follow(document, tmp_path, monkeypatch)

    printed = capsys.readouterr().out
    (shown,) = [content for language, content in document.blocks if language == "text"]
    assert shown in printed
    graph = session["graph"]
    assert sorted(graph.relations) == ["lab_ppi", "member_of", "string", "subpathway_of", "tf_regulates"]
    assert sorted(graph.table("tf_regulates").sign.tolist()) == [-1, 1]
    assert session["coexpressed"].relations == ["coexpressed"]
    assert (tmp_path / "graph_rewired").is_dir()
    assert (tmp_path / "plots" / "degrees.png").is_file()
    assert "rewired" in (tmp_path / "bench" / "table.md").read_text()


@pytest.mark.slow
def test_own_data(
    documents: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = documents["docs/own_data.md"]

    session = follow(document, tmp_path, monkeypatch)

    printed = capsys.readouterr().out
    (shown,) = [content for language, content in document.blocks if language == "text"]
    assert session["message"].startswith(shown.strip())
    assert "0 errors" in printed
    assert session["cells"].genes[0] == "GEN0001"
    assert set(session["test"].perturbations).isdisjoint(session["train"].perturbations)
    assert (tmp_path / "kept.knockdown.csv").is_file()
    scores = pd.read_csv(tmp_path / "scores" / "ours" / "scores.csv", index_col=0)
    assert scores.loc["pearson_delta", "prediction"] > 0.9
    assert "pass the ceiling" in printed


def test_problems_that_own_data_names_are_what_check_says(documents: dict[str, Any]) -> None:
    rows = documents["docs/own_data.md"].text.partition("| it says |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE)
    labels = np.repeat(["ctrl", "A", "B"], [40, 40, 10])
    counts = np.random.default_rng(0).poisson(20.0, size=(90, 12)).astype(np.float32)
    batch = np.where(labels == "B", "second", "first")
    cases = {"no cell is a control": (np.where(labels == "ctrl", "C", labels), counts)}
    cases |= {"sound values": (labels, counts), "scaled": (labels, counts * 1.3), "z-scores": (labels, counts - 20)}

    names, said = pd.Index([f"cell{i}" for i in range(90)]), ""
    for perturbation, values in cases.values():
        adata = ad.AnnData(values, obs=pd.DataFrame({"perturbation": perturbation, "batch": batch}, index=names))
        adata.var_names = [f"ENSG{i:011}" for i in range(12)]
        report = check_cells(Cells.of(adata), GeneVocab.from_symbols(["A", "B"]), progress=False)
        said += str(report)

    assert len(named) == 7
    assert [text for text in named if text not in said] == []


@pytest.mark.slow
def test_own_model(documents: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS, "_items", dict(MODELS._items))  # the model of the document goes with the test

    session = follow(documents["docs/own_model.md"], tmp_path, monkeypatch)

    (shown,) = [content for language, content in documents["docs/own_model.md"].blocks if language == "text"]
    stated, found = rows_of(shown), rows_of(session["format_cells"](session["summary"]))
    assert stated.keys() == found.keys()
    for where in stated:
        np.testing.assert_allclose(found[where], stated[where], atol=0.05, rtol=0.1, err_msg=" ".join(where))
    own, wrong = (found["neighbour_outcomes", "planted", control] for control in ("real", "rewired"))
    assert own[2] < found["knn", "planted", "real"][2]
    assert own[0] > wrong[0] + 0.1
    assert session["found"].abstained.any()
    assert len(session["screen"].table) > 100


def rows_of(table: str) -> dict[tuple[str, str, str], list[float]]:
    """Numbers of a table of ``format_cells``, without spreads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {(a, b, c): [float(part.split("±")[0]) for part in text.split("/")] for a, b, c, text in rows}
