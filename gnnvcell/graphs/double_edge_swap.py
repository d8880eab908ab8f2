"""Degree-preserving randomisation of one edge list by double-edge swaps, on plain arrays.

A swap takes two edges a-b and c-d and makes them a-d and c-b, unless that would make a self loop or an edge that is
already there. Every node keeps its degree exactly (out- and in-degree where edges have a direction). Repeated often
enough the graph is a uniform sample of the simple graphs with these degrees (Milo et al. 2003, cond-mat/0312028;
Fosdick et al. 2018, SIAM Review 60:315). Swaps cannot reverse a directed three-cycle, the one known gap of the method
for directed graphs, of no consequence for graphs with more than a handful of nodes.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, GraphIntegrityError

_EMPTY = np.int64(-1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Random rows are drawn in portions of this size.
_PORTION = 1 << 20
# The smallest graphs are tried this often at least, where a multiple of their few edges would be too little to mix.
_MIN_ATTEMPTS = 200
_MAX_ITERATIONS, _TOLERANCE = 200, 1e-4


@dataclass(frozen=True)
class Swapped:
    """A rewired edge list and how well it mixed.

    Args:
        src: (edges,) int64 first ends; row i is what became of row i of the input, so weights and signs stay by row.
        dst: (edges,) int64 second ends.
        attempts: swaps tried.
        accepted: swaps done.
        share_kept: share of the original edges that are there after the swaps.
        share_expected: the same share in a random simple graph with these degrees (``expected_share``); a share kept
            far above it means that more swaps are needed.
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    attempts: int
    accepted: int
    share_kept: float
    share_expected: float


def double_edge_swap(
    src: NDArray,
    dst: NDArray,
    *,
    num_src: int,
    num_dst: int,
    directed: bool,
    same_nodes: bool,
    rng: np.random.Generator,
    swaps_per_edge: float = 10.0,
) -> Swapped:
    """Rewire a simple graph by double-edge swaps.

    The number of swaps tried is fixed beforehand, and a refused one counts: stopping at a number of accepted swaps
    would favour graphs that have many possible ones.

    Args:
        src: (edges,) first ends, codes below ``num_src``.
        dst: (edges,) second ends, codes below ``num_dst``.
        num_src: number of nodes on the first side.
        num_dst: number of nodes on the second side.
        directed: whether the ends keep their sides. False for an undirected relation listed once per pair.
        same_nodes: whether both sides are the same nodes, so that self loops are possible and must not arise.
        rng: source of randomness; the same state gives the same result.
        swaps_per_edge: swaps tried, as a multiple of the number of edges (at least 200 swaps in all).

    Raises:
        GraphIntegrityError: the input has an edge twice or a self loop (only simple graphs can be rewired), or codes
            that are out of range.
        ConfigError: ``swaps_per_edge`` is not a positive number, or an undirected relation joins two node types.
    """
    if not swaps_per_edge > 0 or not np.isfinite(swaps_per_edge):
        raise ConfigError("swaps_per_edge must be a positive number", found=repr(swaps_per_edge))
    if not directed and not same_nodes:
        raise ConfigError("an undirected relation must have the same nodes on both sides", remedy="set directed=True")
    src, dst = np.array(src, dtype=np.int64), np.array(dst, dtype=np.int64)
    _check_codes(src, num_src)
    _check_codes(dst, num_dst)
    table = _make_table(len(src))
    duplicate = _fill(table, src, dst, num_dst, directed, same_nodes)
    if duplicate >= 0:
        what = "a self loop" if same_nodes and src[duplicate] == dst[duplicate] else "an edge that is there twice"
        raise GraphIntegrityError(
            f"cannot rewire {what}: {src[duplicate]} - {dst[duplicate]}",
            expected="a simple graph: each pair once, no self loops",
            remedy="merge duplicate edges and drop self loops first, as build does",
        )
    expected = expected_share(src, dst, num_src=num_src, num_dst=num_dst, directed=directed)
    original = _sorted_keys(src, dst, num_dst, directed)
    # Both ends of an edge beside each other: one access to memory instead of two.
    ends = np.column_stack([src, dst])
    attempts = max(math.ceil(swaps_per_edge * len(src)), _MIN_ATTEMPTS) if len(src) > 1 else 0
    accepted = _swap_many(table, ends, num_dst, directed, same_nodes, rng, attempts)
    src, dst = np.ascontiguousarray(ends[:, 0]), np.ascontiguousarray(ends[:, 1])
    kept = np.intersect1d(original, _sorted_keys(src, dst, num_dst, directed), assume_unique=True)
    share_kept = len(kept) / len(src) if len(src) else 1.0
    return Swapped(src, dst, attempts, accepted, share_kept, expected)


def _swap_many(
    table: NDArray,
    ends: NDArray,
    num_dst: int,
    directed: bool,
    same_nodes: bool,
    rng: np.random.Generator,
    attempts: int,
) -> int:
    """Try that many swaps, in place; how many were done."""
    edges, accepted = len(ends), 0
    for start in range(0, attempts, _PORTION):
        size = min(_PORTION, attempts - start)
        first = rng.integers(0, edges, size)
        # The second edge is drawn with its orientation: an undirected edge may be entered from either end.
        second = rng.integers(0, edges if directed else 2 * edges, size)
        accepted += _swap(table, ends, num_dst, directed, same_nodes, first, second)
    return int(accepted)


def _check_codes(codes: NDArray, count: int) -> None:
    if len(codes) and (codes.min() < 0 or codes.max() >= count):
        raise GraphIntegrityError(
            "edges point outside the nodes", expected=f"0 to {count - 1}", found=f"{codes.min()} to {codes.max()}"
        )


