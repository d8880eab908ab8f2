import json

from gnnvcell.bench.store import RunStore


def test_a_finished_run_is_not_repeated_after_a_restart(tmp_path) -> None:
    calls = []

    def run():
        calls.append(1)
        return {"metrics": {"per_gene_auroc": 0.7}, "seconds": 1.0}

    first = RunStore(tmp_path).get_or_run("a", run)
    again = RunStore(tmp_path).get_or_run("a", run)
    assert first == again
    assert len(calls) == 1


def test_a_damaged_file_is_done_again(tmp_path) -> None:
    (tmp_path / "a.json").write_text('{"metrics": {')
    result = RunStore(tmp_path).get_or_run("a", lambda: {"metrics": {}, "seconds": 2.0})
    assert result["seconds"] == 2.0
    assert json.loads((tmp_path / "a.json").read_text())["seconds"] == 2.0


def test_without_a_folder_runs_are_kept_in_memory(tmp_path) -> None:
    store, calls = RunStore(None), []
    for _ in range(2):
        store.get_or_run("a", lambda: calls.append(1) or {"metrics": {}, "seconds": 0.0})
    assert len(calls) == 1
    assert not list(tmp_path.iterdir())
