"""Predicted cells, into a file as they come."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cell_writer import open_writer
from gnnvcell.models.control_pool import ControlPool


@dataclass(frozen=True, eq=False)
class PredictedCells:
    """Cells of one perturbation.

    Args:
        name: of the perturbation.
        values: (cells, genes) float32 log1p expression, 0 or more.
        batch: (cells,) batch of the control cell that each was made from.
        context: cell type.
    """

    name: str
    values: NDArray[np.float32]
    batch: NDArray
    context: str

    @property
    def obs(self) -> pd.DataFrame:
        """What is known of the cells."""
        return annotations(self.name, self.batch, self.context)


def annotations(name: str, batch: NDArray, context: str) -> pd.DataFrame:
    """(cells,) label, batch and cell type, under the names that ``Cells`` finds by itself."""
    columns = {keys.TARGET_GENE: name, keys.BATCH: batch.astype(object), keys.CELL_TYPE: context}
    return pd.DataFrame(columns, index=range(len(batch)))


def cells_of(found: torch.Tensor, rows: NDArray, mask: torch.Tensor, *, most: int) -> tuple[NDArray, NDArray]:
    """(cells, genes) predicted cells of the sets, each control cell once, and (cells,) its row in the pool.

    Args:
        found: (sets, cells, genes).
        rows: (sets, cells) rows of the pool.
        mask: (sets, cells) False where a cell was drawn again.
        most: cells that are wanted; taken evenly over the sets.
    """
    real = np.flatnonzero(mask.cpu().numpy().ravel())
    real = real[np.linspace(0, len(real) - 1, min(most, len(real))).round().astype(np.int64)]
    values = found.reshape(-1, found.shape[2])[torch.from_numpy(real).to(found.device)]
    return values.clamp_min(0).cpu().numpy(), rows.ravel()[real]


def write_cells(
    path: str | Path, pools: list[ControlPool], cells: Iterator[PredictedCells], genes: NDArray, uns: dict[str, Any]
) -> Path:
    """Write control cells and predicted cells as .h5ad or .zarr, one perturbation in memory at a time.

    Args:
        path: the file; it appears when all is written.
        pools: control cells, which come first, labelled "non-targeting".
        cells: predicted cells.
        genes: (genes,) names.
        uns: what is known of the prediction; read when the last cell is written.
    """
    parts = []
    with open_writer(path, len(genes)) as writer:
        for pool in pools:
            writer.append(sp.csr_array(pool.values))
            parts.append(annotations(keys.NON_TARGETING, pool.batch, pool.name))
        for one in cells:
            writer.append(sp.csr_array(one.values))
            parts.append(one.obs)
        obs = pd.concat(parts, ignore_index=True).astype("category")
        obs.index = obs.index.astype(str)
        writer.finish(obs, pd.DataFrame(index=pd.Index(genes.astype(str))), {keys.LOG1P: {}, **uns})
    return Path(path)
