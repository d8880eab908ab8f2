"""Two processes on one machine: what one process does on the same batches, and what happens when one dies."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

SCRIPT = Path(__file__).with_name("two_processes.py")
pytestmark = pytest.mark.slow


def run(out: Path, processes: int, kill_at: str = "none", resume: str = "new") -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    for name in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "NODE_RANK"):
        environment.pop(name, None)
    command = [sys.executable, str(SCRIPT), str(out), str(processes), kill_at, resume]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def taken(out: Path, rank: int) -> list[list[int]]:
    return [json.loads(line) for line in Path(f"{out.parent / out.name}.taken.{rank}").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, processes in (("one", 1), ("two", 2)):
        done = run(folder / name, processes)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["steps", "11"]
    return folder


def test_two_processes_learn_what_one_does(runs) -> None:
    one, two = (pd.read_csv(runs / name / "metrics.csv") for name in ("one", "two"))
    for name in ("train/loss", "val/loss", "lr"):
        pd.testing.assert_series_equal(one[name], two[name], rtol=1e-4)
    weights = [torch.load(runs / name / "weights.pt") for name in ("one", "two")]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-4, atol=1e-5)


def test_processes_cover_each_sample_once(runs) -> None:
    rounds = [a + b for a, b in zip(taken(runs / "two", 0), taken(runs / "two", 1), strict=True)]
    assert rounds == taken(runs / "one", 0)
    order = [sample for one in rounds for sample in one]
    for epoch in range(3):
        assert sorted(order[28 * epoch : 28 * (epoch + 1)]) == list(range(28))


def test_a_killed_process_ends_the_run_and_it_resumes(runs) -> None:
    began = time.monotonic()
    killed = run(runs / "killed", 2, kill_at="7")
    assert killed.returncode != 0
    assert time.monotonic() - began < 120
    assert (runs / "killed" / "checkpoints" / "last.ckpt").exists()
    done = run(runs / "killed", 2, resume="resume")
    assert done.returncode == 0, done.stderr
    weights = [torch.load(runs / name / "weights.pt") for name in ("two", "killed")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
