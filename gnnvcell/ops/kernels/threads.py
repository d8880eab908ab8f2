"""Threads of the compiled kernels: as many as torch uses, safe in forked and threaded data loaders."""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_RANGES_PER_THREAD = 8
_WORTH_A_THREAD = 100_000  # multiply-adds; a hand-over to a thread costs some 30 us
_pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork


def over_rows(kernel: Callable[..., None], indptr: NDArray, work_per_edge: int, *arguments: Any) -> None:
    """Run ``kernel(first_row, last_row, *arguments)`` over ranges of rows with about equal numbers of edges.

    numba's own thread pools either abort when two Python threads use them or break after a fork; ours does neither.
    Whoever is free takes the next range: torch's own threads spin for a while after their work and keep a core busy.

    Args:
        kernel: a compiled function that releases the GIL.
        indptr: (rows + 1,) first edge of each row.
        work_per_edge: multiply-adds per edge, which says whether threads are worth while.
        arguments: passed on.
    """
    rows, edges = len(indptr) - 1, int(indptr[-1])
    threads = torch.get_num_threads()
    if threads == 1 or rows < threads or edges * work_per_edge < _WORTH_A_THREAD:
        kernel(0, rows, *arguments)
        return
    # A row counts as one edge more, so that graphs of mostly empty rows are shared out too.
    cost = np.asarray(indptr, dtype=np.int64) + np.arange(rows + 1)
    shares = np.linspace(0, cost[-1], threads * _RANGES_PER_THREAD + 1)[1:-1]
    bounds = [0, *np.searchsorted(cost, shares).tolist(), rows]
    ranges = iter(list(itertools.pairwise(bounds)))

    def work() -> None:
        for first, last in ranges:  # a list's iterator hands every range to one thread
            kernel(first, last, *arguments)

    others = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()  # this thread works as well
    for other in others:
        other.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    process = os.getpid()
    if process not in _pools or _pools[process]._max_workers < threads:
        _pools[process] = ThreadPoolExecutor(threads, thread_name_prefix="gnnvcell")
    return _pools[process]
