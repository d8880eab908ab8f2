"""ControlPool: control cells of one cell type, cut into sets that a prediction begins from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.data.cell_sets.expression import expression_of, gene_columns
from gnnvcell.data.cell_sets.planning import plan_sets
from gnnvcell.data.cells import Cells
from gnnvcell.data.log_totals import log_totals
from gnnvcell.errors import DataError, ModelError, did_you_mean


@dataclass(frozen=True, eq=False)
class ControlPool:
    """Control cells as the model reads them.

    Args:
        name: of the cell type.
        values: (cells, genes) float32 CSR, log1p expression in the order of the model's genes.
        batch: (cells,) name of each cell's batch.
        embeddings: (cells, d) float32; None outside of embedding space.
        log_total: (cells,) float32 log total counts; None for models that do not read them.
    """

    name: str
    values: Any
    batch: NDArray
    embeddings: NDArray[np.float32] | None = None
    log_total: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        cells: Cells,
        genes: NDArray,
        *,
        target_sum: float | None,
        most: int | None = None,
        seed: int = 0,
        embedding: str | None = None,
        totals: bool = False,
    ) -> "ControlPool":
        """The controls among cells of one cell type.

        Args:
            cells: cells of one cell type.
            genes: (genes,) names that are wanted.
            target_sum: what counts are scaled to.
            most: cells that are kept, drawn at random within batches in proportion; all when left out.
            seed: of the draw.
            embedding: name of the embeddings in obsm that are kept too.
            totals: whether log total counts are kept too.

        Raises:
            DataError: no controls, several cell types, or genes or embeddings that the cells lack.
        """
        name, rows = cells.context_of_controls(), np.flatnonzero(cells.is_control)
        if most is not None and len(rows) > most:
            rows = _spread(rows, cells.batch_code[rows], most, np.random.default_rng([seed, 2]))
        columns = gene_columns(cells, [str(gene) for gene in genes])
        values = expression_of(cells.take(rows), cells.values, columns, target_sum)
        own = None if embedding is None else cells.embeddings.get(embedding)[rows]
        total = log_totals(cells, rows) if totals else None
        return cls(name, values, cells.batches[cells.batch_code[rows]], own, total)

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def width(self) -> int | None:
        """Length of the embeddings; None outside of embedding space."""
        return None if self.embeddings is None else self.embeddings.shape[1]

    def require_width(self, width: int | None) -> None:
        """Refuse embeddings of another length.

        Raises:
            DataError: they are not as long as those of training.
        """
        if self.width != width:
            raise DataError(
                "the embeddings of the control cells are not those of training",
                expected=f"{width} numbers for each cell",
                found=str(self.width),
                remedy="embed them by the model that embedded the training cells",
            )

    def sets(self, size: int, *, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray]:
        """All cells in sets of one batch: (sets, size) rows, (sets, size) mask, False where a cell was drawn again, and
        (sets,) batch names.
        """
        names, code = np.unique(self.batch, return_inverse=True)
        plan, _ = plan_sets(np.arange(len(self)), code, size, np.random.default_rng([seed, 3]), fill=True)
        return plan.rows, plan.mask, names[code[plan.rows[:, 0]]]

    def dense(self, rows: NDArray) -> NDArray[np.float32]:
        """Values of some cells, (..., genes)."""
        rows = np.asarray(rows)
        return np.asarray(self.values[rows.ravel()].toarray()).reshape(*rows.shape, -1)


def _spread(rows: NDArray, batch: NDArray, most: int, rng: np.random.Generator) -> NDArray:
    """Rows such that every batch keeps its share of them: each k-th of the rows, in random order within batches."""
    order = np.lexsort((rng.random(len(rows)), batch))
    chosen = np.linspace(0, len(rows) - 1, most).round().astype(np.int64)
    return np.sort(rows[order[chosen]])


def known_pool(pools: Mapping[str, ControlPool], context: str | None) -> ControlPool:
    """The control cells that a model kept of a cell type of training.

    Raises:
        ModelError: the cell type is unknown, or missing where there are several.
    """
    if context is None and len(pools) == 1:
        return next(iter(pools.values()))
    if context is None:
        raise ModelError("the context to predict for is missing", remedy=f"context= one of {', '.join(pools)}")
    if context not in pools:
        raise ModelError(
            f"the model was not trained in the context {context!r}",
            remedy=f"{did_you_mean(context, pools)}; or give its control cells",
        )
    return pools[context]


def arrays_of(pools: Mapping[str, ControlPool]) -> dict[str, NDArray]:
    """Values of control cells as plain arrays, for a file; names of batches are not in there."""
    arrays: dict[str, NDArray] = {}
    for number, pool in enumerate(pools.values()):
        matrix = sp.csr_array(pool.values)
        arrays[f"{number}.data"] = matrix.data
        arrays[f"{number}.indices"] = matrix.indices.astype(np.int64)
        arrays[f"{number}.indptr"] = matrix.indptr.astype(np.int64)
        if pool.embeddings is not None:
            arrays[f"{number}.embeddings"] = pool.embeddings
        if pool.log_total is not None:
            arrays[f"{number}.log_total"] = pool.log_total
    return arrays


def pools_of(tensors: Mapping[str, Tensor], batches: Mapping[str, Sequence[str]], genes: int) -> dict[str, ControlPool]:
    """What ``arrays_of`` was made from.

    Args:
        tensors: the arrays.
        batches: cell type to the batch of each of its cells, in the order of the pools.
        genes: number of genes.
    """
    pools = {}
    for number, (name, of_cells) in enumerate(batches.items()):
        data, indices, indptr = (tensors[f"{number}.{part}"].numpy() for part in ("data", "indices", "indptr"))
        batch = np.array(of_cells, dtype=str)
        values = sp.csr_array((data, indices, indptr), shape=(len(batch), genes))
        embeddings, total = tensors.get(f"{number}.embeddings"), tensors.get(f"{number}.log_total")
        pools[name] = ControlPool(
            name,
            values,
            batch,
            None if embeddings is None else embeddings.numpy(),
            None if total is None else total.numpy(),
        )
    return pools
