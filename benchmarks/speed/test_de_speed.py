"""Differential expression of 20,000 cells x 2,000 genes x 100 perturbations against pdex.

    pytest benchmarks/speed/test_de_speed.py --benchmark-only -s

Both sides take the same AnnData and give a table of the same columns; they run turn by turn in one process, and their p
values, statistics and false discovery rates are compared in the run. ``GNNVCELL_BENCH_CELLS`` makes the file smaller.
"""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from contest import RESULTS, Outcome, compete  # pyright: ignore[reportMissingImports]
from scored_cells import COLUMN, CONTROL, simulated_pair  # pyright: ignore[reportMissingImports]

from gnnvcell.data.differential import differential_expression

CELLS = int(os.environ.get("GNNVCELL_BENCH_CELLS", 20_000))
FULL_SIZE = 20_000
ROUNDS = 5


@pytest.fixture(scope="module")
def screen() -> ad.AnnData:
    return simulated_pair(CELLS)[1]


def ours(cells: ad.AnnData, threads: int) -> pd.DataFrame:
    found = differential_expression(
        cells, perturbation_key=COLUMN, control=CONTROL, batch_key=None, min_cells=1, assume="log1p", threads=threads
    )
    return found.table()


def theirs(cells: ad.AnnData, threads: int) -> pd.DataFrame:
    pdex = pytest.importorskip("pdex", reason="pip install pdex==0.3.0 to race it")
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        return pdex.pdex(
            cells, COLUMN, reference=CONTROL, threads=threads, is_log1p=True, epsilon=0.0, as_pandas=True
        )


@pytest.mark.benchmark(group="differential expression")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_differential_expression_against_pdex(benchmark, screen: ad.AnnData, layout: str, threads: int) -> None:
    cells = screen.copy()
    if layout == "dense":
        cells.X = cells.X.toarray()  # type: ignore[union-attr]
    mine, other = ours(cells, threads), theirs(cells, threads)
    assert mine["feature"].tolist() == other["feature"].tolist()
    for name in ("p_value", "fdr", "statistic"):
        np.testing.assert_allclose(mine[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)
    outcome = compete(
        lambda: ours(cells, threads),
        lambda: theirs(cells, threads),
        case=f"differential expression, {CELLS:,} x {cells.n_vars:,}, 100 perturbations, {layout}",
        rival="pdex",
        target=1.0,
        threads=threads,
        rounds=ROUNDS,
    )
    benchmark.pedantic(ours, args=(cells, threads), rounds=3)
    if CELLS >= FULL_SIZE:
        assert outcome.ratio >= 1


def _memory(key: str) -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status[key].split()[0])


def added_memory(path: str, side: str) -> float:
    """Peak MiB of one run beside the cells, the compiled code and the table that is given back."""
    cells, run = ad.read_h5ad(path), ours if side == "ours" else theirs
    labels = cells.obs[COLUMN].to_numpy(dtype=str)
    run(cells[np.isin(labels, [CONTROL, labels[0]])].copy(), 1)
    before = _memory("VmRSS")
    table = run(cells, 1)
    return (_memory("VmHWM") - before - int(table.memory_usage().sum())) / 2**20


@pytest.mark.benchmark(group="differential expression, memory")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_of_differential_expression(benchmark, screen: ad.AnnData, tmp_path: Path) -> None:
    """Each in a process of its own that reads the file and does nothing else."""
    pytest.importorskip("pdex", reason="pip install pdex==0.3.0 to race it")
    screen.write_h5ad(tmp_path / "screen.h5ad")

    def asked(side: str) -> float:
        command = [sys.executable, __file__, str(tmp_path / "screen.h5ad"), side]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    mine, other = benchmark.pedantic(asked, args=("ours",), rounds=1), asked("theirs")
    case, ratio = "differential expression, sparse, memory", np.array([other / mine])
    RESULTS.append(Outcome(case, "pdex", 1, mine, other, ratio, None, "MiB"))


if __name__ == "__main__":
    print(added_memory(sys.argv[1], sys.argv[2]))
