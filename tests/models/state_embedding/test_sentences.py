"""Cell sentences: by hand, against a slow reference, and what may not change them."""

import numpy as np
import pytest
import scipy.sparse as sp

from gnnvcell.errors import DataError
from gnnvcell.models.state_embedding.sentences import cell_sentences


def block(seed: int = 0, cells: int = 30, genes: int = 50, values: int = 4) -> sp.csr_array:
    """Few distinct values, so that ties are many."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(1, values + 1, (cells, genes)) * (rng.random((cells, genes)) < rng.random((cells, 1)))
    return sp.csr_array(dense.astype(np.float32))


def rows(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def test_by_hand() -> None:
    made = cell_sentences(sp.csr_array(np.array([[0, 2, 5, 1], [0, 0, 0, 3]], "f4")), 3, rows=rows(2), seed=0)
    assert made.columns.tolist() == [[2, 1, 3], [3, 0, 0]]
    assert made.values.tolist() == [[5, 2, 1], [3, 0, 0]]
    assert made.mask.tolist() == [[True, True, True], [True, False, False]]


def test_highest_values_of_every_cell() -> None:
    given = block()
    made = cell_sentences(given, 12, rows=rows(30), seed=3)
    dense = given.toarray()
    for cell in range(30):
        length = min(12, int((dense[cell] > 0).sum()))
        assert made.mask[cell].tolist() == [place < length for place in range(12)]
        columns = made.columns[cell, :length]
        assert len(set(columns.tolist())) == length
        np.testing.assert_array_equal(made.values[cell, :length], dense[cell, columns])
        np.testing.assert_array_equal(made.values[cell, :length], np.sort(dense[cell])[::-1][:length])


def test_ties_are_shuffled_by_the_seed_alone() -> None:
    given = sp.csr_array(np.ones((400, 20), dtype=np.float32))
    one, same, other = (cell_sentences(given, 5, rows=rows(400), seed=seed).columns for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(axis=1).mean() > 0.99
    # Every gene is as likely to be in a sentence: 100 expected, 8.7 is the standard deviation.
    assert np.abs(np.bincount(one.ravel(), minlength=20) - 100).max() < 40
    assert len(np.unique(one, axis=0)) > 390


def test_a_cell_s_sentence_does_not_depend_on_the_others() -> None:
    given, some = block(), np.array([7, 3, 21])
    whole = cell_sentences(given, 12, rows=rows(30), seed=5)
    part = cell_sentences(sp.csr_array(given[some]), 12, rows=some, seed=5)
    width = part.columns.shape[1]
    np.testing.assert_array_equal(part.columns, whole.columns[some, :width])


def test_blocks_of_any_size(monkeypatch) -> None:
    whole = cell_sentences(block(), 12, rows=rows(30), seed=5)
    monkeypatch.setattr("gnnvcell.models.state_embedding.sentences._KEYS_AT_A_TIME", 60)
    for one, other in zip(whole, cell_sentences(block(), 12, rows=rows(30), seed=5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cell_without_expression_and_bad_values() -> None:
    made = cell_sentences(sp.csr_array((2, 4), dtype=np.float32), 3, rows=rows(2), seed=0)
    assert made.columns.shape == (2, 1)
    assert not made.mask.any()
    with pytest.raises(DataError, match="positive, finite"):
        cell_sentences(sp.csr_array(np.array([[np.nan]], "f4")), 3, rows=rows(1), seed=0)
