"""Diffusion along a frontier: only nodes that mass has reached are visited."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.kernels.threads import over_rows


def frontier_edges(adjacency: Adjacency, state: Tensor, steps: int, *, limit: int) -> int | None:
    """Edges out of the nodes that hold mass, over columns of ``state`` (nodes, d) and steps; None above ``limit``."""
    starts, nodes = _columns(state)
    back = adjacency.transpose
    count = _count(back.indptr.numpy(), back.indices.numpy(), starts, nodes, steps, limit, state.shape[0])
    return None if count > limit else int(count)


def diffuse_frontier(adjacency: Adjacency, state: Tensor, out_weight: Tensor, steps: int, restart: float) -> Tensor:
    """(nodes, d) ``state`` after the steps.

    Args:
        adjacency: edges of a square relation.
        state: (nodes, d).
        out_weight: (edges,) in the row order of the transpose.
        steps, restart: as of ``ops.diffuse``.
    """
    starts, nodes = _columns(state)
    back = adjacency.transpose
    columns = state.T.contiguous().numpy()
    out = np.zeros_like(columns)
    over_rows(
        _diffuse, starts, steps * max(1, adjacency.num_edges // max(1, len(state))),
        back.indptr.numpy(), back.indices.numpy(), out_weight.numpy(), starts, nodes, columns, steps,
        columns.dtype.type(restart), out,
    )  # fmt: skip
    return torch.from_numpy(out).T.contiguous()


def _columns(state: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Where each column's non-zero nodes start, and the nodes."""
    column, node = state.T.nonzero(as_tuple=True)
    counts = torch.bincount(column, minlength=state.shape[1]).cumsum(0)
    return np.concatenate([[0], counts.numpy()]), node.numpy()


# ``no_type_check`` keeps the run-time type check of the tests from wrapping kernels: numba compiles no wrappers.
@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _count(indptr, indices, starts, nodes, steps, limit, size):  # type: ignore[no-untyped-def]
    seen = np.full(size, -1, dtype=np.int64)
    reached = np.empty(size, dtype=np.int64)
    total = 0
    for c in range(len(starts) - 1):
        held = 0
        for i in range(starts[c], starts[c + 1]):
            seen[nodes[i]] = c
            reached[held] = nodes[i]
            held += 1
        for _ in range(steps):
            now = held
            for i in range(now):
                u = reached[i]
                total += indptr[u + 1] - indptr[u]
                if total > limit:
                    return total
                for p in range(indptr[u], indptr[u + 1]):
                    v = indices[p]
                    if seen[v] != c:
                        seen[v] = c
                        reached[held] = v
                        held += 1
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _diffuse(  # type: ignore[no-untyped-def]
    first, last, indptr, indices, weight, starts, nodes, columns, steps, restart, out
):
    size = columns.shape[1]
    seen = np.full(size, -1, dtype=np.int64)
    reached = np.empty(size, dtype=np.int64)
    following = np.zeros(size, dtype=columns.dtype)
    keep = columns.dtype.type(1) - restart
    for c in range(first, last):
        held = 0
        mass, start = out[c], columns[c]
        for i in range(starts[c], starts[c + 1]):
            u = nodes[i]
            seen[u] = c
            reached[held] = u
            held += 1
            mass[u] = start[u]
        for _ in range(steps):
            now = held
            for i in range(now):
                u = reached[i]
                x = keep * mass[u]
                for p in range(indptr[u], indptr[u + 1]):
                    v = indices[p]
                    if seen[v] != c:
                        seen[v] = c
                        reached[held] = v
                        held += 1
                    following[v] += x * weight[p]
            for i in range(held):
                u = reached[i]
                mass[u] = following[u] + restart * start[u]
                following[u] = 0
