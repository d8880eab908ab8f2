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
import pandas as pd
import scipy.sparse as sp
import torch

from gnnvcell.data import Cells
from gnnvcell.data.cell_writer import open_writer
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import StateTransition, StateTransitionConfig

SIZES = (1_000, 10_000, 100_000, 1_000_000)
GENES, DENSITY, PERTURBATIONS, BATCHES, BLOCK = 500, 0.1, 50, 4, 50_000
EDGES = 10  # of each gene
SETTINGS = {"encoders": ["graph"], "validation": 0.0, "spectral_dim": 16}


def make(path: Path, cells: int) -> None:
    """Random sparse counts; a perturbation silences its gene."""
    rng = np.random.default_rng(0)
    names = ["non-targeting", *(f"G{i}" for i in range(PERTURBATIONS))]
    label = np.where(rng.random(cells) < 0.1, 0, rng.integers(1, PERTURBATIONS + 1, cells))
    batch = pd.Categorical.from_codes(rng.integers(0, BATCHES, cells), [f"b{i}" for i in range(BATCHES)])
    obs = pd.DataFrame(
        {"target_gene": pd.Categorical.from_codes(label, names), "batch": batch},
        index=pd.Index([str(i) for i in range(cells)]),
    )
    with open_writer(path, GENES, compression=None) as writer:
        for start in range(0, cells, BLOCK):
            shape = (min(BLOCK, cells - start), GENES)
            block = sp.random(*shape, density=DENSITY, format="csr", random_state=rng, dtype=np.float32)  # pyright: ignore[reportCallIssue]
            block.data = np.floor(block.data * 9) + 1
            writer.append(sp.csr_array(block))
        writer.finish(obs, pd.DataFrame(index=pd.Index([f"G{i}" for i in range(GENES)])), {})


def graph() -> GeneGraph:
    rng, names = np.random.default_rng(0), np.array([f"G{i}" for i in range(GENES)])
    pairs = np.unique(np.sort(rng.integers(0, GENES, (EDGES * GENES // 2, 2)), axis=1), axis=0)
    src, dst = pairs[pairs[:, 0] < pairs[:, 1]].T
    table = EdgeTable(
        ("gene", "string", "gene"), src, dst, np.ones(len(src), np.float32), names, names, directed=False
    )
    return GeneGraph.from_tables([table], GeneVocab.from_symbols(names, renamings=False), {})


def measure(path: str, out: str, results: "multiprocessing.Queue[dict[str, float]]") -> None:
    """Read, train for one pass, predict all perturbations."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    cells = Cells.of(ad.read_h5ad(path))
    read = time.perf_counter() - start
    training = {"max_steps": 1_000_000, "max_epochs": 1, "loggers": []}
    model = StateTransition(StateTransitionConfig.preset("tiny", **SETTINGS, training=training), graph=graph())
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
            make(path, size)
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
