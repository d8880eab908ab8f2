import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnvcell.bench import compare_sources, per_source_graphs
from gnnvcell.bench.arms import COALITIONS, LEAVE_ONE_OUT, Whole
from gnnvcell.bench.coalitions import shapley_terms
from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.bench.run import run_bench
from gnnvcell.bench.statistics import benchmark_statistics
from gnnvcell.bench.units import Units, units_path, unpack
from gnnvcell.cli.main import main
from gnnvcell.config import Config
from gnnvcell.data import EffectTable
from gnnvcell.errors import ConfigError, DataError, FileFormatError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import Manifest, SourceRecord
from gnnvcell.models import MODELS, EffectModel, Prediction

GENES = [f"G{i:02d}" for i in range(40)]
COUNTED: list[str] = []


class Neighbours(EffectModel):
    """Scores a perturbation by the mean training label of its neighbours; counts its fits."""

    config_class = Config

    def _fit(self, train, graph, seed):
        COUNTED.append(f"{seed}")
        self._train, self._graph = train, graph

    def _predict(self, names, context):
        graph, train = self._graph, self._train
        rows, columns = graph.vocab.lookup(names), graph.vocab.lookup(train.perturbations)
        near = graph.adjacency("string").toarray()[np.ix_(rows, columns)]
        values = near @ train.values / np.maximum(near.sum(1, keepdims=True), 1)
        return Prediction(values.astype(np.float32), names, train.genes, near.sum(1).astype(np.float32))


@pytest.fixture
def planted(monkeypatch):
    """Two modules; a perturbation switches on the readout genes of its own module; the graph links modules."""
    monkeypatch.setitem(MODELS._items, "neighbours", Neighbours)
    COUNTED.clear()
    module = np.arange(40) % 2
    src, dst = np.triu_indices(40, k=1)
    kept = module[src] == module[dst]
    names = np.array(GENES)
    table = EdgeTable(("gene", "string", "gene"), src[kept], dst[kept], np.ones(kept.sum(), np.float32), names, names)
    graph = GeneGraph.from_tables([table], GeneVocab.from_symbols(GENES))
    values = (module[:, None] == module[None, :]).astype(float)
    split = np.where(np.arange(40) < 28, "train", "test")
    effects = EffectTable(values, np.ones((40, 40), bool), GENES, GENES, kind="de", split=split, context="sim")
    return graph, effects


def value(records, control, seed=0):
    (found,) = [
        r["value"] for r in records if (r["control"], r["seed"], r["metric"]) == (control, seed, "per_gene_auroc")
    ]
    return found


def test_the_real_graph_is_right_and_the_permuted_one_is_not(planted) -> None:
    graph, effects = planted
    records = compare_sources(
        [effects], {"g": graph}, models=["neighbours"], controls=["permuted"], seeds=2, progress=False
    )
    assert value(records, "real") == value(records, "real", 1) == 1.0
    assert value(records, "permuted") < 0.8
    coordinates = {"line", "task", "model", "graph", "control", "seed"}
    assert set(records[0]) == coordinates | {"metric", "value", "seconds", "run"}
    assert records[0]["line"] == "sim"
    assert records[0]["task"] == "de"
    # One fit on the real graph, because the model does not use its seed, and one for each permuted graph.
    assert len(COUNTED) == 3


def test_a_second_call_repeats_nothing(planted, tmp_path) -> None:
    graph, effects = planted
    arguments: dict[str, Any] = dict(
        models=["neighbours"], controls=["permuted"], seeds=1, out_dir=tmp_path, progress=False
    )
    first = compare_sources([effects], {"g": graph}, **arguments)
    fits = len(COUNTED)
    assert compare_sources([effects], {"g": graph}, **arguments) == first
    assert len(COUNTED) == fits


