import math

import numpy as np
import pytest
import scipy.sparse as sp

from gnnvcell.errors import ConfigError, EmptyGraphError
from gnnvcell.graphs import projection
from gnnvcell.graphs.projection import MEASURES, information, similar_pairs

# Genes a, b, c, d, e by terms 0..3; term 0 is of all but e, and e has nothing.
INCIDENCE = sp.csr_matrix(
    np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]], dtype=np.float32)
)


def as_dict(pairs) -> dict[tuple[int, int], float]:
    return {(int(s), int(d)): float(w) for s, d, w in zip(pairs.src, pairs.dst, pairs.weight, strict=True)}


def dense_similarity(incidence: np.ndarray, measure: str) -> np.ndarray:
    """The definitions, written as they are read."""
    genes = len(incidence)
    annotated = int((incidence.sum(axis=1) > 0).sum())
    counts = incidence.sum(axis=0)
    content = [math.log(annotated / count) if count else 0.0 for count in counts]
    result = np.zeros((genes, genes))
    for i in range(genes):
        for j in range(genes):
            a, b = set(np.flatnonzero(incidence[i])), set(np.flatnonzero(incidence[j]))
            if measure == "jaccard":
                top, bottom = len(a & b), len(a | b)
            elif measure == "information_content":
                top, bottom = sum(content[t] for t in a & b), sum(content[t] for t in a | b)
            else:
                top = sum(content[t] ** 2 for t in a & b)
                bottom = math.sqrt(sum(content[t] ** 2 for t in a) * sum(content[t] ** 2 for t in b))
            result[i, j] = top / bottom if bottom else 0.0
    return result


def test_information_is_minus_log_of_the_share_of_annotated_genes() -> None:
    assert information(INCIDENCE) == pytest.approx([0.0, math.log(2), math.log(2), math.log(4)])
    assert information(INCIDENCE, total=8)[0] == pytest.approx(math.log(2))


def test_jaccard_by_hand() -> None:
    found = as_dict(similar_pairs(INCIDENCE, measure="jaccard", top_k=4))
    assert found == pytest.approx(
        {(0, 1): 2 / 3, (0, 2): 1 / 3, (0, 3): 1 / 3, (1, 2): 2 / 3, (1, 3): 1 / 4, (2, 3): 1 / 3}
    )


def test_information_content_by_hand() -> None:
    found = as_dict(similar_pairs(INCIDENCE, measure="information_content", top_k=4))
    # Term 0 tells nothing, so d is like nobody; a and b share ln 2 of 2 ln 2.
    assert found == pytest.approx({(0, 1): 0.5, (1, 2): 0.5})


def test_tfidf_by_hand() -> None:
    found = as_dict(similar_pairs(INCIDENCE, measure="tfidf", top_k=4))
    assert found == pytest.approx({(0, 1): 1 / math.sqrt(2), (1, 2): 1 / math.sqrt(2)})


def test_total_changes_the_weight_of_common_terms() -> None:
    found = as_dict(similar_pairs(INCIDENCE, measure="information_content", top_k=4, total=8))
    common, rare, single = math.log(2), math.log(4), math.log(8)
    assert found[0, 3] == pytest.approx(common / (common + rare + single))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0], ids=["all dense", "mixed", "all sparse"])
