"""Threads of the compiled kernels: as many as torch uses, safe in forked and threaded data loaders."""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_WORTH_A_THREAD = 100_000  # multiply-adds; a hand-over to a thread costs some 30 us
_pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork


def over_rows(kernel: Callable[..., Any], indptr: NDArray, work_per_edge: int, *arguments: Any) -> list[Any]:
    """Run ``kernel(first_row, last_row, *arguments)`` over ranges of rows with about equal numbers of edges.

    numba's own thread pools either abort when two Python threads use them or break after a fork; ours does neither.

    Args:
        kernel: a compiled function that releases the GIL.
        indptr: (rows + 1,) first edge of each row.
        work_per_edge: multiply-adds per edge, which says whether threads are worth while.
        arguments: passed on.

    Returns:
        What the kernel returned, per range in order of the rows.
    """
    rows, edges = len(indptr) - 1, int(indptr[-1])
    threads = torch.get_num_threads()
    if threads == 1 or rows < threads or edges * work_per_edge < _WORTH_A_THREAD:
        return [kernel(0, rows, *arguments)]
    # A row counts as one edge more, so that graphs of mostly empty rows are shared out too.
    cost = np.asarray(indptr, dtype=np.int64) + np.arange(rows + 1)
    bounds = np.searchsorted(cost, np.linspace(0, cost[-1], threads + 1)[1:-1]).tolist()
    bounds = [0, *bounds, rows]
    ranges = list(itertools.pairwise(bounds))
    futures = [_pool(threads).submit(kernel, *rows, *arguments) for rows in ranges[1:]]
    first_part = kernel(*ranges[0], *arguments)  # this thread works as well
    return [first_part, *(future.result() for future in futures)]


def _pool(threads: int) -> ThreadPoolExecutor:
    process = os.getpid()
    if process not in _pools or _pools[process]._max_workers < threads:
        _pools[process] = ThreadPoolExecutor(threads, thread_name_prefix="gnnvcell")
    return _pools[process]