def _sorted_keys(src: NDArray, dst: NDArray, num_dst: int, directed: bool) -> NDArray[np.int64]:
    low, high = (src, dst) if directed else (np.minimum(src, dst), np.maximum(src, dst))
    return np.sort(low * np.int64(num_dst) + high)


def expected_share(src: NDArray, dst: NDArray, *, num_src: int, num_dst: int, directed: bool) -> float:
    """Mean over the edges of the chance that a random simple graph with these degrees has the edge.

    Under the maximum-entropy model of simple graphs the chance of i - j is ``x_i y_j / (1 + x_i y_j)``, with x and y
    such that every node has its degree on average (Park & Newman 2004, Phys. Rev. E 70:066117; Squartini & Garlaschelli
    2011, New J. Phys. 13:083001). Nodes of one degree share one x, so the fixed point is over distinct degrees. The
    usual ``d_i d_j / 2m`` would be far too low where hubs are linked to nearly everything.

    Args:
        src: (edges,) first ends.
        dst: (edges,) second ends.
        num_src: number of nodes on the first side.
        num_dst: number of nodes on the second side.
        directed: as in ``double_edge_swap``.
    """
    if not len(src):
        return 1.0
    out_degree, in_degree = np.bincount(src, minlength=num_src), np.bincount(dst, minlength=num_dst)
    if not directed:
        out_degree = in_degree = out_degree + in_degree
    rows, row_of, row_count = np.unique(out_degree, return_inverse=True, return_counts=True)
    columns, column_of, column_count = np.unique(in_degree, return_inverse=True, return_counts=True)
    chance = _maximum_entropy(rows, row_count, columns, column_count)
    return float(chance[row_of[src], column_of[dst]].mean())


def _maximum_entropy(rows: NDArray, row_count: NDArray, columns: NDArray, column_count: NDArray) -> NDArray[np.float64]:
    """(distinct row degrees, distinct column degrees) chance of an edge; a count is how many nodes have the degree."""
    scale = np.sqrt((rows * row_count).sum())
    x, y = rows / scale, columns / scale
    for _ in range(_MAX_ITERATIONS):
        open_ = 1 / (1 + np.outer(x, y))
        x = rows / (open_ @ (y * column_count))
        open_ = 1 / (1 + np.outer(x, y))
        y = columns / ((x * row_count) @ open_)
        chance = 1 - 1 / (1 + np.outer(x, y))
        if np.abs(chance @ column_count - rows).max() < _TOLERANCE * max(rows.max(), 1):
            break
    return chance


def _make_table(edges: int) -> NDArray[np.int64]:
    """An empty hash set for that many keys: a power of two, at most half full."""
    return np.full(1 << max(4, int(2 * edges).bit_length()), _EMPTY, dtype=np.int64)


# ``no_type_check`` keeps the run-time type check of the tests from wrapping the kernels: numba compiles no wrappers.
# ``table`` is int64, a power of two long; keys are ``source * num_dst + target``, the smaller end first if undirected.


@numba.njit(cache=True, inline="always")
@no_type_check
def _slot(key, mask):
    mixed = np.uint64(key) * _GOLDEN
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@numba.njit(cache=True, inline="always")
@no_type_check
def _key(source, target, num_dst, directed):
    if not directed and source > target:
        source, target = target, source
    return source * num_dst + target


@numba.njit(cache=True)
@no_type_check
def _find(table, key):
    """The slot of a key, or the empty slot where it would go."""
    mask = np.int64(len(table) - 1)
    slot = _slot(key, mask)
    while table[slot] != _EMPTY and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True)
@no_type_check
def _remove(table, key):
    """Remove a key and close the gap (backward shift), so that no tombstones pile up over millions of swaps."""
    mask = np.int64(len(table) - 1)
    gap = _find(table, key)
    follower = (gap + 1) & mask
    while table[follower] != _EMPTY:
        home = _slot(table[follower], mask)
        if ((follower - home) & mask) >= ((follower - gap) & mask):
            table[gap] = table[follower]
            gap = follower
        follower = (follower + 1) & mask
    table[gap] = _EMPTY


@numba.njit(cache=True)
@no_type_check
def _fill(table, src, dst, num_dst, directed, same_nodes):
    """Put all edges in; the first row that is a self loop or a repetition, or -1."""
    for row in range(len(src)):
        key = _key(src[row], dst[row], num_dst, directed)
        slot = _find(table, key)
        if table[slot] == key or (same_nodes and src[row] == dst[row]):
            return row
        table[slot] = key
    return -1


@numba.njit(cache=True)
@no_type_check
def _swap(table, ends, num_dst, directed, same_nodes, first, second):
    """Try one swap for each pair of rows of ``ends`` (edges, 2), in place; how many were done."""
    edges = len(ends)
    accepted = 0
    for trial in range(len(first)):
        i, j = first[trial], second[trial]
        turned = j >= edges
        if turned:
            j -= edges
        near, far = (1, 0) if turned else (0, 1)
        a, b, c, d = ends[i, 0], ends[i, 1], ends[j, near], ends[j, far]
        if a == c or b == d or (same_nodes and (a == d or c == b)):
            continue  # the same two edges again, or a self loop
        one, two = _key(a, d, num_dst, directed), _key(c, b, num_dst, directed)
        if table[_find(table, one)] == one or table[_find(table, two)] == two:
            continue
        _remove(table, _key(a, b, num_dst, directed))
        _remove(table, _key(c, d, num_dst, directed))
        table[_find(table, one)] = one
        table[_find(table, two)] = two
        ends[i, 1] = d
        ends[j, far] = b
        accepted += 1
    return accepted
