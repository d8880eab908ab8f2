"""Time and memory of ST as the number of cells grows: one pass of training over synthetic cells, then predictions.

Every size runs in a process of its own, from a file that was written block by block. Reading is timed apart.

    OMP_NUM_THREADS=1 python benchmarks/models/st_growth.py --folder FOLDER
"""

import argparse
import multiprocessing
import resource
import time
from pathlib import Path

import anndata as ad
import numpy as np
import torch

from gnnvcell.data import Cells
from gnnvcell.models import StateTransition, StateTransitionConfig
from gnnvcell.testing.random_graph import random_graph
from gnnvcell.testing.random_screen import write_random_screen

SIZES = (1_000, 10_000, 100_000, 1_000_000)
GENES = 500
SCREEN = {"genes": GENES, "density": 0.1, "perturbations": 50, "batches": 4, "controls": 0.1, "block": 50_000}
DEGREE = 10
SETTINGS = {"encoders": ["graph"], "validation": 0.0, "spectral_dim": 16}


def measure(path: str, out: str, results: "multiprocessing.Queue[dict[str, float]]") -> None:
    """Read, train for one pass, predict all perturbations."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    cells = Cells.of(ad.read_h5ad(path))
    read = time.perf_counter() - start
    training = {"max_steps": 1_000_000, "max_epochs": 1, "loggers": []}
    model = StateTransition(
        StateTransitionConfig.preset("tiny", **SETTINGS, training=training), graph=random_graph(GENES, DEGREE)
    )
    model.fit(cells.take_cells(np.arange(SIZES[0])), out_dir=f"{out}_first")  # what is loaded once is loaded here
    start = time.perf_counter()
    model.fit(cells, out_dir=out)
    trained = time.perf_counter() - start
    start = time.perf_counter()
    model.predict([str(name) for name in cells.perturbations])
    predicted = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    results.put({"cells": len(cells), "read": read, "train": trained, "predict": predicted, "peak": peak})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--folder", type=Path, required=True, help="for the files and runs")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    print("| cells | read s | train s, one pass | us a cell | predict s | peak GiB |\n|---|---|---|---|---|---|")
    for size in given.sizes:
        path = given.folder / f"{size}.h5ad"
        if not path.exists():
            write_random_screen(path, size, **SCREEN)
        results = context.Queue()
        process = context.Process(target=measure, args=(str(path), str(given.folder / f"run{size}"), results))
        process.start()
        found = results.get()
        process.join()
        each = 1e6 * found["train"] / found["cells"]
        print(
            f"| {size:,} | {found['read']:.1f} | {found['train']:.1f} | {each:.0f} | {found['predict']:.1f} "
            f"| {found['peak']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
