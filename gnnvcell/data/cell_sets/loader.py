"""SetLoader: batches of sets in memory, by pass or by number, shared among processes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from gnnvcell.data.cell_sets.planning import DealtSets
from gnnvcell.data.cell_sets.processes import rank_and_size
from gnnvcell.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gnnvcell.data.cell_sets.in_memory import CellSets


class SetLoader:
    """Batches of ``CellSets``, gathered in this process: workers make this slower, not faster.

    Iterating gives the sets of one epoch, the last batch with what is left. Processes share every batch, so that each
    set comes once.

    ``batch(number)`` is for training. Numbers go on over epochs, whose sets follow each other without a gap: a batch
    may hold the last sets of one and the first of the next, so that every batch of every process is full, and each set
    of each epoch comes once. The number, the seed and the size of the batch of all processes decide what is in it.

    Args:
        sets: the sets.
        batch_size: sets of a batch, of this process.
        rank, world_size: of this process; those of ``torch.distributed`` when left out, asked for when a batch is.

    Raises:
        ConfigError: a batch size below 1, or a rank outside of the world.
        DataError: on iteration, fewer sets than processes.

    Example:
        >>> for batch in sets.loader(8):  # doctest: +SKIP
        ...     model.loss(batch)
    """

    def __init__(
        self, sets: "CellSets", batch_size: int, *, rank: int | None = None, world_size: int | None = None
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batches of {batch_size} sets", expected="at least 1")
        self.sets, self.batch_size = sets, batch_size
        self._process = (rank, world_size)
        self._dealt: dict[int, DealtSets] = {}
        rank_and_size(*self._process)

    def __len__(self) -> int:
        """Batches of one pass."""
        _, world = rank_and_size(*self._process)
        return -(-len(self.sets) // (self.batch_size * world))

    def set_epoch(self, epoch: int) -> None:
        """Which epoch's sets iteration gives."""
        self.sets.set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rank, world = rank_and_size(*self._process)
        if len(self.sets) < world:
            raise DataError(f"{world} processes share {len(self.sets)} sets", remedy="use fewer processes")
        together = self.batch_size * world
        for start in range(0, len(self.sets), together):
            among = np.arange(start, min(start + together, len(self.sets)))
            own = np.array_split(among, world)[rank]
            if len(own):
                yield self.sets.take(own)

    def batch(self, number: int) -> dict[str, Tensor]:
        """The batch of a number, 0 being the first of epoch 0; this process's share of it."""
        rank, world = rank_and_size(*self._process)
        first = (number * world + rank) * self.batch_size
        epochs, places = np.divmod(np.arange(first, first + self.batch_size), len(self.sets))
        parts = [self._of_epoch(int(epoch)).of(places[epochs == epoch]) for epoch in np.unique(epochs)]
        return self.sets.gather(DealtSets.joined(parts))

    def batches_of(self, epochs: int, processes: int) -> int:
        """Number of batches that hold all sets of so many epochs, where so many processes share them."""
        return -(-epochs * len(self.sets) // (self.batch_size * processes))

    def _of_epoch(self, epoch: int) -> DealtSets:
        if epoch not in self._dealt:
            newest: list[int] = sorted(self._dealt)[-1:]
            self._dealt = {kept: self._dealt[kept] for kept in newest}
            self._dealt[epoch] = self.sets.dealt(epoch)
        return self._dealt[epoch]
