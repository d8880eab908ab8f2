import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.bench.units import Units, kept_columns, pack_scores, pack_steps, units_path, unpack
from gnnvcell.data import EffectTable
from gnnvcell.errors import DataError, FileFormatError, MissingFileError
from gnnvcell.metrics import per_gene_auroc
from gnnvcell.models import Prediction
from gnnvcell.tasks import UnseenPerturbation

WHERE = ("line", "task", "model", "graph", "control", "seed")


def make_folder(
    path: Path, *, genes: int = 4, perturbations: int = 6, seeds: int = 2, positives: int = 2, digest: str = "0" * 8
) -> Path:
    """A benchmark of two models on a graph, its control and its two sources, without fitting one."""
    rng = np.random.default_rng(0)
    labels = np.zeros((perturbations + 2, genes))
    for gene in range(genes - 1):  # the last gene has one label only
        labels[rng.choice(perturbations, positives, replace=False), gene] = 1
    names = [*(f"P{i}" for i in range(perturbations)), "T0", "T1"]
    split = ["test"] * perturbations + ["train"] * 2
    table = EffectTable(
        labels, np.ones(labels.shape, bool), names, [f"G{i}" for i in range(genes)], kind="de", split=np.array(split),
        context="sim",
    )  # fmt: skip
    Units.of_table(table).save(units_path(path, "sim", "de"))
    task, truth = UnseenPerturbation(table), labels[:perturbations]
    records = []
    for model in ("knn", "ridge"):
        for graph, control in [(graph, control) for graph in ("g", "g/a", "g/b") for control in ("real", "rewired")]:
            for seed in range(seeds):
                known = 0.3 * truth if control == "real" else 0.0
                values = (rng.uniform(0, 0.7, truth.shape) + known).astype(np.float32)
                support = np.arange(perturbations, dtype=np.float32)
                scores = task.evaluate(Prediction(values, np.array(names[:perturbations]), table.genes, support))
                key = f"{model}{graph}{control}{seed}".replace("/", "")
                run = {
                    "metrics": scores.metrics, "seconds": 1.0, "by_support": [],
                    **pack_scores(scores, pairs="/" not in graph),
                }  # fmt: skip
                (path / "runs").mkdir(parents=True, exist_ok=True)
                (path / "runs" / f"{key}.json").write_text(json.dumps(run))
                where = dict(zip(WHERE, ("sim", "de", model, graph, control, seed), strict=True))
                records += [
                    {**where, "metric": metric, "value": value, "seconds": 1.0, "run": key}
                    for metric, value in scores.metrics.items()
                ]
    (path / "results.json").write_text(json.dumps(records))
    (path / "provenance.json").write_text(json.dumps({"command": "gnnvcell bench sources", "graphs": {"g": digest}}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "out")


def test_arms_with_the_genes_that_were_scored(folder: Path) -> None:
    found = open_bench_folder(folder)
    (table,) = found.tables()
    assert (table.line, table.task, table.shape) == ("sim", "de", (2, 3, 6))
    assert len(table.arms) == 12
    expected = [r["value"] for r in found.records if r["metric"] == "per_gene_auroc" and r["graph"] == "g/a"][:2]
    assert table.arms["knn", "g/a", "real"].per_gene.mean(axis=1) == pytest.approx(expected, abs=1e-4)
    assert found.provenance["graphs"] == {"g": "00000000"}
    assert {run["graph"] for run in found.placed} == {"g", "g/a", "g/b"}


def test_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no folder .*nothing"):
        open_bench_folder(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="is not the folder of a benchmark"):
        open_bench_folder(tmp_path / "empty")
    (tmp_path / "empty" / "scores.csv").write_text("x")
    with pytest.raises(MissingFileError, match="a folder of `gnnvcell bench cells`"):
        open_bench_folder(tmp_path / "empty")
    (folder / "results.json").unlink()
    with pytest.raises(
        FileFormatError, match=r"is not finished\n  found: 24 finished runs\n  what to do: run the same"
    ):
        open_bench_folder(folder)


def test_files_that_are_damaged_or_missing(folder: Path) -> None:
    def after(name: str, text: str | None) -> str:
        path = folder / name
        before = path.read_text()
        path.unlink() if text is None else path.write_text(text)
        try:
            with pytest.raises((FileFormatError, DataError)) as caught:
                open_bench_folder(folder).tables()
        finally:
            path.write_text(before)
        return str(caught.value)

    records: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())
    run = "runs/knngreal0.json"
    assert "results.json is damaged\n  expected: JSON" in after("results.json", "[{")
    assert "expected: a list of records" in after("results.json", "{}")
    older = [{name: value for name, value in record.items() if name != "run"} for record in records]
    assert "results.json has no run" in after("results.json", json.dumps(older))
    assert "provenance.json is damaged" in after("provenance.json", "[]")
    assert "knngreal0.json is missing, which results.json names" in after(run, None)
    assert "knngreal0.json is damaged\n  expected: JSON" in after(run, '{"metrics": {')
    assert "knngreal0.json is damaged\n  expected: the record of a run" in after(run, "{}")
    assert "a run keeps no auroc in per_gene" in after(run, '{"metrics": {}, "seconds": 1.0, "by_support": []}')
    assert "sim-de.json" in after("units/sim-de.json", None)
    fewer = [r for r in records if (r["model"], r["graph"], r["control"], r["seed"]) != ("knn", "g", "real", 1)]
    assert "knn, g, real has not the seeds of the others" in after("results.json", json.dumps(fewer))
    units = json.loads((folder / "units/sim-de.json").read_text())
    units["positives"] = [0] * 4
    assert "no gene of sim, de has both labels" in after("units/sim-de.json", json.dumps(units))


