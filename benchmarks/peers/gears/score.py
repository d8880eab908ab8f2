"""Scores effects that GEARS predicted as rows of the cell task, beside "no change" and the mean training effect.

python benchmarks/peers/gears/score.py papalexi|norman FOLDER [--name gears] [--draws 3] [--cells DIR] [--out OUT.csv]

The rows can be put beside those of ``gnnvcell bench cells``: effects of the same held-out perturbations, against the
same halves of the controls, as ``gnnvcell.tasks.held_out_cells`` scores them.
"""

import argparse
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from prepare import DATA, condition  # pyright: ignore[reportMissingImports]
from protocol import SCREENS, effects_file, load_task  # pyright: ignore[reportMissingImports]

from gnnvcell.bench.cells import format_cells, summarise_cells
from gnnvcell.models.base import Prediction
from gnnvcell.tasks.held_out_cells import HeldOutCells

GROUPS = {
    "papalexi": {
        "strong7": ("IFNGR1", "IFNGR2", "JAK2", "STAT1", "SMAD4", "IRF1", "BRD4"),
        "ifn4": ("IFNGR1", "IFNGR2", "JAK2", "STAT1"),
        "other3": ("SMAD4", "IRF1", "BRD4"),
    },
    "norman": {},
}
"""Strata that the protocol names (FIELD.md, section 9), beside "null" and "all"."""

COSTS = ("cpu_seconds", "peak_mib", "parameters")  # in the files of run.py

CONSTANTS = ("no_change", "perturbation_mean")


def prediction_of(task: HeldOutCells, folder: Path, name: str, draw: int, group: int) -> Prediction:
    """The effects of a run; genes that were not predicted do not change."""
    held_out, train = task.groups[group], task.inputs(draw, task.groups[group]).train
    values = np.zeros((len(held_out.test), len(train.genes)), dtype=np.float32)
    if name == "perturbation_mean":
        values += train.values.sum(axis=0) / np.maximum(train.measured.sum(axis=0), 1)
    elif name != "no_change":
        effects: Any = ad.read_h5ad(effects_file(folder, name, draw, group))
        asked = [condition(perturbation) for perturbation in held_out.test]
        place = {gene: at for at, gene in enumerate(train.genes.tolist())}
        values[:, [place[gene] for gene in effects.var_names]] = effects[asked].X
    return Prediction(values, np.array(held_out.test), train.genes, np.ones(len(values), dtype=np.float32))


def rows_of(task: HeldOutCells, folder: Path, name: str) -> pd.DataFrame:
    """Scores of every held-out perturbation in every draw."""
    found = []
    for draw in range(task.splits):
        for group, held_out in enumerate(task.groups):
            prediction = prediction_of(task, folder, name, draw, group)
            found.append(task.evaluate(prediction, draw, held_out))
    return pd.concat(found).assign(model=name, graph="-", control="real", seconds=float("nan"))


def costs(task: HeldOutCells, folder: Path, name: str) -> str:
    """Median CPU seconds, peak memory and parameters of the runs."""
    runs = [(draw, group) for draw in range(task.splits) for group in range(len(task.groups))]
    found = [ad.read_h5ad(effects_file(folder, name, *run)).uns for run in runs]
    seconds, peak, parameters = (np.median([run[key] for run in found]) for key in COSTS)
    return f"{name}: {seconds:.0f} CPU seconds a run, {peak:,.0f} MiB, {parameters:,.0f} parameters"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("screen", choices=SCREENS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", nargs="+", default=["gears"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--cells", type=Path, default=DATA / "cells")
    parser.add_argument("--out", type=Path, help="rows as a table of comma-separated values")
    arguments = parser.parse_args()
    task = load_task(arguments.cells, arguments.screen, arguments.draws)
    scores = pd.concat(
        [rows_of(task, arguments.folder, name) for name in (*CONSTANTS, *arguments.name)], ignore_index=True
    )
    stratum = task.strata()
    nulls = {"null": [name for name, kind in stratum.items() if kind == "null"]}
    print(format_cells(summarise_cells(scores, {**GROUPS[arguments.screen], **nulls}, task.ceiling())))
    print("\n".join(costs(task, arguments.folder, name) for name in arguments.name))
    if arguments.out:
        scores.to_csv(arguments.out, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
