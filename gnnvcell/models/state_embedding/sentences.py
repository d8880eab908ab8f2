"""Cell sentences: the genes that a cell expresses most, highest first, ties in an order drawn by a seed."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import DataError

_KEYS_AT_A_TIME = 1 << 18  # 2 MiB, so that all steps stay in the cache
_HALF = np.uint64(32)


class Sentences(NamedTuple):
    """Sentences of some cells, padded at their ends.

    Args:
        columns: (cells, length) int64 columns of the genes, 0 where padded.
        values: (cells, length) float32 their values, descending; 0 where padded.
        mask: (cells, length) bool, False where padded.
    """

    columns: NDArray[np.int64]
    values: NDArray[np.float32]
    mask: NDArray[np.bool_]


def cell_sentences(block: sp.csr_array, length: int, *, rows: NDArray[np.int64], seed: int) -> Sentences:
    """The sentences of a block of cells.

    Each stored value becomes one 64-bit number: its own bits, then random bits, then its column. Sorting these numbers
    sorts by value with ties at random, and says which columns they were. The random bits are a hash of (seed, row,
    column), so that a cell's sentence does not depend on the cells beside it.

    Args:
        block: (cells, genes) float32 with positive stored values.
        length: most genes of a sentence.
        rows: (cells,) numbers that stand for the cells in the hash.
        seed: of the order of ties.

    Returns:
        As wide as the longest sentence, at most ``length`` and at least 1.

    Raises:
        DataError: 2^31 genes or more, or stored values that are not positive and finite.
    """
    cells, genes = len(block.indptr) - 1, int(block.shape[1])  # type: ignore[index]
    if genes >= 1 << 31:
        raise DataError(f"{genes:,} genes are too many for sentences", expected="fewer than 2^31")
    if len(block.data) and not (np.isfinite(block.data).all() and block.data.min() > 0):
        raise DataError("a sentence is made of positive, finite values")
    counts = np.diff(block.indptr)
    width = int(min(length, max(1, counts.max(initial=0))))
    bits = np.uint64(max(1, (genes - 1).bit_length()))
    chosen = np.zeros((cells, width), dtype=np.uint64)
    step = max(1, _KEYS_AT_A_TIME // max(1, int(counts.max(initial=1))))
    for start in range(0, cells, step):
        part = slice(start, start + step)
        chosen[part] = _highest(block[part], width, bits, rows[part], seed)
    mask = chosen > 0
    columns = (chosen & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    return Sentences(columns, (chosen >> _HALF).astype(np.uint32).view(np.float32), mask)


def _highest(
    block: sp.csr_array, width: int, bits: np.uint64, rows: NDArray[np.int64], seed: int
) -> NDArray[np.uint64]:
    """(cells, width) the highest keys of each cell, descending, 0 where it has no more."""
    counts = np.diff(block.indptr)
    cell = np.repeat(np.arange(len(counts)), counts)
    column = block.indices.astype(np.uint64)
    value = np.ascontiguousarray(block.data, dtype=np.float32).view(np.uint32).astype(np.uint64)
    of_row = _mixed(rows.astype(np.uint64) ^ _mixed(np.array([seed % (1 << 64)], dtype=np.uint64)))
    key = _mixed(of_row[cell] ^ column)
    key >>= _HALF + bits
    key <<= bits
    key |= column
    key |= value << _HALF
    table = np.zeros((len(counts), max(width, int(counts.max(initial=0)))), dtype=np.uint64)
    table[cell, np.arange(len(cell)) - np.repeat(block.indptr[:-1] - block.indptr[0], counts)] = key
    if table.shape[1] > width:
        table = np.partition(table, table.shape[1] - width, axis=1)[:, table.shape[1] - width :]
    return np.sort(table, axis=1)[:, ::-1]


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers that look random, one for each number (SplitMix64, Steele et al. 2014); in place."""
    numbers += np.uint64(0x9E3779B97F4A7C15)
    numbers *= np.uint64(0xD1342543DE82EF95)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers ^= numbers >> np.uint64(shift)
        numbers *= np.uint64(factor)
    numbers ^= numbers >> np.uint64(31)
    return numbers