def test_unknown_names_and_empty_runs_are_refused(planted) -> None:
    graph, effects = planted
    with pytest.raises(ConfigError, match="unknown model 'neighbour'"):
        compare_sources([effects], {"g": graph}, models=["neighbour"], progress=False)
    with pytest.raises(ConfigError, match="unknown control graph 'permute'"):
        compare_sources([effects], {"g": graph}, models=["neighbours"], controls=["permute"], progress=False)
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare_sources([effects], {"g": graph}, models=["neighbours"], seeds=0, progress=False)


def test_per_source_keeps_the_nodes(planted) -> None:
    graph, _ = planted
    graphs = per_source_graphs("human", graph)
    assert graphs["human"] is graph
    assert all(part.num_genes == graph.num_genes for part in graphs.values())


def three_sources(graph: GeneGraph) -> GeneGraph:
    """The same edges three times, each from a source of its own."""
    table = graph.table("string")
    tables = [replace(table, etype=("gene", name, "gene")) for name in "abc"]
    records = {name: SourceRecord(key=name, type="table", relations=(name,)) for name in "abc"}
    return GeneGraph.from_tables(tables, graph.vocab, manifest=Manifest.create(sources=records))


def test_graphs_of_sets_of_sources(planted, monkeypatch) -> None:
    whole = Whole("g", three_sources(planted[0]))
    without = whole.parts(LEAVE_ONE_OUT)
    assert without == {"g/all but c": ("a", "b"), "g/all but b": ("a", "c"), "g/all but a": ("b", "c")}
    every = whole.parts(COALITIONS)
    assert set(every) == {*without, "g/a", "g/b", "g/c"}
    assert set(every) == {name for s in "abc" for name in shapley_terms("g", s, list("abc"))} - {"", "g"}
    with pytest.raises(ConfigError, match=r"'g' has no sources to leave out\n  found: sources a"):
        Whole("g", whole.graph.select("a")).parts(LEAVE_ONE_OUT)
    monkeypatch.setattr("gnnvcell.bench.coalitions.MAX_SOURCES", 2)
    with pytest.raises(ConfigError, match=r"too many sources .*\n  expected: at most 2\n  found: 3: 7 graphs"):
        whole.parts(COALITIONS)


def test_from_folders_to_files(planted, tmp_path) -> None:
    graph, effects = planted
    graph.save(tmp_path / "mini")
    rows = ["pert,gene,label,split"]
    rows += [
        f"{p},{g},{int(effects.values[i, j])},{effects.split[i]}"
        for i, p in enumerate(GENES)
        for j, g in enumerate(GENES)
    ]
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "sim-de.csv").write_text("\n".join(rows))
    out = tmp_path / "out"
    arguments: dict[str, Any] = dict(
        lines=["sim"], tasks=["de"], models=["neighbours"], seeds=1, out_dir=out, progress=False
    )
    result = run_bench(labels, [tmp_path / "mini"], **arguments)
    assert json.loads((out / "results.json").read_text()) == result.records
    assert "| sim | de | mini | neighbours | 1.000 |" in (out / "table.md").read_text()
    statistics = benchmark_statistics(open_bench_folder(out).tables())
    assert statistics.loc[statistics["kind"] == "control", "against"].tolist() == ["rewired", "permuted"]
    assert json.loads((out / "provenance.json").read_text())["graphs"] == {"mini": graph.digest}
    with pytest.raises(ConfigError, match="changes no model"):
        run_bench(labels, [tmp_path / "mini"], **{**arguments, "overrides": ["knn.k=3"]})
    with pytest.raises(DataError, match="no dir labels"):
        run_bench(labels, [tmp_path / "mini"], **{**arguments, "tasks": ["dir"]})
    with pytest.raises(ConfigError, match="two graphs are called 'mini'"):
        run_bench(labels, [tmp_path / "mini", tmp_path / "mini"], **arguments)


