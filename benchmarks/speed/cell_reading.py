"""Rates of reading sets of cells, in one interleaved run: from memory, streamed from disk, and by random backed reads.

python benchmarks/speed/cell_reading.py FILE.h5ad [--make CELLS] [--stream-only]

``--make`` writes FILE first: random sparse counts over 2,000 genes, 5 % of them not zero, 200 perturbations and 10
batches, cells in random order. ``--stream-only`` streams all of it once and prints the peak memory of the process.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np

from gnnvcell.data import Cells
from gnnvcell.data.cell_sets import CellSetConfig, CellSets, open_stream
from gnnvcell.testing.random_screen import write_random_screen

GENES = 2000
SCREEN = {"genes": GENES, "density": 0.05, "perturbations": 200, "batches": 10, "controls": 0.05, "block": 20_000}
SUBSET = tuple(f"G{i}" for i in range(0, GENES, 2))
ROUNDS = 5


def rate(read: Callable[[], int]) -> float:
    start = time.perf_counter()
    return read() / (time.perf_counter() - start)


def streamed(path: Path, most: int) -> int:
    cells = 0
    for item in open_stream([path], CellSetConfig(set_size=64, genes=SUBSET)):
        cells += len(item["mask"])
        if cells >= most:
            break
    return cells


def random_backed(path: Path, most: int) -> int:
    """One set after another, its rows looked up in the file, as a map-style loader over a backed AnnData does it."""
    adata = ad.read_h5ad(path, backed="r")
    rng, columns = np.random.default_rng(0), np.arange(0, GENES, 2)
    for _ in range(most // 64):
        rows = np.sort(rng.choice(adata.n_obs, 64, replace=False))
        block = adata.X[rows].toarray()  # pyright: ignore[reportOptionalSubscript, reportAttributeAccessIssue]
        np.log1p(block / np.maximum(block.sum(axis=1, keepdims=True), 1) * 1e4)[:, columns]
    return most // 64 * 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--make", type=int)
    parser.add_argument("--stream-only", action="store_true")
    arguments = parser.parse_args()
    if arguments.make:
        write_random_screen(arguments.path, arguments.make, **SCREEN)
    if arguments.stream_only:
        found = rate(lambda: streamed(arguments.path, 1 << 60))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"streamed whole: {found:,.0f} cells/s, peak memory {peak:.2f} GiB")
        return
    sets = CellSets(Cells.open(arguments.path).take_cells(np.arange(100_000)), CellSetConfig(set_size=64, genes=SUBSET))
    batches = [np.arange(i, i + 16) for i in range(0, len(sets) - 16, 16)]
    sets.take(batches[0])
    readers: dict[str, Callable[[], int]] = {
        # Perturbed and control cells are both gathered: 2 x 64 cells a set.
        "in memory": lambda: 2 * 64 * 16 * sum(len(sets.take(part)["mask"]) // 16 for part in batches),
        "streamed": lambda: streamed(arguments.path, 200_000),
        "random backed": lambda: random_backed(arguments.path, 6400),
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(ROUNDS):
        for name, read in readers.items():
            rates[name].append(rate(read))
    for name, found in rates.items():
        print(f"{name}: {np.median(found):,.0f} cells/s ({min(found):,.0f} to {max(found):,.0f})")
    ratios = [a / b for a, b in zip(rates["streamed"], rates["random backed"], strict=True)]
    print(f"streamed / random backed: {np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
