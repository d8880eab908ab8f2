"""Embedding cells: in memory, or from file to file with memory that does not grow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

import gnnvcell
from gnnvcell import keys
from gnnvcell.data.cell_writer import open_writer
from gnnvcell.errors import ConfigError
from gnnvcell.models.state_embedding.batches import sentence_batch
from gnnvcell.models.state_embedding.expressed_cells import CellSource, ExpressedCells
from gnnvcell.models.state_embedding.network import EncodedCells, StateEmbedding
from gnnvcell.models.state_embedding.vocabulary import match_columns

_CELLS_AT_A_TIME = 2048  # read together


def encode_block(
    model: StateEmbedding,
    block: sp.csr_array,
    genes: NDArray[np.int64],
    table: Float[Tensor, "genes d"],
    *,
    rows: NDArray[np.int64],
    batch_size: int,
    seed: int = 0,
) -> EncodedCells:
    """What the model says of some cells, on the model's device.

    Args:
        model: in evaluation mode.
        block: (cells, columns) float32 log1p expression of columns that are genes of the model.
        genes: (columns,) which genes they are.
        table: tokens of all genes.
        rows: (cells,) numbers that stand for the cells in the order of ties.
        batch_size: cells that go through the transformer together.
        seed: of the order of ties.
    """
    # Cells of like length go together, so that little is padded.
    order = np.argsort(-np.diff(block.indptr), kind="stable")
    parts = []
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        _, batch = sentence_batch(sp.csr_array(block[some]), genes, model.config.sentences, rows=rows[some], seed=seed)
        batch = {name: part.to(table.device) for name, part in batch.items()}
        tokens = table[batch[keys.SENTENCE_GENES]]
        parts.append(model.encode(tokens, batch[keys.SENTENCE_EXPRESSION], batch[keys.SENTENCE_MASK]))
    back = torch.from_numpy(np.argsort(order)).to(table.device)
    return EncodedCells(*(torch.cat(pieces)[back] for pieces in zip(*parts, strict=True)))


def embed_cells(
    model: StateEmbedding,
    cells: CellSource | ExpressedCells,
    *,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = True,
) -> NDArray[np.float32]:
    """Embeddings of all cells: (cells, output + dataset_width), the decoded [CLS] at length 1 first.

    A cell's embedding does not depend on the cells beside it nor on the batch size, but for rounding.

    Args:
        model: trained; put into evaluation mode.
        cells: counts or log1p expression.
        batch_size: cells that go through the transformer together.
        seed: of the order of genes with equal expression.
        progress: a bar on stderr.

    Raises:
        DataError: none of the genes is the model's, or values that are neither counts nor log1p.
    """
    given = cells if isinstance(cells, ExpressedCells) else ExpressedCells.of(cells)
    parts = [part for _, part in _embedded(model, given, batch_size, seed, progress)]
    return np.concatenate(parts)


def embed_file(
    model: StateEmbedding,
    source: CellSource | ExpressedCells,
    path: str | Path,
    *,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write cells with their embeddings in ``obsm["X_state"]``, block by block.

    X is as it was, obs and var too; ``uns["X_state"]`` says what made the embeddings.

    Args:
        model, batch_size, seed, progress: as of ``embed_cells``.
        source: the cells.
        path: .h5ad or .zarr to write; what is there is replaced.

    Raises:
        DataError: as of ``embed_cells``.
        ConfigError: the path is that of the cells, or has another extension.
    """
    path = Path(path)
    if isinstance(source, str | Path) and path.resolve() == Path(source).resolve():
        raise ConfigError(f"{path} cannot be read and written at once", remedy="choose another name for the result")
    cells = source if isinstance(source, ExpressedCells) else ExpressedCells.of(source)
    with open_writer(path, len(cells.genes)) as writer:
        for rows, part in _embedded(model, cells, batch_size, seed, progress):
            writer.append(cells.matrix.take(rows), obsm={keys.X_STATE: part})
        made_by = {"gnnvcell": gnnvcell.__version__, "config_digest": model.config.digest(), "seed": seed}
        writer.finish(cells.obs, pd.DataFrame(cells.var), {keys.X_STATE: made_by})
    return path


def _embedded(
    model: StateEmbedding, cells: ExpressedCells, batch_size: int, seed: int, progress: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Rows and their embeddings, in order."""
    match = match_columns(model.vocab, cells.genes)
    model.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(cells), desc="embedding cells", unit="cell", disable=None if progress else True) as bar,
    ):
        table = model.table()
        for start in range(0, len(cells), _CELLS_AT_A_TIME):
            rows = np.arange(start, min(start + _CELLS_AT_A_TIME, len(cells)))
            block = sp.csr_array(cells.take(rows)[:, match.columns])
            encoded = encode_block(model, block, match.genes, table, rows=rows, batch_size=batch_size, seed=seed)
            bar.update(len(rows))
            yield rows, encoded.embedding.float().cpu().numpy()
