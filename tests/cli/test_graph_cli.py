import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.graphs.gene_graph import GeneGraph

GENES = [f"GENE{i}" for i in range(60)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files and the recipe of a graph of two relations, physical_table and genetic_table."""
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    for name, count in (("physical", 200), ("genetic", 120)):
        ends = rng.choice(60, (count, 2))
        rows = [f"{GENES[a]}\t{GENES[b]}\t{rng.random():.3f}" for a, b in ends if a != b]
        text = "\n".join(["gene_a\tgene_b\tweight", *dict.fromkeys(rows)]) + "\n"
        (folder / f"{name}.tsv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (folder / "recipe.toml").write_text(
        'name = "two tables"\n'
        '[sources.physical]\ntype = "table"\nargs = {file = "physical.tsv.gz"}\n'
        '[sources.genetic]\ntype = "table"\nargs = {file = "genetic.tsv.gz"}\n'
        'filters = [{type = "threshold", minimum = 0.1}]\n'
    )
    return folder


@pytest.fixture(scope="module")
def saved(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "graph"
    recipe = str(sources / "recipe.toml")
    assert main(["graph", "build", recipe, "--source-dir", str(sources), "--out", str(out), "--quiet"]) == 0
    return out


def test_build_prints_the_table_and_saves(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "graph"
    recipe = str(sources / "recipe.toml")
    assert main(["graph", "build", recipe, "--source-dir", str(sources), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "physical" in captured.out
    assert "genetic" in captured.out
    assert f"saved in {out}" in captured.out
    assert "[physical]" in captured.err
    assert GeneGraph.load(out).relations == ["genetic_table", "physical_table"]


def test_quiet_build_prints_nothing(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(sources / "recipe.toml")
    assert main(["graph", "build", recipe, "--source-dir", str(sources), "--out", str(tmp_path / "g"), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_set_changes_the_graph(sources: Path, saved: Path, tmp_path: Path) -> None:
    common = ["graph", "build", str(sources / "recipe.toml"), "--source-dir", str(sources), "--quiet"]
    settings = ["--set", "sources.physical.args.relation=binds", "--set", "name=other"]
    assert main([*common, "--out", str(tmp_path / "g"), *settings]) == 0
    graph = GeneGraph.load(tmp_path / "g")
    assert graph.relations == ["genetic_table", "physical_binds"]
    assert graph.manifest.name == "other"


def test_genes_from_a_file(sources: Path, tmp_path: Path) -> None:
    wanted = [*reversed(GENES[10:50]), "ABSENT"]
    (tmp_path / "genes.txt").write_text("# wanted\n\n" + "\n".join(wanted) + "\n")
    common = ["graph", "build", str(sources / "recipe.toml"), "--source-dir", str(sources), "--quiet"]
    assert main([*common, "--out", str(tmp_path / "g"), "--genes", str(tmp_path / "genes.txt")]) == 0
    assert GeneGraph.load(tmp_path / "g").vocab.symbols.tolist() == wanted


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is empty"), ("# nothing\n", "no names"), ("a,b\n", "several columns"), (None, "no file")],
)
def test_bad_gene_files(
    sources: Path, tmp_path: Path, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "genes.txt"
    if content is not None:
        path.write_text(content)
    common = ["graph", "build", str(sources / "recipe.toml"), "--source-dir", str(sources), "--quiet"]
    assert main([*common, "--out", str(tmp_path / "g"), "--genes", str(path)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "g").exists()


def test_build_errors_are_messages(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "g")
    assert main(["graph", "build", str(sources / "recip.toml"), "--out", out]) == 2
    assert "did you mean 'recipe.toml'" in capsys.readouterr().err
    recipe = str(sources / "recipe.toml")
    assert main(["graph", "build", recipe, "--source-dir", str(sources), "--out", out, "--set", "nmae=x"]) == 2
    assert "did you mean 'name'" in capsys.readouterr().err


def test_info_prints_the_table(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "info", str(saved)]) == 0
    plain = capsys.readouterr().out
    assert plain.strip() == str(GeneGraph.load(saved).info()).strip()
    assert main(["graph", "info", str(saved), "--sources"]) == 0
    assert "edges kept" in capsys.readouterr().out.removeprefix(plain)


def test_info_as_json_and_csv(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv = tmp_path / "table.csv"
    assert main(["graph", "info", str(saved), "--json", "--csv", str(csv)]) == 0
    found = json.loads(capsys.readouterr().out)
    graph = GeneGraph.load(saved)
    assert found["digest"] == graph.digest
    assert found["nodes"] == {"gene": graph.num_genes}
    assert found["relations"]["physical_table"]["edges"] == graph.num_edges("physical_table")
    assert found["overlap"]["physical_table"]["physical_table"] == 1
    table = pd.read_csv(csv, index_col="relation")
    assert table.loc["genetic_table", "edges"] == graph.num_edges("genetic_table")


def test_info_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "info", str(tmp_path / "none")]) == 2
    assert "no saved graph" in capsys.readouterr().err


def test_verify(saved: Path, sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "verify", str(saved)]) == 0
    assert "as it was saved" in capsys.readouterr().out
    assert main(["graph", "verify", str(saved), "--source-dir", str(sources)]) == 0
    assert capsys.readouterr().out.count("same ") == 2


def test_verify_finds_changed_and_missing_files(
    saved: Path, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "physical.tsv.gz").write_bytes(gzip.compress(b"gene_a\tgene_b\nA\tB\n"))
    assert main(["graph", "verify", str(saved), "--source-dir", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("changed  physical") for line in lines)
    assert any(line.startswith("missing  genetic") for line in lines)
    below = tmp_path / "deeper"
    below.mkdir()
    for file in sources.glob("*.gz"):
        (below / file.name).write_bytes(file.read_bytes())
    assert main(["graph", "verify", str(saved), "--source-dir", str(tmp_path)]) == 0
    assert main(["graph", "verify", str(saved), "--source-dir", str(tmp_path / "nowhere")]) == 2


def test_verify_finds_a_changed_graph(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "graph"
    copy.mkdir()
    for file in saved.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    edges = copy / "edges.safetensors"
    content = bytearray(edges.read_bytes())
    content[-1] ^= 1
    edges.write_bytes(content)
    assert main(["graph", "verify", str(copy)]) == 2
    assert "changed or damaged" in capsys.readouterr().err


def test_plot(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "plot", str(saved), "--out", str(tmp_path / "plots")]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["degrees.png", "overlap.png", "coverage.png"]
    assert all(path.stat().st_size > 5000 for path in paths)


@pytest.mark.parametrize("kind", list(CONTROLS))
def test_control(saved: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "control"
    assert main(["graph", "control", str(saved), "--kind", kind, "--seed", "3", "--out", str(out)]) == 0
    assert f"control {kind}, seed 3" in capsys.readouterr().out
    assert GeneGraph.load(out).digest == CONTROLS.get(kind)(GeneGraph.load(saved), seed=3).digest


def test_control_settings(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["graph", "control", str(saved), "--out", str(tmp_path / "c")]
    assert main([*common, "--kind", "size_matched", "--num-edges", "30"]) == 0
    assert GeneGraph.load(tmp_path / "c").num_edges("physical_table") == 30
    assert main([*common, "--kind", "rewired", "--swaps-per-edge", "0.5"]) == 0
    assert main([*common, "--kind", "rewired", "--num-edges", "30"]) == 2
    assert main([*common, "--kind", "rewierd"]) == 2
    assert "did you mean 'rewired'" in capsys.readouterr().err


def test_help_names_every_control(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["graph", "control", "--help"])
    text = capsys.readouterr().out
    assert [kind for kind in CONTROLS if kind not in text] == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def file_server(sources: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(sources)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetch_then_build(file_server: str, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256((sources / "physical.tsv.gz").read_bytes()).hexdigest()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[sources.physical]\ntype = "table"\nrelease = "1"\nargs = {file = "physical.tsv.gz"}\n'
        f'urls = [{{url = "https://official.invalid/physical.tsv.gz", sha256 = "{digest}"}}]\n'
        '[sources.genetic]\ntype = "table"\noptional = true\nargs = {file = "genetic.tsv.gz"}\n'
        'urls = ["https://official.invalid/none/genetic.tsv.gz"]\n'
    )
    raw = tmp_path / "raw"
    common = ["graph", "fetch", str(recipe), "--out", str(raw), "--mirror", file_server]
    assert main([*common, "--sources", "physical", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert "downloaded" in captured.out
    assert captured.err == ""
    assert main([*common, "--sources", "physical"]) == 0
    assert "present" in capsys.readouterr().out
    assert main(common) == 2
    assert "HTTP 404" in capsys.readouterr().err
    out = tmp_path / "graph"
    assert main(["graph", "build", str(recipe), "--source-dir", str(raw), "--out", str(out), "--quiet"]) == 0
    assert GeneGraph.load(out).manifest.sources["physical"].release == "1"


def test_fetch_of_an_unknown_source(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "fetch", str(sources / "recipe.toml"), "--out", str(tmp_path / "r"), "--sources", "x"]) == 2
    assert "no source 'x'" in capsys.readouterr().err
    assert main(["graph", "fetch", str(sources / "recipe.toml"), "--out", str(tmp_path / "r")]) == 2
    assert "nothing to fetch" in capsys.readouterr().err
