"""The demo in its quick form, once, and what it leaves behind."""

import json
from pathlib import Path

import pytest

from gnnvcell.cli.main import main
from gnnvcell.data.simulator import SimulatorConfig
from gnnvcell.demo import CONTROLS, MODELS, SOURCE_MODELS, DemoResult, demo_config, run_demo
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.graphs.gene_graph import GeneGraph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_demo(tmp_path_factory.mktemp("demo"), quick=True, progress=False)


def test_the_files_are_there_and_agree(result: DemoResult) -> None:
    out = result.page.parent
    assert json.loads((out / "results.json").read_text()) == result.records
    assert (out / "table.md").read_text().startswith("| line | task | graph | model | real | rewired | permuted |")
    assert GeneGraph.load(out / "graph").digest == result.graph.digest
    settings = SimulatorConfig.parse(json.loads((out / "world" / "simulator.json").read_text()))
    assert settings == result.world.config == demo_config(quick=True)
    assert {path.stem for path in (out / "plots").iterdir()} >= {"controls", "sources"}


def test_every_model_is_scored_on_every_graph(result: DemoResult) -> None:
    found = {(r["task"], r["model"], r["graph"], r["control"]) for r in result.records}
    for task in ("de", "dir"):
        for control in ("real", *CONTROLS):
            assert {(task, model, "planted", control) for model in MODELS} <= found
            for source in ("string_db", "gene_ontology", "reactome", "scgpt"):
                assert {(task, model, f"planted/{source}", control) for model in SOURCE_MODELS} <= found


def test_the_real_graph_beats_its_random_copies(result: DemoResult) -> None:
    """The planted signal reaches the predictions, through files, names, graph and models."""
    whole = result.summary[result.summary["graph"] == "planted"].set_index(["task", "model"])
    for task in ("de", "dir"):
        for model in ("knn", "smoother"):
            row = whole.loc[(task, model)]
            assert row["real"] > 0.56
            assert row["real_minus_rewired"] > 0.05
            assert row["real_minus_permuted"] > 0.05
        assert whole.loc[(task, "gene_mean")]["real"] == pytest.approx(0.5)


def test_no_model_beats_the_truth(result: DemoResult) -> None:
    assert set(result.ceiling) == {"de", "dir"}
    for task, ceiling in result.ceiling.items():
        best = max(r["value"] for r in result.records if r["task"] == task and r["metric"] == "per_gene_auroc")
        assert 0.8 < ceiling <= 1.0
        assert best < ceiling


def test_the_page_names_what_was_done(result: DemoResult) -> None:
    text = result.page.read_text()
    assert "Real graph against random graphs" in text
    assert "Which source helps" in text
    assert f"{result.world.cells.n_obs:,} cells" in text
    assert result.graph.digest in text
    assert "true effects would score" in str(result)


def test_nothing_of_the_users_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not a simulated world"):
        run_demo(tmp_path, quick=True, progress=False)
    with pytest.raises(ConfigError, match="seed is -1"):
        run_demo(tmp_path, seed=-1, progress=False)


def test_bad_arguments_end_the_command_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["demo", "--out", str(tmp_path / "x"), "--seed", "-1"]) == 2
    assert "the seed is -1" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
