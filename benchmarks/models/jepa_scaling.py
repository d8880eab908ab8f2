"""Time and memory of a step of a JEPA as the number of genes grows, with linear and with quadratic attention.

A step is the loss of a batch, its gradients, and the optimiser's step; every size runs in a process of its own. Times
are medians; those of all sizes are taken in turns, so that whatever else the machine does falls on all of them.

    OMP_NUM_THREADS=1 python benchmarks/models/jepa_scaling.py --out benchmarks/results/jepa_scaling.md
"""

import argparse
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from typing import Any

import torch

from gnnvcell import keys
from gnnvcell.files import write_text
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.jepa import JepaConfig, JepaFacts, JepaNetwork
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.perturbation import Perturbation
from gnnvcell.testing.random_graph import random_graph

SIZES = (1024, 2048, 4096, 8192, 16384)
QUADRATIC = 4096  # the largest size that softmax attention is timed at
RECOMPUTED = 8192  # the smallest size at which recomputed layers are
DEGREE = 25  # as STRING has above a confidence of .9 or so
SETS, CELLS = 1, 2
STAGES = ("pretrain", "action")


def batch_of(graph: GeneGraph, genes: int, device: str) -> dict[str, Any]:
    given = [Perturbation.parse(f"G{i}|CRISPRi") for i in range(SETS)]
    cells = {name: torch.rand(SETS, CELLS, genes) for name in (keys.CONTROL_CELLS, keys.PERTURBED_CELLS)}
    totals = {name: torch.full((SETS, CELLS), 9.0) for name in (keys.CONTROL_LOG_TOTAL, keys.PERTURBED_LOG_TOTAL)}
    conditions = PerturbationBatch.of(given, genes=graph.vocab).to(device)
    field = torch.randn(SETS, genes + 1).abs()
    mask = torch.ones(SETS, CELLS, dtype=torch.bool)
    tensors = {**cells, **totals, keys.CELL_MASK: mask, keys.FIELD: field}
    return {**{name: value.to(device) for name, value in tensors.items()}, keys.CONDITIONS: conditions}


def serve(connection: Any, genes: int, settings: dict[str, Any], device: str) -> None:
    """Make a network, and take a step of a stage for each message; answer with its seconds, or at the end with GiB."""
    torch.set_num_threads(1)
    graph = random_graph(genes, DEGREE)
    network = JepaNetwork(
        JepaConfig.preset("graph", **settings), JepaFacts(list(graph.vocab.symbols), graph.vocab, graph=graph)
    ).to(device)
    batch = batch_of(graph, genes, device)
    optimisers = {}
    for stage in STAGES:
        network.set_stage(stage)
        optimisers[stage] = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    while (stage := connection.recv()) is not None:
        network.set_stage(stage)
        network.train()
        start = time.perf_counter()
        network.loss(batch)["loss"].backward()
        optimisers[stage].step()
        optimisers[stage].zero_grad()
        network.after_step()
        if device == "cuda":
            torch.cuda.synchronize()
        connection.send(time.perf_counter() - start)
    on_cuda = device == "cuda" and torch.cuda.max_memory_allocated()
    connection.send((on_cuda or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**30)


def measured(arms: dict[str, tuple[int, dict[str, Any]]], rounds: int, device: str) -> dict[str, tuple[float, ...]]:
    """Arm to the median seconds of a step of each stage, and the peak memory of its process in GiB."""
    context, ends, workers = multiprocessing.get_context("spawn"), {}, []
    for name, (genes, settings) in arms.items():
        ends[name], other = context.Pipe()
        workers.append(context.Process(target=serve, args=(other, genes, settings, device), daemon=True))
        workers[-1].start()
    seconds: dict[str, dict[str, list[float]]] = {name: {stage: [] for stage in STAGES} for name in arms}
    for number in range(rounds + 1):
        for name, end in ends.items():
            for stage in STAGES:
                end.send(stage)
                taken = end.recv()
                if number:  # the first is to warm up
                    seconds[name][stage].append(taken)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    found = {}
    for name, end in ends.items():
        end.send(None)
        found[name] = (*(statistics.median(seconds[name][stage]) for stage in STAGES), end.recv())
    for worker in workers:
        worker.join()
    return found


def table(found: dict[str, tuple[float, ...]], arms: dict[str, tuple[int, dict[str, Any]]]) -> str:
    """One row for each size; times a gene against those of the smallest size of the same attention."""
    lines = [
        "| attention | genes | pretrain ms | action ms | us a gene and cell, pretrain | against the first | GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    first: dict[str, float] = {}
    for name, (pretrain, action, memory) in found.items():
        genes, kind = arms[name][0], name.split(",")[0]
        each = 1e6 * pretrain / genes / (2 * SETS * CELLS)
        ratio = each / first.setdefault(kind, each)
        lines.append(
            f"| {kind} | {genes:,} | {1e3 * pretrain:.0f} | {1e3 * action:.0f} | {each:.1f} | {ratio:.2f} "
            f"| {memory:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", help="Markdown file to write")
    given = parser.parse_args()
    arms: dict[str, tuple[int, dict[str, Any]]] = {}
    for kind, settings in (
        ("linear", {"attention": "linear"}),
        ("linear with recomputed layers", {"attention": "linear", "checkpoint_layers": True}),
        ("softmax", {"attention": "softmax"}),
    ):
        for genes in given.sizes:
            fits = {"softmax": genes <= QUADRATIC, "linear": True}
            if fits.get(kind, genes >= RECOMPUTED):
                arms[f"{kind}, {genes}"] = (genes, {**settings, "genes": None, "pretrain_cells": None, "dropout": 0.0})
    found = measured(arms, given.rounds, given.device)
    where = torch.cuda.get_device_name() if given.device == "cuda" else f"{platform.machine()}, 1 thread"
    text = "\n\n".join(
        [
            "# A step of a JEPA as genes grow",
            f"Written by `OMP_NUM_THREADS=1 python benchmarks/models/jepa_scaling.py --rounds {given.rounds} "
            f"--device {given.device} --out FILE` on {where}, torch {torch.__version__}; medians of {given.rounds} "
            "rounds in which all sizes take turns.",
            f"The preset `graph` (width 64, 2 layers of encoder and predictor), {SETS} sets of {CELLS} cells and as "
            f"many controls, without dropout, a graph of {EDGES} edges for each gene. GiB is the peak of the whole "
            "process.",
            table(found, arms),
        ]
    )
    print(text)
    if given.out:
        write_text(given.out, text + "\n")


if __name__ == "__main__":
    main()
