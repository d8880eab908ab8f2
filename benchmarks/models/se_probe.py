"""Does SE pre-training help to tell cell types apart? A linear probe against PCA on simulated screens.

Shallow cells of several cell types, in batches that differ as well. A model learns from all cells without
labels; then a logistic regression learns the cell type of a few cells from their embeddings and is asked about the
rest. PCA (of standardised log1p expression, all cells) has as many dimensions as the cell embedding.

    OMP_NUM_THREADS=1 python benchmarks/models/se_probe.py --out benchmarks/results/se_probe.md
"""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from gnnvcell.data.simulator import ScreenConfig, simulate_screen
from gnnvcell.files import write_text
from gnnvcell.graphs import build
from gnnvcell.models.state_embedding import PretrainingConfig, StateEmbedding, embed_cells, pretrain
from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells

WIDTH = 32
LABELLED = (3, 10, 30)  # cells of each type that the probe sees
PROBES = 5  # draws of these cells
BATCH = 16
WORLD = {
    "genes": 100, "modules": 5, "targets": 4, "cells_per_target": 5, "control_cells": 100, "batches": 4,
    "batch_effect": 0.2, "program_noise": 0.2, "mean_depth": 300.0,
}  # fmt: skip
SCREEN = {"cell_types": 6}
MODEL = {
    "width": 48, "layers": 2, "heads": 4, "hidden": 96, "output": WIDTH, "bin_hidden": 64, "decoder_hidden": 48,
    "use_esm": False, "sentences": {"length": 100, "expressed": 0, "sampled": 0, "shared": 100},
}  # fmt: skip


def settings(seed: int, steps: int, **model: object) -> PretrainingConfig:
    fit = {"max_steps": steps, "val_every": max(1, steps // 4), "optimizer": {"lr": 3e-3}, "seed": seed}
    config = {"model": {**MODEL, **model}, "fit": fit, "batch_size": BATCH, "dataset": "batch"}
    return PretrainingConfig.parse(config)


def representations(folder: Path, seed: int, steps: int) -> tuple[dict[str, NDArray], NDArray]:
    """Name to (cells, width), and the cell types."""
    cells = ExpressedCells.of(folder / "cells.h5ad")
    graph = build(folder / "recipe.toml", source_dir=folder, progress=False)
    expression = StandardScaler().fit_transform(cells.take(np.arange(len(cells))).toarray())
    made = {f"PCA, {WIDTH}": PCA(WIDTH, random_state=seed).fit_transform(expression)}
    untrained = settings(seed, steps).model
    model = StateEmbedding(cells.genes, untrained, graph=graph, datasets=("one", "two"), seed=seed)
    made["SE, not trained"] = embedded(model, folder)
    for loss in ("energy", "mse"):
        config = settings(seed, steps, loss=loss)
        made[f"SE, {loss}"] = embedded(pretrain(folder / "cells.h5ad", config, graph=graph, progress=False), folder)
    both = [made[f"PCA, {WIDTH}"], made["SE, mse"]]
    made["PCA and SE, mse"] = np.hstack([part / part.std() for part in both])
    return made, cells.labels("cell_type")


def embedded(model: StateEmbedding, folder: Path) -> NDArray:
    """The decoded [CLS] alone: the dataset embedding stands for what is not the cell."""
    return embed_cells(model, folder / "cells.h5ad", batch_size=128, progress=False)[:, :WIDTH]


def probe(values: NDArray, labels: NDArray, per_type: int, seed: int) -> float:
    """Accuracy over the cells that the probe did not see, types weighted alike."""
    rng = np.random.default_rng([seed, per_type])
    seen = np.concatenate([rng.choice(np.flatnonzero(labels == kind), per_type, False) for kind in np.unique(labels)])
    rest = np.setdiff1d(np.arange(len(labels)), seen)
    scaler = StandardScaler().fit(values[seen])
    fitted = LogisticRegression(max_iter=2000).fit(scaler.transform(values[seen]), labels[seen])
    right = fitted.predict(scaler.transform(values[rest])) == labels[rest]
    return float(np.mean([right[labels[rest] == kind].mean() for kind in np.unique(labels)]))


def run(seeds: int, steps: int) -> pd.DataFrame:
    """One row per seed, representation and number of labelled cells."""
    rows = []
    for seed in range(seeds):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as name:
            config = ScreenConfig.parse({**SCREEN, "world": {**WORLD, "seed": seed}})
            folder = simulate_screen(Path(name) / "screen", config, progress=False)
            made, labels = representations(folder, seed, steps)
        for name, values in made.items():
            for count in LABELLED:
                accuracy = np.mean([probe(values, labels, count, draw) for draw in range(PROBES)])
                rows.append({"seed": seed, "representation": name, "labelled": count, "accuracy": accuracy})
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return pd.DataFrame(rows)


def report(results: pd.DataFrame, steps: int, seconds: float) -> str:
    pca = f"PCA, {WIDTH}"
    lines = [
        "# SE pre-training against PCA: a linear probe of cell type on simulated screens\n",
        f"{SCREEN['cell_types']} cell types, {WORLD['genes']} genes, {WORLD['mean_depth']:.0f} counts a cell, 4 "
        f"batches; {results['seed'].nunique()} seeds, each with a world, first weights and draws of its own. Accuracy "
        f"over cells without label, mean +- standard deviation over seeds; in brackets the paired difference to {pca}, "
        f"mean +- standard error, and in how many seeds it is above 0. SE: {steps} steps of {BATCH} cells.\n",
        "| representation | " + " | ".join(f"{count} labelled cells a type" for count in LABELLED) + " |",
        "|---|" + "---|" * len(LABELLED),
    ]
    table = results.pivot_table(index=["representation", "labelled"], columns="seed", values="accuracy", sort=False)
    for name in results["representation"].unique():
        lines.append(f"| {name} | " + " | ".join(_cell(table, name, count, pca) for count in LABELLED) + " |")
    seeds = results["seed"].nunique()
    command = f"OMP_NUM_THREADS=1 python benchmarks/models/se_probe.py --seeds {seeds} --steps {steps}"
    where = f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}"
    lines.append(f"\n`{command}`: {seconds:.0f} s in all, {where}.\n")
    return "\n".join(lines)


def _cell(table: pd.DataFrame, name: str, count: int, pca: str) -> str:
    values = table.loc[(name, count)].to_numpy(float)
    text = f"{values.mean():.3f} +- {values.std(ddof=1):.3f}"
    if name == pca:
        return text
    difference = values - table.loc[(pca, count)].to_numpy(float)
    error = difference.std(ddof=1) / len(difference) ** 0.5
    return f"{text} ({difference.mean():+.3f} +- {error:.3f}; {int((difference > 0).sum())}/{len(difference)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    text = report(run(options.seeds, options.steps), options.steps, time.perf_counter() - start)
    if options.out:
        write_text(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
