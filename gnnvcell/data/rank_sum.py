"""Rank sums of every group of cells against control cells, gene by gene, in compiled code and bounded memory."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtr

from gnnvcell.errors import DataError

# Entries of one task: each thread holds some 50 MB of them at a time.
_ENTRIES_AT_A_TIME = 1 << 20
_BITS = 11  # of a digit of the radix sort


@dataclass(frozen=True, eq=False)
class RankSums:
    """What the tests need to know.

    Args:
        u: (groups, genes) Mann-Whitney's U of the group: pairs of a perturbed and a control cell in which the perturbed
            one has the higher value, ties counted half.
        ties: (groups, genes) ``sum(t^3 - t)`` over values shared by t cells of the group and the controls together.
        sums: (groups + control groups, genes) sums of values.
    """

    u: NDArray[np.float64]
    ties: NDArray[np.float64]
    sums: NDArray[np.float64]


def rank_sums(
    matrix: sp.csr_array | NDArray,
    group: NDArray,
    groups: int,
    *,
    control_groups: int = 1,
    scale: NDArray | None = None,
    threads: int = 1,
) -> RankSums:
    """Rank the cells of each group among the controls, for all groups of a gene at once.

    The cells that express a gene are sorted once (radix sort of the bits of their values); one sweep over them counts
    for every group. Cells that do not express it are ties at zero and handled in closed form, so that the time goes
    with the number of stored entries and not with groups x cells. Results do not depend on the number of threads.

    Args:
        matrix: (cells, genes) values >= 0, CSR or a dense array.
        group: (cells,) 0 .. groups - 1 for perturbed cells, groups .. groups + control_groups - 1 for control cells, -1
            for cells that are left out.
        groups: number of perturbed groups.
        control_groups: number of groups of control cells that are summed apart; the test pools them.
        scale: (cells,) where given, a value x becomes ``log1p(x * scale)`` in float64 first; else values are ranked in
            their own precision.
        threads: that work on ranges of genes.

    Raises:
        DataError: a value is negative or NaN.
    """
    group = np.ascontiguousarray(group, dtype=np.int32)
    if not isinstance(matrix, np.ndarray) and not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    sizes = np.bincount(group[group >= 0], minlength=groups + control_groups).astype(np.int64)
    kind = np.float32 if scale is None and matrix.dtype.itemsize <= 4 and matrix.dtype.kind == "f" else np.float64
    cells = _Cells.of(matrix, group, scale, kind)
    stored = cells.stored_by_gene()
    genes = len(stored)
    out = tuple(np.zeros((genes, rows)) for rows in (groups, groups, groups + control_groups))
    work = iter(_ranges(stored, threads))

    def go() -> None:
        for first, last in work:  # a list's iterator hands every range to one thread
            start, value, member = cells.columns(first, last, stored[first:last])
            part = tuple(array[first:last] for array in out)
            _sweep(start, value.view(f"u{kind().itemsize}"), value, member, groups, sizes, *part)

    if threads == 1:
        go()
    else:
        with ThreadPoolExecutor(threads, thread_name_prefix="gnnvcell-de") as pool:
            for done in [pool.submit(go) for _ in range(threads)]:
                done.result()
    return RankSums(*(np.ascontiguousarray(array.T) for array in out))


def p_values(sums: RankSums, in_group: NDArray, controls: int) -> NDArray[np.float64]:
    """(groups, genes) two-sided p values by the normal approximation, corrected for ties and continuity.

    As ``scipy.stats.mannwhitneyu(method="asymptotic")``, and 1 where all cells share one value.

    Args:
        sums: of ``rank_sums``.
        in_group: (groups,) number of cells.
        controls: number of control cells.
    """
    n = np.asarray(in_group, dtype=np.float64)[:, None]
    total, pairs = n + controls, n * controls
    variance = pairs / 12 * ((total + 1) - sums.ties / (total * (total - 1)))
    distance = np.maximum(np.abs(sums.u - pairs / 2) - 0.5, 0)
    # A gene with one value in all cells has no variance, and nothing to tell apart.
    z = np.divide(distance, np.sqrt(np.maximum(variance, 0)), out=np.zeros_like(sums.u), where=variance > 0)
    return np.minimum(2 * ndtr(-z), 1.0)


def usable_threads() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ranges(stored: NDArray[np.int64], threads: int) -> list[tuple[int, int]]:
    """Ranges of genes with about equal numbers of entries, a few for each thread, none with too many (one gene may)."""
    cost = np.cumsum(stored + 1)
    parts = max(threads * 4 if threads > 1 else 1, int(np.ceil(cost[-1] / _ENTRIES_AT_A_TIME)))
    bounds = np.searchsorted(cost, np.linspace(0, cost[-1], parts + 1)[1:-1])
    return [(a, b) for a, b in itertools.pairwise([0, *bounds.tolist(), len(stored)]) if b > a]


@dataclass(frozen=True, eq=False)
class _Cells:
    """The cells, from which ranges of genes are taken gene by gene."""

    parts: tuple[NDArray, ...]  # indptr, indices, data of CSR; or the dense array
    genes: int
    group: NDArray[np.int32]
    scale: NDArray[np.float64]  # empty where values are taken as they are
    kind: type

    @classmethod
    def of(cls, matrix: Any, group: NDArray, scale: NDArray | None, kind: type) -> "_Cells":
        parts = (matrix,) if isinstance(matrix, np.ndarray) else (matrix.indptr, matrix.indices, matrix.data)
        scale = np.empty(0) if scale is None else np.asarray(scale, dtype=np.float64)
        return cls(parts, matrix.shape[1], group, scale, kind)

    def stored_by_gene(self) -> NDArray[np.int64]:
        """(genes,) entries that are not zero, in the cells that are used.

        Raises:
            DataError: one is negative or NaN; the sort takes bits for values and would misplace it.
        """
        count: Any = _count_dense if len(self.parts) == 1 else _count_sparse
        stored, bad = count(*self.parts, self.group, self.genes)
        if bad:
            raise DataError(f"{bad:,} values cannot be ranked", expected="numbers >= 0", found="negative ones or NaN")
        return stored

    def columns(self, first: int, last: int, stored: NDArray[np.int64]) -> tuple[NDArray, NDArray, NDArray]:
        """Entries of a range of genes: (genes + 1) starts, values, groups."""
        start = np.concatenate([[0], np.cumsum(stored)])
        value = np.empty(int(start[-1]), dtype=self.kind)
        member = np.empty(int(start[-1]), dtype=np.int32)
        gather: Any = _gather_dense if len(self.parts) == 1 else _gather_sparse
        gather(*self.parts, self.group, self.scale, first, last, start[:-1].copy(), value, member)
        return start, value, member


@numba.njit(nogil=True, cache=True)
@no_type_check
def _count_sparse(indptr, indices, data, group, genes):
    count, bad = np.zeros(genes, dtype=np.int64), 0
    for row in range(len(group)):
        if group[row] >= 0:
            for k in range(indptr[row], indptr[row + 1]):
                count[indices[k]] += data[k] != 0
                bad += not data[k] >= 0
    return count, bad


@numba.njit(nogil=True, cache=True)
@no_type_check
def _count_dense(matrix, group, genes):
    count, bad = np.zeros(genes, dtype=np.int64), 0
    for row in range(len(group)):
        if group[row] >= 0:
            for gene in range(genes):
                count[gene] += matrix[row, gene] != 0
                bad += not matrix[row, gene] >= 0
    return count, bad


@numba.njit(nogil=True, cache=True)
@no_type_check
def _gather_sparse(indptr, indices, data, group, scale, first, last, cursor, value, member):
    for row in range(len(group)):
        if group[row] < 0:
            continue
        low, end = indptr[row], indptr[row + 1]
        high = end
        while low < high:  # first entry of the range
            middle = (low + high) // 2
            if indices[middle] < first:
                low = middle + 1
            else:
                high = middle
        k = low
        while k < end and indices[k] < last:
            if data[k] != 0:
                place = cursor[indices[k] - first]
                cursor[indices[k] - first] = place + 1
                value[place] = np.log1p(data[k] * scale[row]) if len(scale) else data[k]
                member[place] = group[row]
            k += 1


@numba.njit(nogil=True, cache=True)
@no_type_check
def _gather_dense(matrix, group, scale, first, last, cursor, value, member):
    for row in range(len(group)):
        if group[row] < 0:
            continue
        for gene in range(first, last):
            if matrix[row, gene] != 0:
                place = cursor[gene - first]
                cursor[gene - first] = place + 1
                value[place] = np.log1p(matrix[row, gene] * scale[row]) if len(scale) else matrix[row, gene]
                member[place] = group[row]


@numba.njit(nogil=True, cache=True)
@no_type_check
def _sweep(start, bits, value, member, groups, sizes, u, ties, sums):
    """Fill u, ties and sums, (genes, ...), from the entries of each gene; sorts ``bits`` and ``member`` in place."""
    longest = 0
    for gene in range(len(start) - 1):
        longest = max(longest, start[gene + 1] - start[gene])
    spare_bits, spare_member = np.empty(longest, bits.dtype), np.empty(longest, np.int32)
    counts = np.zeros((8 * bits.itemsize + _BITS - 1) // _BITS * (1 << _BITS), np.int64).reshape(-1, 1 << _BITS)
    stored, among = np.zeros(len(sizes), np.int64), np.zeros(groups, np.int64)
    controls = 0
    for g in range(groups, len(sizes)):
        controls += sizes[g]
    for gene in range(len(start) - 1):
        first, last = start[gene], start[gene + 1]
        stored[:] = 0
        for k in range(first, last):
            stored[member[k]] += 1
            sums[gene, member[k]] += value[k]
        silent = controls
        for g in range(groups, len(sizes)):
            silent -= stored[g]
        keys, owner = bits[first:last], member[first:last]
        _sort(keys, owner, spare_bits, spare_member, counts)
        shared = _rank(keys, owner, groups, silent, among, u[gene], ties[gene])
        for g in range(groups):
            quiet = sizes[g] - stored[g]
            u[gene, g] += 0.5 * quiet * silent
            ties[gene, g] += shared + _cubed(silent + quiet)


@numba.njit(nogil=True, cache=True)
@no_type_check
def _rank(keys, owner, groups, below, among, u, ties):
    """Add one gene's sorted entries to u and ties; returns the tie term of the controls among themselves."""
    shared = 0.0
    low = 0
    while low < len(keys):
        high = low + 1
        while high < len(keys) and keys[high] == keys[low]:
            high += 1
        if high == low + 1:
            if owner[low] < groups:
                u[owner[low]] += below
            else:
                below += 1
            low = high
            continue
        level = 0
        for k in range(low, high):
            if owner[k] < groups:
                among[owner[k]] += 1
            else:
                level += 1
        shared += _cubed(level)
        for k in range(low, high):
            g = owner[k]
            if g < groups and among[g] > 0:
                u[g] += among[g] * (below + 0.5 * level)
                ties[g] += _cubed(level + among[g]) - _cubed(level)
                among[g] = 0
        below += level
        low = high
    return shared


