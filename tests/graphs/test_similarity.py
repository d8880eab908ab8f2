"""Strongest pairs by blocks: parity with the whole matrix, ties, and refusal of dense graphs."""

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError
from gnnvcell.graphs import similarity
from gnnvcell.graphs.similarity import Mode, select_pairs


def scores(n: int = 60, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(n, n)).astype(np.float32)
    return (values + values.T) / 2


def block_of(matrix):
    return lambda start, stop: matrix[start:stop].copy()


@pytest.fixture(params=[1 << 23, 200])
def block_size(request, monkeypatch):
    monkeypatch.setattr(similarity, "_BLOCK_VALUES", request.param)


def reference(matrix, keep):
    low, high = np.triu_indices(len(matrix), 1)
    value = matrix[low, high]
    chosen = keep(low, high, value) & (value > 0)
    return list(zip(low[chosen].tolist(), high[chosen].tolist(), strict=True))


def found(matrix, mode):
    low, high, value = select_pairs(block_of(matrix), len(matrix), Mode.parse(mode))
    assert np.array_equal(value, matrix[low, high])
    return list(zip(low.tolist(), high.tolist(), strict=True))


@pytest.mark.usefixtures("block_size")
def test_top_k_is_the_union_of_both_ends() -> None:
    matrix = scores()
    without_self = matrix - np.diag(np.full(len(matrix), np.inf, dtype=np.float32))
    best = np.argsort(-without_self, axis=1)[:, :4]
    chosen = {(min(i, j), max(i, j)) for i in range(len(matrix)) for j in best[i].tolist()}
    assert found(matrix, "top_4") == sorted(p for p in chosen if matrix[p] > 0)


@pytest.mark.usefixtures("block_size")
def test_threshold_and_percentile_equal_the_whole_matrix() -> None:
    matrix = scores()
    assert found(matrix, "threshold_0.8") == reference(matrix, lambda i, j, v: v >= np.float32(0.8))
    upper = matrix[np.triu_indices(len(matrix), 1)]
    for q in (0.5, 50, 90.3, 99):
        cut = np.percentile(upper.astype(np.float64), q)
        assert found(matrix, f"percentile_{q}") == reference(matrix, lambda i, j, v, cut=cut: v >= np.float32(cut))


def test_ties_go_to_the_first_node() -> None:
    matrix = np.ones((5, 5), dtype=np.float32)
    assert found(matrix, "top_1") == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_more_neighbours_than_nodes_is_every_pair() -> None:
    matrix = np.abs(scores(5)) + 1
    assert len(found(matrix, "top_50")) == 10


def test_dense_and_empty_results_are_errors() -> None:
    matrix = np.abs(scores(30))
    for mode in ("top_20", "threshold_0", "percentile_1"):
        with pytest.raises(ConfigError, match="more than 100 edges"):
            select_pairs(block_of(matrix), 30, Mode.parse(mode), max_pairs=100)
    with pytest.raises(EmptyGraphError, match="positive score"):
        select_pairs(block_of(-matrix), 30, Mode.parse("top_5"))


@pytest.mark.parametrize("text", ["top5", "top_0", "top_2.5", "threshold_-1", "percentile_100", "best_5", "", "top_"])
def test_bad_modes(text) -> None:
    with pytest.raises(ConfigError, match="mode"):
        Mode.parse(text)
