"""The files in ``graphs/example`` are what the simulator writes, build a graph and can be scored."""

import gzip
import tomllib
from pathlib import Path

import pytest

from gnnvcell.data.labels import read_label_folder
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.graphs.build import build

EXAMPLE = Path(__file__).resolve().parents[1] / "graphs" / "example"


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_regenerating_gives_the_same_content(tmp_path: Path) -> None:
    fresh = simulate(SimulatorConfig.example()).write(tmp_path / "example", cells=False, truth=False)
    names = sorted(str(path.relative_to(fresh)) for path in fresh.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.is_file())
    for name in names:
        assert content(fresh / name) == content(EXAMPLE / name), f"{name} is not what the simulator writes now"


def test_the_example_is_small_and_has_no_times_in_it() -> None:
    files = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000
    zipped = [path.read_bytes() for path in files if path.suffix == ".gz"]
    assert len(zipped) == 8
    assert all(head[4:8] == bytes(4) for head in zipped)  # the gzip header's time


def test_the_recipe_builds_from_a_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # source_dir is relative to the recipe, not to the working folder
    graph = build(EXAMPLE / "recipe.toml", progress=False)
    recipe = tomllib.loads((EXAMPLE / "recipe.toml").read_text())
    assert list(graph.manifest.sources) == list(recipe["sources"])
    config = SimulatorConfig.example()
    symbols = [f"GEN{i + 1:04d}" for i in range(config.genes)]
    assert (graph.vocab.lookup(symbols) >= 0).all()
    assert all(record.edges_kept > 100 for record in graph.manifest.sources.values())
    # Previous symbols and accessions were resolved, the shared alias and the nameless proteins refused.
    assert graph.manifest.source("scgpt").genes_matched["previous"] > 0
    assert graph.manifest.source("gene_ontology").genes_matched["uniprot"] > 0
    assert graph.manifest.source("reactome").genes_unmatched["ambiguous"] == 1
    assert graph.manifest.source("string_db").genes_unmatched["unknown"] == 3


def test_the_labels_are_of_genes_in_the_graph() -> None:
    graph = build(EXAMPLE / "recipe.toml", progress=False)
    for table in read_label_folder(EXAMPLE / "labels", ["sim"], ["de", "dir"]):
        assert (graph.vocab.lookup(table.perturbations) >= 0).all()
        assert (graph.vocab.lookup(table.genes) >= 0).all()
        assert set(table.split) == {"train", "test"}
