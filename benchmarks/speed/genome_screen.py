"""A screen of the whole genome by propagation: time and peak memory of fitting, of predicting and of the store.

OMP_NUM_THREADS=2 python benchmarks/speed/genome_screen.py GRAPH [--train 100 250] [--perturbations 19790]

GRAPH is a folder of ``gnnvcell graph build benchmarks/sources/perturbqa.toml``. Effects of so many training
perturbations on as many readout genes as are screened are drawn: what a gene's neighbours in the graph are under a
perturbation is part of its effect, the rest is noise. Every number of training perturbations has a process of its own,
whose peak memory counts the fit too. One line for each goes into the table.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gnnvcell.data.effects import EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import Propagation
from gnnvcell.screens.genome import GenomeConfig, screen_genome

ASKED_SECONDS, ASKED_GIB = 300, 8


def drawn(graph: GeneGraph, genes: np.ndarray, train: int, *, control: bool, seed: int = 0) -> EffectTable:
    """(train, genes) effects that go from a target to its neighbours, of kind "delta", own targets not measured."""
    rng = np.random.default_rng(seed)
    string = graph.select("string").adjacency("string")
    linked = np.flatnonzero(np.diff(string.indptr) > 3)
    place = {symbol: at for at, symbol in enumerate(graph.vocab.symbols.tolist())}
    columns = np.array([place[name] for name in genes.tolist()])
    targets = rng.choice(np.intersect1d(linked, columns), train, replace=False)
    reached = string[targets] + 0.3 * (string[targets] @ string).multiply(1 / (1 + np.asarray(string.sum(axis=1)).T))
    values = 0.5 * reached.toarray()[:, columns] * rng.choice([-1, 1], len(columns)) + rng.normal(
        0, 0.1, (train, len(columns))
    )
    measured = columns[None] != targets[:, None]
    expression = {"cell": rng.gamma(0.5, 1.0, len(columns))} if control else None
    symbols = np.asarray(graph.vocab.symbols)
    return EffectTable(
        values.astype(np.float32), measured, symbols[targets], genes, kind="delta", context="cell", control=expression
    )


def measured_once(args: argparse.Namespace) -> dict[str, float]:
    graph = GeneGraph.load(args.graph)
    genes = np.asarray(graph.vocab.symbols[: args.perturbations])
    table = drawn(graph, genes, args.train[0], control=args.control)
    begun = time.perf_counter()
    model = Propagation().fit(table, graph, seed=0)
    fitted = time.perf_counter()
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=args.out))
    busy = time.process_time()
    path = screen_genome(
        model, folder / "screen.zarr", genes, config=GenomeConfig(rows=args.rows, dtype=args.dtype), progress=True
    )
    ended, worked = time.perf_counter(), time.process_time()
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "train": args.train[0], "genes": len(genes), "fit": fitted - begun, "screen": ended - fitted,
        "cpu": worked - busy, "peak": peak, "store": size / 2**30, "threads": torch.get_num_threads(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph")
    parser.add_argument("--train", type=int, nargs="+", default=[100, 250])
    parser.add_argument("--perturbations", type=int, default=19790)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--control", action="store_true", help="with the expression of control cells")
    parser.add_argument("--out", type=Path, default=None, help="where the store goes while it is measured")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(json.dumps(measured_once(args)))
        return
    print("| training perturbations | store | fit | screen | CPU of the screen | peak memory | asked for | |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    rest = sys.argv[1:]
    for train in args.train:
        command = [sys.executable, __file__, *rest, "--once", "--train", str(train)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        met = found["screen"] < ASKED_SECONDS and found["peak"] < ASKED_GIB
        print(
            f"| {train} | {found['genes']:,} x {found['genes']:,} {args.dtype}, {found['store']:.2f} GiB "
            f"| {found['fit']:.0f} s | {found['screen']:.0f} s | {found['cpu']:.0f} s | {found['peak']:.1f} GiB "
            f"| {ASKED_SECONDS} s, {ASKED_GIB} GiB | {'met' if met else '**missed**'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
