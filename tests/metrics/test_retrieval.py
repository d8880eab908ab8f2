"""Retrieval of perturbations from their observed signatures."""

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DataError
from gnnvcell.metrics import by_strata
from gnnvcell.metrics.retrieval import Retrieval, pair_similarity, ranked, retrieval_chance, retrieve

GENES = ["x", "y", "z"]


def test_ranks_by_hand() -> None:
    similarity = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    found = ranked(similarity, np.array([0, 1, 2]))
    assert found.rank.tolist() == [1, 2, 3]
    assert found.reciprocal_rank.tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert found.hits(2).tolist() == [1, 1, 0]
    assert list(found.scores()) == ["reciprocal_rank", "hits_at_1", "hits_at_5", "hits_at_10"]


def test_ties_count_as_their_expectation() -> None:
    """Behind one better candidate three stand equal: the rank is 2, 3 or 4 with one third each."""
    found = ranked(np.array([[0.9, 0.5, 0.5, 0.5, 0.1]]), np.array([1]))
    assert (found.better.item(), found.tied.item()) == (1, 3)
    assert found.rank.item() == 3
    assert found.hits(1).item() == 0
    assert found.hits(2).item() == pytest.approx(1 / 3)
    assert found.hits(4).item() == 1
    assert found.reciprocal_rank.item() == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_the_same_prediction_for_all_is_at_chance_exactly() -> None:
    rng = np.random.default_rng(0)
    signatures, names = rng.normal(size=(7, 5)), [f"P{i}" for i in range(7)]
    found = retrieve(signatures, names, np.tile(rng.normal(size=5), (7, 1)), names, list("abcde"))
    chance = retrieval_chance(7, (1, 3))
    for name, values in found.scores((1, 3)).items():
        assert values == pytest.approx(np.full(7, chance[name]))


def test_chance_by_hand() -> None:
    chance = retrieval_chance(4, (1, 5))
    assert chance["reciprocal_rank"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert (chance["hits_at_1"], chance["hits_at_5"]) == (0.25, 1.0)
    rng = np.random.default_rng(1)
    drawn = ranked(rng.random((4000, 50)), rng.integers(50, size=4000))
    expected = retrieval_chance(50)
    assert drawn.hits(5).mean() == pytest.approx(expected["hits_at_5"], abs=0.015)
    assert drawn.reciprocal_rank.mean() == pytest.approx(expected["reciprocal_rank"], abs=0.01)


def test_similarity_by_hand() -> None:
    x, y = np.array([[1.0, 2.0, 5.0]]), np.array([[2.0, 1.0, 9.0], [0.0, 0.0, 1.0]])
    both = np.array([[True, True, False]]), np.ones((2, 3), dtype=bool)
    assert pair_similarity(x, y, *both)[0].tolist() == pytest.approx([4 / 5, 0])
    whole = pair_similarity(x, y, np.ones((1, 3)), np.ones((2, 3)), similarity="pearson")[0]
    assert whole.tolist() == pytest.approx([np.corrcoef(x[0], row)[0, 1] for row in y])
    weighted = pair_similarity(x, y, np.array([[1.0, 4.0, 0.0]]), np.ones((2, 3)))[0, 0]
    assert weighted == pytest.approx((1 * 2 + 4 * 2) / np.sqrt((1 + 16) * (4 + 4)))


@pytest.mark.parametrize("similarity", ["cosine", "pearson"])
def test_masks_mean_what_leaving_the_genes_out_means(similarity: str) -> None:
    rng = np.random.default_rng(2)
    x, y, inside = rng.normal(size=(1, 8)), rng.normal(size=(3, 8)), np.arange(8) < 5
    masked = pair_similarity(x, y, inside[None], np.ones((3, 8)), similarity=similarity)
    short = pair_similarity(x[:, :5], y[:, :5], np.ones((1, 5)), np.ones((3, 5)), similarity=similarity)
    assert masked == pytest.approx(short)


def test_nobody_is_found_by_the_knockdown_itself() -> None:
    """Predictions that hold nothing but each candidate's own knock-down are at chance."""
    names = np.array(list("abcdef"))
    signatures = np.full((6, 6), 0.1) - 3 * np.eye(6)
    found = retrieve(signatures, names, -3 * np.eye(6), names, names)
    assert found.rank.tolist() == [3.5] * 6


def test_centre_removes_what_all_do() -> None:
    common = np.array([5.0, 5.0, 5.0, 5.0])
    own = np.eye(4)[:2] - 0.25
    found = retrieve(common + own, ["A", "B"], common + 0.1 * own[::-1], ["A", "B"], list("wxyz"), centre=common)
    assert found.rank.tolist() == [2, 2]


def test_scores_go_into_strata() -> None:
    import pandas as pd

    found = Retrieval(np.array([0, 0, 9, 9]), np.ones(4, dtype=np.int64), 20)
    table = by_strata(pd.DataFrame(found.scores((5,))), np.array([5.0, 4.0, 0.0, 0.5]), [1.0])
    assert table["hits_at_5"].tolist() == [0, 1]


def test_bad_input() -> None:
    eye = np.eye(3)
    with pytest.raises(DataError, match="1 queries are not among the candidates"):
        retrieve(eye[:1], ["D"], eye, ["A", "B", "C"], GENES)
    with pytest.raises(DataError, match="there twice"):
        retrieve(eye[:1], ["A"], eye, ["A", "A", "C"], GENES)
    with pytest.raises(DataError, match="do not fit their names"):
        retrieve(eye[:2], ["A"], eye, ["A", "B", "C"], GENES)
    with pytest.raises(DataError, match="1 observed deltas are not finite"):
        retrieve(np.array([[np.nan, 1, 1]]), ["A"], eye, ["A", "B", "C"], GENES)
    with pytest.raises(ConfigError, match="unknown similarity"):
        retrieve(eye[:1], ["A"], eye, ["A", "B", "C"], GENES, similarity="cosin")
    with pytest.raises(ConfigError, match="first 0"):
        Retrieval(np.array([0]), np.array([1]), 3).hits(0)
    with pytest.raises(ConfigError, match="no candidates"):
        retrieval_chance(0)


def test_what_was_not_measured_is_left_out() -> None:
    signature = np.array([[1.0, np.nan, 0.0]])
    found = retrieve(signature, ["A"], np.eye(3), ["A", "B", "C"], GENES, measured=np.isfinite(signature))
    assert found.rank.item() == 1
