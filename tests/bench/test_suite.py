import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.bench.suite import Suite, run_suite
from gnnvcell.bench.suite_config import SuiteConfig, read_suite
from gnnvcell.cli.main import main
from gnnvcell.config import digest_of
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.errors import ConfigError, DataError, FileFormatError

REPOSITORY = Path(__file__).resolve().parents[2]


def finished(folder: Path) -> dict[str, dict[str, Any]]:
    """Runs by their file's name."""
    return {name: json.loads((folder / "runs" / name).read_text()) for name in modified(folder)}


def modified(folder: Path) -> dict[str, int]:
    """When each run was written, by its file's name; files that begin with a dot are not finished."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "runs").glob("[!.]*.json")}


def test_runs_say_how_they_were_made(world, tmp_path) -> None:
    config = SuiteConfig.parse(world.suite(tmp_path, models={"far": {"name": "smoother", "power": 1.5}}))
    result = run_suite(config.check(), tmp_path / "out", progress=False)
    runs = finished(tmp_path / "out")
    # Three graphs; the smoother is fitted once on each real one, and on two seeds of two controls.
    assert len(runs) == 3 * (1 + 2 * 2)
    assert {record["run"] + ".json" for record in result.records} == set(runs)
    graph = Suite(config, {"mini": tmp_path / "mini"}).graphs["mini"]
    (run,) = (r for r in runs.values() if (r["where"]["graph"], r["where"]["control"]) == ("mini", "real"))
    assert run["graph_digest"] == graph.digest
    assert run["config"]["power"] == 1.5
    assert run["config_digest"] == digest_of(run["config"])
    assert run["versions"].keys() >= {"gnnvcell", "torch", "numpy", "python"}
    assert run["hardware"]["threads"] >= 1
    assert 0.05 < run["peak_memory_gib"] < 100
    assert 0 < run["seconds"] <= run["total_seconds"]
    assert run["cpu_seconds"] > 0
    assert run["where"]["model"] == "far"
    assert len(open_bench_folder(tmp_path / "out").tables()[0].arms) == 9
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["suite"]["models"] == {"far": {"name": "smoother", "power": 1.5}}


def test_tuning_is_recorded_and_not_repeated(world, tmp_path) -> None:
    tune = {"trials": 3, "space": {"knn": {"k": [1, 3, 10, 30]}}}
    values = world.suite(tmp_path, models=["knn"], seeds=1, controls=["permuted"], tune=tune)
    values["graphs"]["mini"]["parts"] = ["all"]
    out = tmp_path / "out"
    run_suite(SuiteConfig.parse(values).check(), out, progress=False)
    before = finished(out)
    assert len(before) == 2
    name, record = next(iter(before.items()))
    (out / "runs" / name).write_text(json.dumps({**record, "versions": {"code": "other"}}))
    with pytest.warns(UserWarning, match="1 of 2 runs were made by other code"):
        run_suite(SuiteConfig.parse(values), out, progress=False)
    (out / "runs" / name).write_text(json.dumps(record))
    for run in before.values():
        assert run["config"]["k"] == run["tuning"]["chosen"]["k"]
        assert len(run["tuning"]["trials"]) == 3
    run_suite(SuiteConfig.parse(values), out, progress=False)
    assert finished(out) == before
    run_suite(SuiteConfig.parse({**values, "tune": {**tune, "trials": 2}}), out, progress=False)
    assert len(finished(out)) == 4  # another budget is another run


def test_a_recipe_is_built_once(world, tmp_path) -> None:
    world.suite(tmp_path)
    edges = [f"G{i:02d}\tG{j:02d}" for i in range(40) for j in range(i + 2, 40, 2)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["gene_a\tgene_b", *edges]))
    source = {"type": "table", "args": {"file": "pairs.tsv", "relation": "pairs"}}
    missing = {"type": "table", "optional": True, "args": {"file": "none.tsv", "relation": "none"}}
    graph = {"recipe": {"sources": {"pairs": source, "none": missing}}, "source_dir": str(tmp_path)}
    config = SuiteConfig.parse(world.suite(tmp_path, graphs={"built": graph}, models=["knn"], seeds=1, controls=[]))
    with pytest.warns(UserWarning, match="the graph 'built' is without 'none'"):
        run_suite(config, tmp_path / "out", progress=False)
    manifest = tmp_path / "out" / "graphs" / "built" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["skipped"].keys() == {"built/none"}
    with pytest.warns(UserWarning, match="is without 'none'"):
        run_suite(config, tmp_path / "out", progress=False)
    assert manifest.stat().st_mtime_ns == before
    (tmp_path / "pairs.tsv").write_text("\n".join(["gene_a\tgene_b", *edges[1:]]))
    with pytest.warns(UserWarning, match="is without 'none'"):
        run_suite(config, tmp_path / "out", progress=False)
    assert manifest.stat().st_mtime_ns != before


def test_inputs_that_are_not_there(world, tmp_path) -> None:
    values = world.suite(tmp_path)
    task = values["tasks"]["sim"]
    out = tmp_path / "out"
    for changed, error, message in (
        ({"tasks": {"sim": {**task, "labels": str(tmp_path / "label")}}}, FileFormatError, "no folder"),
        ({"tasks": {"sim": {**task, "lines": ["sym"]}}}, DataError, "no de labels for the line 'sym'"),
        ({"tasks": {"sim": task, "again": task}}, ConfigError, "two tasks are on the de labels of 'sim'"),
        ({"graphs": {"mini": {"saved": str(tmp_path / "mono")}}}, FileFormatError, "mono"),
        ({"graphs": {"mini": {"recipe": str(tmp_path / "r.toml")}}}, FileFormatError, "no file .*r.toml"),
        ({"graphs": {"mini": {"recipe": {"sources": {"x": {"type": "strng"}}}}}}, ConfigError, "unknown graph source"),
    ):
        with pytest.raises(error, match=message):
            run_suite(SuiteConfig.parse({**values, **changed}), out, progress=False)
    with pytest.raises(ConfigError, match="0 processes"):
        run_suite(SuiteConfig.parse(values), out, processes=0, progress=False)


def test_a_complex_disjoint_split(world, tmp_path) -> None:
    values = world.suite(tmp_path)
    sets = [f"set{i}\t\tG{2 * i:02d}\tG{2 * i + 1:02d}" for i in range(20)]
    (tmp_path / "sets.gmt").write_text("\n".join(sets))
    split = {"gene_sets": str(tmp_path / "sets.gmt"), "test_share": 0.25}
    task = {**values["tasks"]["sim"], "label": "pairs", "complexes": split}
    suite = Suite(SuiteConfig.parse({**values, "tasks": {"pairs": task}}), {"mini": tmp_path / "mini"})
    (found,) = suite.label_tasks
    assert found.name == "de-pairs"
    part = dict(zip(found.table.perturbations.tolist(), found.table.split.tolist(), strict=True))
    assert [list(part.values()).count(name) for name in ("train", "test")] == [30, 10]
    assert all(part[f"G{2 * i:02d}"] == part[f"G{2 * i + 1:02d}"] for i in range(20))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_killed_at_any_moment_no_run_is_lost_or_repeated(world, tmp_path) -> None:
    values = world.suite(tmp_path, seeds=6)
    lines = [
        'models = ["smoother", "knn"]\nseeds = 6',
        f'[tasks.sim]\nlabels = "{tmp_path / "labels"}"\nlines = ["sim"]\nkinds = ["de"]',
        f'[graphs.mini]\nsaved = "{tmp_path / "mini"}"\nparts = ["all", "each"]',
    ]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gnnvcell.cli.main", "bench", "suite", str(tmp_path / "run.toml")]
    process = subprocess.Popen([*command, "--out", str(out), "--processes", "2", "--quiet"], cwd=REPOSITORY)
    while len(modified(out)) < 10:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(map(running, children)):  # they end by themselves when the one that started them is gone
        time.sleep(0.01)
    before, expected = modified(out), 3 * 2 * (1 + 2 * 6)
    assert 10 <= len(before) < expected
    records = run_suite(SuiteConfig.parse(values), out, progress=False).records
    after = modified(out)
    assert len(after) == expected
    assert {name: after[name] for name in before} == before
    again = run_suite(SuiteConfig.parse(values), tmp_path / "afresh", progress=False).records
    assert [{**r, "seconds": 0} for r in again] == [{**r, "seconds": 0} for r in records]


def running(pid: str) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_smoke_suite_is_well_formed_and_so_are_the_others() -> None:
    for path in sorted((REPOSITORY / "benchmarks" / "sources").glob("*.toml")):
        if "[tasks." in path.read_text():
            assert read_suite(path).seeds >= 1


def test_labels_and_cells_in_one_suite(world, tmp_path, capsys) -> None:
    screen = SimulatorConfig(genes=60, modules=3, targets=16, control_cells=60, cells_per_target=20, batches=2)
    folder = simulate(screen).write(tmp_path / "w")
    lines = [
        'models = ["knn", "gene_mean"]\nseeds = 2\ncontrols = ["permuted"]',
        f'[tasks.labels]\nlabels = "{folder / "labels"}"\nlines = ["sim"]\nkinds = ["de"]',
        f'[tasks.screen]\ncells = "{folder / "cells.h5ad"}"',
        'held_out = {protocol = "folds", folds = 2, min_cells = 5}',
        f'[graphs.w]\nrecipe = "{folder / "recipe.toml"}"',
        'parts.all = {}\nparts.each = {models = ["knn"], controls = []}',
        "[tune]\ntrials = 2\nspace = {knn = {k = [1, 5]}, gene_mean = {}}\nshare = 0.4",
    ]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    out = tmp_path / "out"
    command = ["bench", "suite", str(tmp_path / "run.toml"), "--out", str(out), "--quiet"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "| sim | de | w | knn |" in said
    table = (out / "cells" / "screen" / "table.md").read_text()
    assert "| gene_mean | - | real |" in table
    assert "| knn | w | permuted |" in table
    assert table.strip() in said
    sources = len(
        list(Suite(read_suite(tmp_path / "run.toml"), {"w": out / "graphs" / "w"}).graphs["w"].source_relations)
    )
    scores = pd.read_csv(out / "cells" / "screen" / "scores.csv")
    assert len(scores) == 2 * 16 * (1 + 2 + sources)  # draws, perturbations; gene_mean, knn real and permuted, sources
    runs = finished(out)
    chosen = [
        run["tuning"]
        for run in runs.values()
        if run["where"] == {"model": "knn", "graph": "w", "control": "real", "split": 1}
    ]
    assert [len(choice["held_out"]) for choice in chosen[0]] == [8, 8]
    assert {trial["settings"]["k"] for trial in chosen[0][0]["trials"]} == {1, 5}
    run_suite(read_suite(tmp_path / "run.toml"), out, progress=False)
    assert finished(out) == runs


def test_smoke(tmp_path, monkeypatch, capsys) -> None:
    """The suite that CI runs, with one seed and fewer controls: every part of it over two processes, and its page."""
    monkeypatch.chdir(REPOSITORY)
    fewer = ['controls=["rewired"]', 'graphs.planted.parts.each.controls=["size_matched", "dense"]']
    command = ["bench", "suite", "benchmarks/sources/smoke.toml", "seeds=1", *fewer, "--quiet"]
    assert main([*command, "--processes", "2", "--out", str(tmp_path)]) == 0
    assert "| sim | de | planted | propagation |" in capsys.readouterr().out
    statistics = pd.read_csv(tmp_path / "statistics.csv")
    assert set(statistics["kind"]) >= {"score", "control", "model", "leave_one_out"}
    hub = statistics.query("kind == 'score' and against == 'dense' and model == 'knn'")["value"]
    assert hub.to_numpy() == pytest.approx(0.5)
    runs = finished(tmp_path)
    assert {run["hardware"]["threads"] for run in runs.values()} == {1}
    assert (tmp_path / "index.html").exists()
