"""The last few tables that were made, by the names of their rows: several models ask for the same ones in turn."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class LastTables(Generic[T]):
    """The last few tables, by the names of their rows.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int) -> None:
        self._most = kept
        self._kept: list[tuple[NDArray, dict[str, int], T]] = []

    def find(self, names: NDArray) -> tuple[T, NDArray[np.int64] | None] | tuple[None, None]:
        """A table of these names, or one of more and where they are in it."""
        larger = None
        for kept, place, table in reversed(self._kept):
            if np.array_equal(kept, names):
                return table, None
            if larger is None and all(name in place for name in names):
                larger = table, np.array([place[name] for name in names], dtype=np.int64)
        return larger or (None, None)

    def keep(self, names: NDArray, table: T) -> None:
        """Keep a table; the oldest goes when there are too many."""
        self._kept = [*self._kept, (names, {name: row for row, name in enumerate(names)}, table)][-self._most :]
