"""Nearest cells by exact cosine similarity, and labels that are handed on from them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.errors import DataError

_ENTRIES = 1 << 24  # similarities kept at a time, 64 MiB


class Nearest(NamedTuple):
    """Nearest reference cells of each query cell, most similar first.

    Args:
        rows: (queries, k) int64 rows of the reference.
        similarity: (queries, k) float32 cosine similarity, in [-1, 1].
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


def nearest_cells(
    reference: NDArray[np.floating], query: NDArray[np.floating], k: int = 10, *, progress: bool = True
) -> Nearest:
    """The k reference cells with the highest cosine similarity to each query cell, exactly.

    Similarities are made block by block. Equally similar cells come in the order of the reference.

    Args:
        reference: (cells, d).
        query: (queries, d).
        k: how many; at most the number of reference cells are given.
        progress: a bar on stderr.

    Raises:
        DataError: widths that differ, no cells, k below 1, or values that are not finite.
    """
    if reference.ndim != 2 or query.ndim != 2 or reference.shape[1] != query.shape[1] or not len(reference) or k < 1:
        raise DataError(
            "reference and query cannot be compared",
            expected="embeddings of the same width, at least one reference cell, k of at least 1",
            found=f"reference {reference.shape}, query {query.shape}, k={k}",
        )
    left, right = _unit(query), _unit(reference)
    k = min(k, len(right))
    rows = np.empty((len(left), k), dtype=np.int64)
    similarity = np.empty((len(left), k), dtype=np.float32)
    step = max(1, _ENTRIES // len(right))
    with tqdm(total=len(left), desc="searching", unit="cell", disable=None if progress else True) as bar:
        for start in range(0, len(left), step):
            part = slice(start, start + step)
            found = left[part] @ right.T
            rows[part] = _highest(found, k)
            similarity[part] = np.take_along_axis(found, rows[part], axis=1)
            bar.update(len(found))
    return Nearest(rows, similarity.clip(-1, 1))


def handed_on(nearest: Nearest, labels: NDArray) -> tuple[NDArray, NDArray[np.float32]]:
    """The label that the nearest cells of each query cell vote for, weighted by similarity, and its share of votes.

    Similarities below 0 have no vote; without any vote the most similar cell decides, with share 0.

    Args:
        nearest: of ``nearest_cells``.
        labels: (reference cells,) str.
    """
    names, code = np.unique(labels.astype(str), return_inverse=True)
    votes = np.zeros((len(nearest.rows), len(names)))
    weight = np.maximum(nearest.similarity, 0).astype(np.float64)
    np.add.at(votes, (np.arange(len(votes))[:, None], code[nearest.rows]), weight)
    total = votes.sum(axis=1)
    chosen = np.where(total > 0, votes.argmax(axis=1), code[nearest.rows[:, 0]])
    share = votes.max(axis=1) / np.where(total > 0, total, 1)
    return names[chosen], share.astype(np.float32)


def _unit(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows at length 1; zero rows stay zero."""
    values = np.asarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{int((~np.isfinite(values).all(axis=1)).sum()):,} embeddings are not finite")
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


def _highest(similarity: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(queries, k) columns of the highest values, descending, ties in the order of the columns."""
    # The k-th highest value and all that equal it stay in the race, so that ties do not depend on the partition.
    limit = np.partition(similarity, -k, axis=1)[:, -k]
    chosen = np.empty((len(similarity), k), dtype=np.int64)
    for row, values in enumerate(similarity):
        there = np.flatnonzero(values >= limit[row])
        chosen[row] = there[np.argsort(-values[there], kind="stable")[:k]]
    return chosen