def test_parity_with_the_definitions(measure: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_DENSE_SHARE", share)
    generator = np.random.default_rng(0)
    incidence = (generator.random((40, 25)) < np.linspace(0.02, 0.6, 25)).astype(np.float32)
    expected = np.triu(dense_similarity(incidence, measure), 1)
    found = similar_pairs(sp.csr_matrix(incidence), measure=measure, top_k=39)
    dense = np.zeros((40, 40))
    dense[found.src, found.dst] = found.weight
    np.testing.assert_allclose(dense, expected, atol=2e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_blocks_do_not_change_the_result(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    incidence = sp.csr_matrix((generator.random((60, 30)) < 0.2).astype(np.float32))
    whole = as_dict(similar_pairs(incidence, measure=measure, top_k=3))
    monkeypatch.setattr("gnnvcell.graphs.similarity._BLOCK_VALUES", 7 * 60)
    assert as_dict(similar_pairs(incidence, measure=measure, top_k=3)) == pytest.approx(whole)


def test_top_k_keeps_the_best_of_either_gene() -> None:
    incidence = sp.csr_matrix(np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=np.float32))
    found = as_dict(similar_pairs(incidence, measure="jaccard", top_k=1))
    # 0's best is 1 (3/4), 1's is 0, 2's is 1 (2/3), 3's is 2 (1/2).
    assert found == pytest.approx({(0, 1): 3 / 4, (1, 2): 2 / 3, (2, 3): 1 / 2})


def test_ties_go_to_the_first_rows() -> None:
    same = sp.csr_matrix(np.ones((6, 2), dtype=np.float32))
    found = as_dict(similar_pairs(same, measure="jaccard", top_k=1))
    assert set(found) == {(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)}


def test_genes_that_share_nothing_are_no_pairs_even_below_k() -> None:
    apart = sp.csr_matrix(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32))
    assert set(as_dict(similar_pairs(apart, measure="jaccard", top_k=3))) == {(0, 1), (2, 3)}


def test_min_similarity_with_and_without_top_k() -> None:
    without = as_dict(similar_pairs(INCIDENCE, measure="jaccard", min_similarity=0.5))
    assert without == pytest.approx({(0, 1): 2 / 3, (1, 2): 2 / 3})
    assert as_dict(similar_pairs(INCIDENCE, measure="jaccard", top_k=4, min_similarity=0.5)) == without


def test_entries_given_twice_count_once() -> None:
    twice = sp.csr_matrix((np.ones(4, np.float32), ([0, 0, 1, 1], [0, 0, 0, 1])), shape=(2, 2))
    assert as_dict(similar_pairs(twice, measure="jaccard", top_k=1)) == pytest.approx({(0, 1): 0.5})


def test_permuting_genes_permutes_the_pairs() -> None:
    generator = np.random.default_rng(2)
    incidence = (generator.random((30, 20)) < 0.3).astype(np.float32)
    order = generator.permutation(30)
    plain = as_dict(similar_pairs(sp.csr_matrix(incidence), measure="tfidf", min_similarity=0.2))
    moved = as_dict(similar_pairs(sp.csr_matrix(incidence[order]), measure="tfidf", min_similarity=0.2))
    back = {tuple(sorted((int(order[i]), int(order[j])))): w for (i, j), w in moved.items()}
    assert back == pytest.approx(plain)


def test_result_is_sorted_and_typed() -> None:
    found = similar_pairs(INCIDENCE, measure="jaccard", top_k=4)
    assert found.weight.dtype == np.float32
    assert found.src.dtype == np.int64
    assert (found.src < found.dst).all()
    assert (np.diff(found.src * 5 + found.dst) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "jacard", "top_k": 3}, "'jaccard'"),
        ({"measure": "jaccard", "top_k": 0}, "at least 1"),
        ({"measure": "jaccard", "min_similarity": 1.5}, "from 0 to 1"),
        ({"measure": "jaccard", "min_similarity": float("nan")}, "from 0 to 1"),
        ({"measure": "jaccard"}, "set top_k"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        similar_pairs(INCIDENCE, **arguments)


def test_nothing_similar_is_an_error() -> None:
    with pytest.raises(EmptyGraphError):
        similar_pairs(sp.csr_matrix(np.eye(4)), measure="jaccard", top_k=2)
    with pytest.raises(EmptyGraphError, match="lower min_similarity"):
        similar_pairs(INCIDENCE, measure="jaccard", top_k=3, min_similarity=0.9)
    with pytest.raises(EmptyGraphError, match="1 genes"):
        similar_pairs(sp.csr_matrix(np.ones((1, 2))), measure="jaccard", top_k=2)