def test_runs_keep_the_scores_of_genes_and_perturbations(planted, tmp_path) -> None:
    graph, effects = planted
    runs: list[dict[str, Any]] = []
    records = compare_sources(
        [effects], {"g": graph}, models=["neighbours"], controls=["permuted"], seeds=1, out_dir=tmp_path,
        progress=False, on_record=runs.append,
    )  # fmt: skip
    units = Units.load(units_path(tmp_path, "sim", "de"))
    assert units.genes == GENES
    assert units.perturbations == GENES[28:]
    assert units.pairs == [40] * 12
    assert units.positives == units.negatives == [6] * 40
    for run in runs:
        by_gene = unpack(run, "per_gene", "auroc", 40)
        assert by_gene.mean() == pytest.approx(run["metrics"]["per_gene_auroc"], abs=1e-4)
        by_perturbation = unpack(run, "per_perturbation", "auroc", 12)
        assert by_perturbation.mean() == pytest.approx(run["metrics"]["per_perturbation_auroc"], abs=1e-4)
        assert unpack(run, "per_perturbation", "influence", 12).sum() == pytest.approx(0, abs=1e-4)
    stored = json.loads((tmp_path / "runs" / f"{records[0]['run']}.json").read_text())
    assert stored["per_gene"] == runs[0]["per_gene"]


def test_damaged_scores_of_genes_are_named(tmp_path) -> None:
    with pytest.raises(FileFormatError, match="keeps no auroc in per_gene"):
        unpack({"metrics": {}}, "per_gene", "auroc", 2)
    with pytest.raises(FileFormatError, match="auroc in per_gene of a run is damaged"):
        unpack({"per_gene": {"auroc": "0.5 x"}}, "per_gene", "auroc", 2)
    with pytest.raises(FileFormatError, match=r"of other labels\n  expected: 2 numbers\n  found: 3"):
        unpack({"per_gene": {"auroc": "0.5 nan 1"}}, "per_gene", "auroc", 2)
    for text in (
        '{"genes": [',
        '{"genes": ["A"]}',
        json.dumps(vars(Units(["A"], [1], [1], ["P"], [], [], "", []))),
        json.dumps(vars(Units(["A"], [1], [1], ["P"], [2], [0, 0], "1", []))),
    ):
        (tmp_path / "u.json").write_text(text)
        with pytest.raises(FileFormatError, match=r"u.json is damaged"):
            Units.load(tmp_path / "u.json")


def test_sources_left_out_from_the_command_line(planted, tmp_path, capsys) -> None:
    graph, effects = planted
    three_sources(graph).save(tmp_path / "mini")
    (tmp_path / "labels").mkdir()
    rows = [
        f"{p},{g},{int(effects.values[i, j])},{effects.split[i]}"
        for i, p in enumerate(GENES)
        for j, g in enumerate(GENES)
    ]
    (tmp_path / "labels" / "sim-de.csv").write_text("\n".join(["pert,gene,label,split", *rows]))
    command = ["bench", "sources", "--labels", str(tmp_path / "labels"), "--graph", str(tmp_path / "mini")]
    command += [
        "--lines",
        "sim",
        "--task",
        "de",
        "--models",
        "knn",
        "--controls",
        "permuted",
        "--seeds",
        "2",
        "--quiet",
    ]
    command += ["--set", "knn.k=5", "--out", str(tmp_path / "out")]
    assert main([*command, "--leave-one-out"]) == 0
    kinds = set(pd.read_csv(tmp_path / "out" / "statistics.csv")["kind"])
    assert kinds == {"score", "control", "leave_one_out"}
    assert main([*command, "--coalitions"]) == 0
    statistics = pd.read_csv(tmp_path / "out" / "statistics.csv")
    shapley = statistics[statistics["kind"] == "shapley"]["value"]
    assert len(shapley) == 3
    scores = statistics[statistics["kind"] == "score"].set_index("graph")["value"]
    whole = scores.loc["mini"].max()  # beside it stands the permuted graph's
    assert shapley.sum() == pytest.approx(whole - 0.5, abs=1e-3)
    assert shapley.max() == pytest.approx(shapley.min(), abs=1e-3)  # the three are the same
    assert "page: " in capsys.readouterr().out
