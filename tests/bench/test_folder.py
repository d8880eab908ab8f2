import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.bench.units import Units, pack, units_path
from gnnvcell.errors import DataError, FileFormatError, MissingFileError

WHERE = ("line", "task", "model", "graph", "control", "seed")


def make_folder(path: Path, *, genes: int = 4, perturbations: int = 6, seeds: int = 2) -> Path:
    """A benchmark of two models on a graph, its control and its two sources, without running one."""
    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(genes)]
    counts = [2] * (genes - 1) + [0]  # the last gene has one label only
    held_out = [f"P{i}" for i in range(perturbations)]
    Units(names, counts, [perturbations - n for n in counts], held_out, [genes] * perturbations).save(
        units_path(path, "sim", "de")
    )
    arms = [(graph, control) for graph in ("g", "g/a", "g/b") for control in ("real", "rewired")]
    records = []
    for model in ("knn", "ridge"):
        for graph, control in arms:
            for seed in range(seeds):
                scores = np.append(rng.uniform(0.5, 0.9, genes - 1), np.nan)
                key = f"{model}{graph}{control}{seed}".replace("/", "")
                influence = rng.normal(0, 0.01, perturbations)
                metrics = {"per_gene_auroc": float(np.nanmean(scores)), "micro_auroc": 0.9}
                by_perturbation = {
                    "auroc": pack(rng.uniform(0.4, 0.9, perturbations)),
                    "influence": pack(influence - influence.mean()),
                    "support": pack(np.arange(perturbations)),
                }
                run = {
                    "metrics": metrics, "seconds": 1.0, "by_support": [], "per_gene": {"auroc": pack(scores)},
                    "per_perturbation": by_perturbation,
                }  # fmt: skip
                (path / "runs").mkdir(parents=True, exist_ok=True)
                (path / "runs" / f"{key}.json").write_text(json.dumps(run))
                where = dict(zip(WHERE, ("sim", "de", model, graph, control, seed), strict=True))
                records += [
                    {**where, "metric": metric, "value": value, "seconds": 1.0, "run": key}
                    for metric, value in metrics.items()
                ]
    (path / "results.json").write_text(json.dumps(records))
    (path / "provenance.json").write_text(json.dumps({"command": "gnnvcell bench sources", "graphs": {"g": "0" * 8}}))
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
