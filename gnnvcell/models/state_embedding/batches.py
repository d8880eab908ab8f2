"""SentenceBatches: a loader of batches of cell sentences, with the genes that are decoded of each cell."""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell import keys
from gnnvcell.errors import ConfigError
from gnnvcell.models.state_embedding.config import SentenceConfig
from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells
from gnnvcell.models.state_embedding.sentences import Sentences, cell_sentences
from gnnvcell.models.state_embedding.vocabulary import ColumnMatch

_ORDER, _DRAWS = 0, 1  # streams of random numbers


def sentence_batch(
    block: sp.csr_array, genes: NDArray[np.int64], config: SentenceConfig, *, rows: NDArray[np.int64], seed: int
) -> tuple[Sentences, dict[str, Tensor]]:
    """The sentences of some cells, in columns and as tensors of the model's genes.

    Args:
        block: (cells, columns) float32 log1p expression of columns that are genes of the model.
        genes: (columns,) which genes they are.
        config: settings.
        rows: (cells,) numbers that stand for the cells.
        seed: of the order of ties.
    """
    made = cell_sentences(block, config.length, rows=rows, seed=seed)
    return made, {
        keys.SENTENCE_GENES: torch.from_numpy(genes[made.columns] * made.mask),
        keys.SENTENCE_EXPRESSION: torch.from_numpy(made.values),
        keys.SENTENCE_MASK: torch.from_numpy(made.mask),
    }


def read_depth(cells: ExpressedCells, block: sp.csr_array, rows: NDArray[np.int64], config: SentenceConfig) -> Tensor:
    """(cells, 1) float32 depth of some cells; ``block`` has all their columns, without stored zeros."""
    if config.read_depth == "total_counts":
        return torch.from_numpy(cells.log_totals(rows))[:, None]
    return torch.from_numpy(np.log1p(np.diff(block.indptr).astype(np.float32)))[:, None]


class SentenceBatches:
    """Batches for training, validation or embedding; of any number, in the same order for the same seed.

    A training batch also holds genes that the model has to decode: some of each cell's own sentence, some drawn from
    all genes of the data, and some that all its cells share. Every epoch has its own order of cells and its own draws,
    which depend on the seed and the number of the batch alone. Several processes (``torch.distributed``) take batches
    in turn.

    Args:
        cells: the cells.
        match: which of their columns are which genes of the model.
        config: settings.
        dataset: (cells,) int64 dataset of each cell, -1 where the model does not know it.
        batch_size: cells of a batch; the last of an epoch may have fewer.
        rows: which cells; all when left out.
        training: whether the order is shuffled anew in every epoch, and genes are dropped from sentences.
        seed: of everything random.

    Example:
        >>> for batch in SentenceBatches(cells, match, config, dataset=zeros, batch_size=32):  # doctest: +SKIP
        ...     model.loss(batch)["loss"].backward()
    """

    def __init__(
        self,
        cells: ExpressedCells,
        match: ColumnMatch,
        config: SentenceConfig,
        *,
        dataset: NDArray[np.int64],
        batch_size: int,
        rows: NDArray | Sequence[int] | None = None,
        training: bool = True,
        seed: int = 0,
    ) -> None:
        chosen = np.arange(len(cells)) if rows is None else np.asarray(rows)
        self._rows = (np.flatnonzero(chosen) if chosen.dtype == bool else chosen).astype(np.int64)
        if not len(self._rows) or batch_size < 1:
            raise ConfigError("there are no batches", found=f"{len(self._rows)} cells in batches of {batch_size}")
        self._cells, self._match, self._config = cells, match, config
        self._dataset, self._size, self._training, self._seed = dataset, batch_size, training, seed
        self._epoch = 0

    def __len__(self) -> int:
        return -(-self._per_epoch // _processes()[1])

    @property
    def _per_epoch(self) -> int:
        return -(-len(self._rows) // self._size)

    def batches_of(self, epochs: int, processes: int) -> int:
        """Number of batches of so many epochs, where so many processes share them."""
        return epochs * -(-self._per_epoch // processes)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch iteration goes through, counted from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        epoch, self._epoch = self._epoch, self._epoch + int(self._training)
        for number in range(len(self)):
            yield self.batch(epoch * len(self) + number)

    def batch(self, number: int) -> dict[str, Tensor]:
        """The batch of a number that goes on over epochs, for this process."""
        rank, world = _processes()
        epoch, number = divmod(number, len(self))
        number = (number * world + rank) % self._per_epoch  # an incomplete last round starts over
        order = self._rows
        if self._training:
            order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(self._rows)
        rows = order[number * self._size : (number + 1) * self._size]
        return self._made(rows, np.random.default_rng([self._seed, _DRAWS, epoch, number]))

    def _made(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Tensor]:
        block, config = self._cells.take(rows), self._config
        known = sp.csr_array(block[:, self._match.columns])
        made, batch = sentence_batch(known, self._match.genes, config, rows=rows, seed=int(rng.integers(1 << 62)))
        depth = read_depth(self._cells, block, rows, config)
        dense, genes = known.toarray(), self._match.genes
        cell = np.arange(len(rows))[:, None]
        columns, mask = _own_columns(made, config, dense.shape[1], rng)
        shared = np.sort(rng.choice(dense.shape[1], min(config.shared, dense.shape[1]), replace=False))
        batch |= {
            keys.READ_DEPTH: depth,
            keys.DATASET: torch.from_numpy(self._dataset[rows]),
            keys.OWN_GENES: torch.from_numpy(genes[columns]),
            keys.OWN_EXPRESSION: torch.from_numpy(dense[cell, columns]),
            keys.OWN_MASK: torch.from_numpy(mask),
            keys.SHARED_GENES: torch.from_numpy(genes[shared]),
            keys.SHARED_EXPRESSION: torch.from_numpy(dense[:, shared]),
        }
        if self._training and config.dropped:
            batch[keys.SENTENCE_MASK] &= torch.from_numpy(rng.random(made.mask.shape) >= config.dropped)
        return batch


def _own_columns(
    made: Sentences, config: SentenceConfig, genes: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Columns that are decoded of each cell: some of its sentence, without repeats, and some of all; and a mask."""
    cell = np.arange(len(made.mask))[:, None]
    ranks = np.where(made.mask, rng.random(made.mask.shape), 2.0).argsort(axis=1)[:, : config.expressed]
    sampled = rng.integers(genes, size=(len(made.mask), config.sampled))
    columns = np.concatenate([made.columns[cell, ranks], sampled], axis=1)
    return columns, np.concatenate([made.mask[cell, ranks], np.ones(sampled.shape, dtype=bool)], axis=1)


def _processes() -> tuple[int, int]:
    """Rank of this process and number of processes."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
