"""Which cells make which set: a function of codes and a random generator, without a look at values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PlannedSets:
    """Sets of rows.

    Args:
        rows: (sets, set_size) int64 cells of each set.
        mask: (sets, set_size) bool; False where a cell was drawn again to fill the set.
        group: (sets,) int64 group of each set.
    """

    rows: NDArray[np.int64]
    mask: NDArray[np.bool_]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def shuffled(self, rng: np.random.Generator) -> "PlannedSets":
        """The sets in random order."""
        order = rng.permutation(len(self))
        return PlannedSets(self.rows[order], self.mask[order], self.group[order])


@dataclass(frozen=True, eq=False)
class DealtSets:
    """Sets with their controls.

    Args:
        rows: (sets, set_size) int64 perturbed cells.
        controls: (sets, set_size) int64 control cells.
        mask: (sets, set_size) bool, as of ``PlannedSets``.
    """

    rows: NDArray[np.int64]
    controls: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, sets: NDArray) -> "DealtSets":
        """Some of the sets."""
        return DealtSets(self.rows[sets], self.controls[sets], self.mask[sets])

    @classmethod
    def joined(cls, parts: Sequence["DealtSets"]) -> "DealtSets":
        """Sets one after the other."""
        if len(parts) == 1:
            return parts[0]
        rows, controls, masks = zip(*((part.rows, part.controls, part.mask) for part in parts), strict=True)
        return cls(np.concatenate(rows), np.concatenate(controls), np.concatenate(masks))


def plan_sets(
    rows: NDArray[np.int64], group: NDArray[np.int64], set_size: int, rng: np.random.Generator, *, fill: bool
) -> tuple[PlannedSets, NDArray[np.int64]]:
    """Cut every group of cells, in random order, into sets.

    Args:
        rows: (cells,) row numbers.
        group: (cells,) group of each, any integers.
        set_size: cells in a set.
        rng: of the order, and of what fills a set up.
        fill: whether what is left of a group makes a set too, filled up with cells of the group drawn again.

    Returns:
        The sets, and the rows that are in none (empty with ``fill``). Every row is in exactly one set, fillers apart.
    """
    order = rng.permutation(len(rows))
    order = order[np.argsort(group[order], kind="stable")]
    rows, group = rows[order], group[order]
    start = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(rows) else np.zeros(0, dtype=np.int64)
    count = np.diff(np.r_[start, len(rows)])
    full = count // set_size
    rest = count - full * set_size
    sets = full + ((rest > 0) if fill else 0)
    first = np.repeat(start, sets) + set_size * _counted(sets)
    end = np.repeat(start + count, sets)
    place = first[:, None] + np.arange(set_size)
    mask = place < end[:, None]
    again = np.repeat(start, sets)[:, None] + rng.integers(0, np.repeat(count, sets)[:, None], size=place.shape)
    place = np.where(mask, place, again)
    planned = PlannedSets(rows[place], mask, group[np.repeat(start, sets)] if len(rows) else group)
    if fill:
        return planned, rows[:0]
    in_set = _counted(count) < np.repeat(full * set_size, count)
    return planned, rows[~in_set]


def deal_controls(
    pool_of_set: NDArray[np.int64], pools: dict[int, NDArray[np.int64]], set_size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(sets, set_size) control rows of each set's pool, dealt like cards: each once before any comes again.

    Args:
        pool_of_set: (sets,) key of the pool of each set.
        pools: key to rows of control cells, none empty.
        set_size: controls of a set.
        rng: shuffles the pools.
    """
    out = np.empty((len(pool_of_set), set_size), dtype=np.int64)
    for key in np.unique(pool_of_set):
        inside = np.flatnonzero(pool_of_set == key)
        pool = pools[int(key)]
        wanted = len(inside) * set_size
        decks = [rng.permutation(pool) for _ in range(-(-wanted // len(pool)))]
        out[inside] = np.concatenate(decks)[:wanted].reshape(len(inside), set_size)
    return out


def _counted(sizes: NDArray) -> NDArray[np.int64]:
    """0, 1, ... within each of several runs."""
    total = int(sizes.sum())
    return np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