@numba.njit(nogil=True, cache=True)
@no_type_check
def _cubed(count):
    n = float(count)
    return n * n * n - n


@numba.njit(nogil=True, cache=True)
@no_type_check
def _sort(keys, owner, spare_keys, spare_owner, counts):
    """Sort keys, and owner along with them, by the bits of positive floats, which are in the order of the floats."""
    n = len(keys)
    if n < 2:
        return
    mask = (1 << _BITS) - 1
    counts[:] = 0
    for k in range(n):
        key = np.uint64(keys[k])
        for digit in range(len(counts)):
            counts[digit, (key >> np.uint64(digit * _BITS)) & np.uint64(mask)] += 1
    a, b, x, y = keys, spare_keys[:n], owner, spare_owner[:n]
    swapped = False
    for digit in range(len(counts)):
        shift, count = np.uint64(digit * _BITS), counts[digit]
        if count[(np.uint64(a[0]) >> shift) & np.uint64(mask)] == n:  # all share this digit
            continue
        total = 0
        for d in range(len(count)):
            here = count[d]
            count[d] = total
            total += here
        for k in range(n):
            d = (np.uint64(a[k]) >> shift) & np.uint64(mask)
            place = count[d]
            count[d] = place + 1
            b[place] = a[k]
            y[place] = x[k]
        a, b, x, y = b, a, y, x
        swapped = not swapped
    if swapped:
        keys[:] = a
        owner[:] = x
