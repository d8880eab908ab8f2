"""Scores predicted cells as rows of the cell task (``gnnvcell bench cells --protocol folds``).

python benchmarks/peers/arc_state/score.py CELLS.h5ad FOLDER [--name onehot ...] [--out OUT]

A perturbation's effect is the mean of its predicted cells less the mean of the training half of the controls, by the
batches of its cells; the truth is taken against the other half (``gnnvcell.tasks.held_out_cells``). Beside arc-state's
rows stand "no change" and the mean of the training effects, scored in the same call.
"""

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from protocol import (  # pyright: ignore[reportMissingImports]
    CONTROL,
    SPLIT,
    cells_file,
    load_task,
    predictions_file,
)

from gnnvcell.bench.cells import format_cells, summarise_cells
from gnnvcell.data import Cells
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.models.base import Prediction
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import HeldOutGroup

GROUPS = {
    "strong7": ("IFNGR1", "IFNGR2", "JAK2", "STAT1", "SMAD4", "IRF1", "BRD4"),
    "ifn4": ("IFNGR1", "IFNGR2", "JAK2", "STAT1"),
    "other3": ("SMAD4", "IRF1", "BRD4"),
}
"""Strata of Papalexi that the protocol names (FIELD.md, section 9)."""

CONSTANTS = ("no_change", "perturbation_mean")


def predicted_effects(predicted: ad.AnnData, controls: ad.AnnData, genes: np.ndarray) -> Prediction:
    """Effects of predicted cells against given controls; genes that were not predicted do not change."""
    together = ad.concat([predicted, controls[:, predicted.var_names]])
    together.X, together.uns["log1p"] = sp.csr_matrix(together.X), {}
    found = cell_effects(Cells.of(together), keep_targets=True)
    place = {gene: at for at, gene in enumerate(genes.tolist())}
    values = np.zeros((len(found.perturbations), len(genes)), dtype=np.float32)
    values[:, [place[gene] for gene in found.genes.tolist()]] = found.values
    return Prediction(values, found.perturbations, genes, np.ones(len(values), dtype=np.float32))


def constant(task: HeldOutCells, group: HeldOutGroup, *, mean: bool) -> Prediction:
    """No change, or the mean of the training effects."""
    train = task.inputs(SPLIT, group).train
    one = train.values.sum(axis=0) / np.maximum(train.measured.sum(axis=0), 1) if mean else np.zeros(len(train.genes))
    values = np.tile(one.astype(np.float32), (len(group.test), 1))
    return Prediction(values, np.array(group.test), train.genes, np.ones(len(values), dtype=np.float32))


def rows_of(task: HeldOutCells, folder: Path, name: str) -> pd.DataFrame:
    """Scores of every held-out perturbation."""
    seen = ad.read_h5ad(cells_file(folder))
    controls = seen[(seen.obs["target_gene"] == CONTROL).to_numpy()]
    found = []
    for fold, group in enumerate(task.groups):
        if name in CONSTANTS:
            prediction = constant(task, group, mean=name == "perturbation_mean")
        else:
            predicted = ad.read_h5ad(predictions_file(folder, name, fold))
            predicted = predicted[predicted.obs["target_gene"].isin(group.test).to_numpy()]
            prediction = predicted_effects(predicted, controls, task.cells.genes)
        found.append(task.evaluate(prediction, SPLIT, group))
    model = name if name in CONSTANTS else f"arc-state ST ({name})"
    return pd.concat(found).assign(model=model, graph="-", control="real", seconds=float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", nargs="+", default=["onehot"])
    parser.add_argument("--out", type=Path, help="rows as a table of comma-separated values")
    arguments = parser.parse_args()
    task = load_task(arguments.cells)
    parts = [rows_of(task, arguments.folder, name) for name in (*CONSTANTS, *arguments.name)]
    scores = pd.concat(parts, ignore_index=True)
    nulls = [name for name, stratum in task.strata().items() if stratum == "null"]
    print(format_cells(summarise_cells(scores, {**GROUPS, "null": nulls}, task.ceiling())))
    if arguments.out:
        scores.to_csv(arguments.out, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
