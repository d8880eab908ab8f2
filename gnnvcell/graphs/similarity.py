"""The strongest pairs of a similarity that is too large to hold: computed by blocks of rows, never as a whole.

A similarity is a function ``block(start, stop) -> (stop - start, n)`` of symmetric scores, in a new array each time.
Pairs come out once, with the lower node first, sorted.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, EmptyGraphError
from gnnvcell.graphs.filters import rank_in_run

Block = Callable[[int, int], NDArray[np.float32]]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]

MAX_PAIRS = 20_000_000
_BLOCK_VALUES = 1 << 23
_BINS = 1 << 14
_MODE = re.compile(r"(top|threshold|percentile)_(\d+(?:\.\d+)?|\.\d+)")


@dataclass(frozen=True)
class Mode:
    """Which pairs become edges.

    Args:
        kind: "top": pairs in the ``value`` best of one of their genes; "threshold": score >= ``value``; "percentile":
            score at or above that percentile of the scores of all pairs.
        value: k, the least score, or the percentile.
    """

    kind: Literal["top", "threshold", "percentile"]
    value: float

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """A mode from ``top_5``, ``threshold_0.3`` or ``percentile_99``.

        Raises:
            ConfigError: another form, or a value that makes no sense.
        """
        match = _MODE.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"unknown mode {text!r}", expected="top_<k>, threshold_<score> or percentile_<q>", remedy="try 'top_20'"
            )
        kind, value = match[1], float(match[2])
        if kind == "top" and (value < 1 or value != int(value)):
            raise ConfigError(f"bad mode {text!r}", expected="top_<k> with a whole number k >= 1")
        if kind == "percentile" and value >= 100:
            raise ConfigError(f"bad mode {text!r}", expected="percentile_<q> with q in [0, 100)")
        return cls(kind, value)  # type: ignore[arg-type]


def select_pairs(block: Block, n: int, mode: Mode, *, max_pairs: int = MAX_PAIRS) -> Pairs:
    """The pairs of a mode among all pairs of n nodes whose score is positive.

    Args:
        block: rows of the similarity; the diagonal is ignored.
        n: number of nodes.
        mode: which pairs.
        max_pairs: more pairs than this are an error, not a graph.

    Returns:
        low (pairs,), high (pairs,) node indices with low < high, and score (pairs,) float32.

    Raises:
        EmptyGraphError: no pair is left.
        ConfigError: more than ``max_pairs`` pairs.
    """
    if mode.kind == "top":
        low, high, score = _top_pairs(block, n, int(mode.value), max_pairs)
    elif mode.kind == "threshold":
        low, high, score = _pairs_above(block, n, np.float32(mode.value), max_pairs)
    else:
        low, high, score = _pairs_at_percentile(block, n, mode.value, max_pairs)
    positive = score > 0
    if not positive.any():
        raise EmptyGraphError(
            f"no pair of {n:,} genes has a positive score and passes {mode.kind}_{mode.value:g}",
            remedy="choose a looser mode, such as top_20",
        )
    return low[positive], high[positive], score[positive]


def _top_pairs(block: Block, n: int, k: int, max_pairs: int) -> Pairs:
    low, high, score = [], [], []
    k = min(k, n - 1)
    if n * k > 2 * max_pairs:
        raise _too_many(max_pairs)
    for start, values in _blocks(block, n):
        rows = np.arange(len(values))
        values[rows, start + rows] = -np.inf
        kth = np.partition(values, n - k, axis=1)[:, n - k]
        # Everything that ties with the k-th is taken up, and then ranked by node, so that ties are not left to chance.
        row, col = np.nonzero(values >= kth[:, None])
        found = values[row, col]
        order = np.lexsort((col, -found, row))
        order = order[rank_in_run(row[order]) < k]
        row, col = row[order] + start, col[order]
        low.append(np.minimum(row, col))
        high.append(np.maximum(row, col))
        score.append(found[order])
    lows, highs = np.concatenate(low), np.concatenate(high)
    # A pair that both of its ends chose was scored twice, in two blocks: the last digit may differ.
    code, first = np.unique(lows * n + highs, return_index=True)
    return code // n, code % n, np.concatenate(score)[first]


def _pairs_above(block: Block, n: int, minimum: np.float32, max_pairs: int) -> Pairs:
    low, high, score = [], [], []
    total = 0
    for start, values in _blocks(block, n):
        row, col = np.nonzero(values >= minimum)
        keep = col > row + start
        row, col = row[keep], col[keep]
        total += len(row)
        if total > max_pairs:
            raise _too_many(max_pairs)
        low.append(row + start)
        high.append(col)
        score.append(values[row, col])
    return np.concatenate(low), np.concatenate(high), np.concatenate(score)


def _pairs_at_percentile(block: Block, n: int, q: float, max_pairs: int) -> Pairs:
    """Exact: a histogram finds the bin of the percentile, then only the pairs from that bin upwards are looked at."""
    total = n * (n - 1) // 2
    if total * (1 - q / 100) > max_pairs:
        raise _too_many(max_pairs)
    smallest, largest = _extent(block, n)
    edges = np.linspace(smallest, largest, _BINS + 1)
    counts = np.zeros(_BINS, dtype=np.int64)
    for start, values in _blocks(block, n):
        counts += np.histogram(_upper(values, start), bins=edges)[0]
    rank = q / 100 * (total - 1)
    cumulative = np.cumsum(counts)
    bin_of_rank = int(np.searchsorted(cumulative, np.floor(rank), side="right"))
    low, high, score = _pairs_above(block, n, np.float32(np.nextafter(edges[bin_of_rank], -np.inf)), total)
    below = total - len(score)
    ordered = np.sort(score)
    at = int(np.floor(rank)) - below
    after = min(at + 1, len(ordered) - 1)
    cut = ordered[at] + (rank - np.floor(rank)) * (ordered[after] - ordered[at])
    keep = score >= np.float32(cut)
    if keep.sum() > max_pairs:
        raise _too_many(max_pairs)
    return low[keep], high[keep], score[keep]


def _blocks(block: Block, n: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    size = max(1, _BLOCK_VALUES // n)
    for start in range(0, n, size):
        yield start, block(start, min(start + size, n))


def _upper(values: NDArray, start: int) -> NDArray:
    """The scores of a block above the diagonal."""
    columns = np.arange(values.shape[1])
    return values[columns[None, :] > np.arange(start, start + len(values))[:, None]]


def _extent(block: Block, n: int) -> tuple[float, float]:
    upper = [_upper(values, start) for start, values in _blocks(block, n)] if n * n <= _BLOCK_VALUES else None
    if upper is not None:
        joined = np.concatenate(upper)
        return float(joined.min()), float(joined.max())
    smallest, largest = np.inf, -np.inf
    for start, values in _blocks(block, n):
        above = _upper(values, start)
        if len(above):
            smallest, largest = min(smallest, float(above.min())), max(largest, float(above.max()))
    return smallest, largest


def _too_many(max_pairs: int) -> ConfigError:
    return ConfigError(
        f"this mode would make more than {max_pairs:,} edges",
        expected="a sparse graph",
        remedy="choose a smaller top_<k>, or a higher threshold_<score> or percentile_<q>",
    )
