"""A screen of random counts of any size, written block by block, to time reading and training."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from gnnvcell import keys
from gnnvcell.data.cell_writer import open_writer


def write_random_screen(
    path: Path, cells: int, *, genes: int, density: float, perturbations: int, batches: int, controls: float, block: int
) -> None:
    """Counts of 1 to 9 in cells of random perturbation and batch; perturbation i targets the gene "G<i>".

    Args:
        path: .h5ad to write.
        cells: number of cells.
        genes: number of genes.
        density: share of counts that are not 0.
        perturbations, batches: how many.
        controls: share of control cells.
        block: cells that are in memory together.
    """
    rng = np.random.default_rng(0)
    names = [keys.NON_TARGETING, *(f"G{i}" for i in range(perturbations))]
    label = np.where(rng.random(cells) < controls, 0, rng.integers(1, perturbations + 1, cells))
    batch = pd.Categorical.from_codes(rng.integers(0, batches, cells), [f"b{i}" for i in range(batches)])
    obs = pd.DataFrame(
        {keys.TARGET_GENE: pd.Categorical.from_codes(label, names), "batch": batch},
        index=pd.Index([str(i) for i in range(cells)]),
    )
    with open_writer(path, genes, compression=None) as writer:
        for start in range(0, cells, block):
            shape = (min(block, cells - start), genes)
            counts = sp.random(*shape, density=density, format="csr", random_state=rng, dtype=np.float32)  # pyright: ignore[reportCallIssue]
            counts.data = np.floor(counts.data * 9) + 1
            writer.append(sp.csr_array(counts))
        writer.finish(obs, pd.DataFrame(index=pd.Index([f"G{i}" for i in range(genes)])), {})
