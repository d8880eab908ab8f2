"""Writes what GEARS learns from: the cells of every run, and the GO terms of genes.

python benchmarks/peers/gears/prepare.py papalexi|norman FOLDER [--draws 3] [--cells DIR] [--gaf FILE] [--most 200]

``drawD_groupG.h5ad``: log1p of counts scaled to the median total (as the task takes effects), ``obs`` condition (as
GEARS says it: A+ctrl, A+B, ctrl) and cell_type, ``var`` gene_name, ``uns`` held_out. The held-out perturbations and the
half of the controls that they are scored against are not in it. ``gene2go.json``: genes to the terms that the GO
annotation file gives them, in place of the download of GEARS.
"""

import argparse
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from protocol import (  # pyright: ignore[reportMissingImports]
    CELL_TYPE,
    CONTROL,
    SCREENS,
    SEED,
    cells_file,
    knowledge_file,
    load_task,
)

from gnnvcell.data import Cells
from gnnvcell.data.cell_sums import log_normalised
from gnnvcell.data.pseudobulk import resolved_target_sum
from gnnvcell.files import write_text
from gnnvcell.perturbation import Perturbation
from gnnvcell.tasks.held_out_cells import HeldOutCells

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
_SYMBOL, _QUALIFIER, _TERM = 2, 3, 4  # columns of a gene annotation file


def condition(name: str) -> str:
    """A perturbation as GEARS calls it."""
    targets = Perturbation.parse(name).targets
    return "+".join(targets) if len(targets) > 1 else f"{targets[0]}+{CONTROL}"


def gears_input(task: HeldOutCells, draw: int, group: int, most: int) -> ad.AnnData:
    """Training cells of a run, at most ``most`` of each perturbation and five times as many controls."""
    held_out = task.groups[group]
    cells = task.training_cells(draw, held_out)
    cells = cells.take_cells(_some(cells, most))
    values = log_normalised(cells.take(np.arange(len(cells))), cells.values, resolved_target_sum(task.cells, None))
    names = np.append([condition(str(name)) for name in cells.perturbations], [CONTROL, CONTROL])
    obs = pd.DataFrame(
        {"condition": names[cells.code], "cell_type": CELL_TYPE},
        index=pd.Index([f"cell{i}" for i in range(len(cells))]),
    )
    genes = cells.genes.astype(str)
    found = ad.AnnData(
        sp.csr_matrix(values, dtype=np.float32), obs=obs, var=pd.DataFrame({"gene_name": genes}, index=pd.Index(genes))
    )
    found.uns["held_out"] = np.array([condition(name) for name in held_out.test])
    return found


def _some(cells: Cells, most: int) -> np.ndarray:
    """(cells,) bool."""
    order = np.random.default_rng(SEED).permutation(len(cells))
    rank = pd.Series(cells.code[order]).groupby(cells.code[order]).cumcount().to_numpy()
    chosen = np.zeros(len(cells), dtype=bool)
    chosen[order] = rank < np.where(cells.is_control[order], 5 * most, most)
    return chosen


def terms_of_genes(gaf: Path) -> dict[str, list[str]]:
    """Gene symbol to its terms, without those that are annotated as NOT."""
    rows = pd.read_csv(gaf, sep="\t", comment="!", header=None, dtype=str)
    rows = rows[~rows[_QUALIFIER].str.contains("NOT", na=False)]
    return {str(gene): sorted(set(terms)) for gene, terms in rows.groupby(_SYMBOL)[_TERM]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("screen", choices=SCREENS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--most", type=int, default=200, help="cells of a perturbation; five times as many controls")
    parser.add_argument("--cells", type=Path, default=DATA / "cells")
    parser.add_argument("--gaf", type=Path, default=DATA / "graphs" / "goa_human.gaf.gz")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    task = load_task(arguments.cells, arguments.screen, arguments.draws)
    for draw in range(task.splits):
        for group in range(len(task.groups)):
            adata = gears_input(task, draw, group, arguments.most)
            adata.write_h5ad(cells_file(folder, draw, group))
            print(f"draw {draw}, group {group}: {adata.n_obs:,} cells x {adata.n_vars:,} genes", flush=True)
    write_text(knowledge_file(folder), json.dumps(terms_of_genes(arguments.gaf)))


if __name__ == "__main__":
    main()