def test_pairs_are_kept_and_score_as_the_run_did(folder: Path) -> None:
    bench = open_bench_folder(folder)
    units = bench.units["sim", "de"]
    labels, measured = units.truth
    assert labels.sum(axis=0).tolist() == units.positives == [2, 2, 2, 0]
    assert measured.all()
    assert units.train == ["T0", "T1"]
    run = next(run for run in bench.placed if run["graph"] == "g")
    predicted = units.dense(unpack(run, "per_pair", "score", len(units.labels)))
    again = per_gene_auroc(predicted, labels, measured)
    assert again == pytest.approx(unpack(run, "per_gene", "auroc", 4), abs=1e-4, nan_ok=True)
    part = next(run for run in bench.placed if run["graph"] == "g/a")
    with pytest.raises(FileFormatError, match="a run keeps no score in per_pair"):
        unpack(part, "per_pair", "score", len(units.labels))
    assert [name for name in kept_columns(pairs=True) if name not in kept_columns(pairs=False)] == ["per_pair score"]


def test_pairs_that_were_not_measured_and_steps() -> None:
    units = Units(["A", "B", "C"], [1, 0, 1], [0, 1, 1], ["P", "Q"], [1, 3], [2, 0, 1, 2], "1100", [])
    labels, measured = units.truth
    assert labels.tolist() == [[False, False, True], [True, False, False]]
    assert measured.tolist() == [[False, False, True], [True, True, True]]
    assert units.dense(np.arange(1.0, 5.0)).tolist() == [[0, 0, 1], [2, 3, 4]]
    values = np.array([-3.0, 0.1, 7.0])
    run = {"per_pair": {"score": pack_steps(values)}}
    assert unpack(run, "per_pair", "score", 3) == pytest.approx(values, abs=10 / 65535 / 2)
    same = {"per_pair": {"score": pack_steps([0.25, 0.25])}}
    assert unpack(same, "per_pair", "score", 2).tolist() == [0.25, 0.25]
    for text in ("0 1", "0 1 ??", "0 1 AAA", "x 1 AAAA"):
        with pytest.raises(FileFormatError, match="score in per_pair of a run is damaged"):
            unpack({"per_pair": {"score": text}}, "per_pair", "score", 2)
