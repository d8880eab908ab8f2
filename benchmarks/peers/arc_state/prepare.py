"""Writes what arc-state trains on: cells as it wants them, the split of every fold, and vectors of the perturbations.

python benchmarks/peers/arc_state/prepare.py CELLS.h5ad FOLDER [--hvgs 2000] [--graph GRAPH]

``cells.h5ad``: log1p of counts scaled to the median total (as the task takes effects), ``obsm["X_hvg"]`` (all genes
where there are at most ``--hvgs``, named in ``uns["hvg_names"]``), ``obs`` target_gene, cell_type and batch. Of the
control cells only the half that training may see is in it, so that what is scored against is nowhere near the model.
``foldK.toml``: cell-load's split with the fold's perturbations as test and no validation: cell-load would then validate
on test, so run.py does not validate. ``features.pt`` (with ``--graph``): the spectral embedding of each target in the
gene graph, which ridge and kNN of the bench use too.
"""

import argparse
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
import torch
from protocol import (  # pyright: ignore[reportMissingImports]
    CELL_TYPE,
    CONTROL,
    DATASET,
    SPLIT,
    cells_file,
    features_file,
    load_task,
    toml_file,
)

from gnnvcell import keys
from gnnvcell.data.cell_sums import log_normalised, median_total
from gnnvcell.data.splits.toml import FewShot, SplitFile
from gnnvcell.files import write_text
from gnnvcell.graphs import GeneGraph
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.ridge import perturbation_vectors
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import HeldOutGroup

DIM = 128  # of the vectors; what ridge uses


def state_input(task: HeldOutCells, hvgs: int) -> ad.AnnData:
    """The cells that arc-state may see, the test perturbations of a fold among them (cell-load takes those out)."""
    names = tuple(name for group in task.groups for name in group.test)
    cells = task.training_cells(SPLIT, HeldOutGroup((), names))
    values = log_normalised(cells.take(np.arange(len(cells))), cells.values, median_total(task.cells))
    obs = pd.DataFrame(
        {
            keys.TARGET_GENE: pd.Categorical(np.append(cells.perturbations, [CONTROL, CONTROL])[cells.code]),
            keys.CELL_TYPE: pd.Categorical([CELL_TYPE] * len(cells)),
            keys.BATCH: pd.Categorical(cells.batches[cells.batch_code]),
        },
        index=pd.Index([f"cell{i}" for i in range(len(cells))]),
    )
    adata = ad.AnnData(sp.csr_matrix(values, dtype=np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(cells.genes)))
    adata.uns["log1p"] = {}
    chosen = np.ones(adata.n_vars, dtype=bool)
    if adata.n_vars > hvgs:
        sc.pp.highly_variable_genes(adata, n_top_genes=hvgs)
        chosen = adata.var[keys.HIGHLY_VARIABLE].to_numpy() | np.isin(cells.genes, cells.perturbations)
    adata.obsm["X_hvg"] = sp.csr_matrix(adata.X)[:, np.flatnonzero(chosen)].toarray()
    adata.uns["hvg_names"] = cells.genes[chosen].astype(str)
    return adata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hvgs", type=int, default=2000)
    parser.add_argument("--graph", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    task = load_task(arguments.cells)
    adata = state_input(task, arguments.hvgs)
    adata.write_h5ad(cells_file(folder))
    for fold, group in enumerate(task.groups):
        split = SplitFile(
            datasets={DATASET: str(cells_file(folder))},
            training={DATASET: "train"},
            fewshot={f"{DATASET}.{CELL_TYPE}": FewShot(test=group.test)},
        )
        write_text(toml_file(folder, fold), split.text())
    if arguments.graph:
        graph = GeneGraph.load(arguments.graph)
        names = [name for group in task.groups for name in group.test]
        vectors = perturbation_vectors(graph, spectral_embedding(graph, DIM), names)
        for name, vector in zip(names, vectors, strict=True):
            if not vector.any():
                print(f"no vector: {name} is not in the graph", file=sys.stderr)
        # The control's vector is zero: it is no gene.
        table = {CONTROL: torch.zeros(DIM), **dict(zip(names, torch.from_numpy(vectors), strict=True))}
        torch.save(table, features_file(folder))
    print(f"{adata.n_obs:,} cells x {adata.obsm['X_hvg'].shape[1]:,} genes, {len(task.groups)} folds in {folder}")


if __name__ == "__main__":
    main()
