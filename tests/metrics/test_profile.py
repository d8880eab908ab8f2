from typing import Any

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DataError
from gnnvcell.metrics import (
    METRICS,
    DECalls,
    PseudoBulk,
    averages,
    normalised_retrieval,
    overlap_at,
    pearson_delta,
    perturbation_discrimination,
    retrieve,
    score_all,
    targets_left_out,
)

NAMES, GENES = np.array(["G0", "G1+G2", "G5", "elsewhere"]), np.array([f"G{i}" for i in range(9)])


def sides(seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    bulks = [PseudoBulk(rng.random((4, 9)), rng.random(9), NAMES, GENES) for _ in range(2)]
    calls = [DECalls(rng.normal(size=(4, 9)), rng.random((4, 9)) ** 4) for _ in range(2)]
    return bulks, calls, rng.normal(size=9), rng.normal(size=9)


def test_every_metric_in_one_table() -> None:
    bulks, calls, centre, lfc_centre = sides()
    table = score_all(*bulks, *calls, centre=centre, lfc_centre=lfc_centre)
    assert table.columns.tolist() == list(METRICS)
    assert table.index.tolist() == NAMES.tolist()
    x, y = (bulk.deltas for bulk in bulks)
    scored = targets_left_out(NAMES, GENES)
    np.testing.assert_array_equal(table["pearson_delta"], pearson_delta(x, y, scored))
    np.testing.assert_array_equal(table["centred_pearson_delta"], pearson_delta(x, y, scored, centre=centre))
    np.testing.assert_array_equal(table["overlap_at_N"], overlap_at(*(c.only(scored) for c in calls)))
    centred = [c.only(scored).centred(lfc_centre) for c in calls]
    np.testing.assert_array_equal(table["centred_overlap_at_N"], overlap_at(*centred))
    means = averages(table)
    assert means["amplitude_ratio"] == np.median(table["amplitude_ratio"])
    assert means["mae"] == table["mae"].mean()


def test_retrieval_is_that_of_signatures_among_predictions() -> None:
    bulks, _, centre, _ = sides()
    table = score_all(*bulks, centre=centre)
    predicted, true = (bulk.deltas for bulk in bulks)
    found = retrieve(true, NAMES, predicted, NAMES, GENES, centre=centre)
    np.testing.assert_array_equal(table["centred_reciprocal_rank"], found.reciprocal_rank)
    np.testing.assert_array_equal(table["hits_at_5"], np.ones(4))  # of four


def test_what_is_computed_depends_on_what_is_given() -> None:
    bulks, calls, centre, lfc_centre = sides()
    plain = set(score_all(*bulks))
    assert not {name for name in plain if name.startswith(("de_", "overlap", "pr_", "roc_", "centred"))}
    assert set(score_all(*bulks, centre=centre)) - plain == {
        "centred_pearson_delta",
        "centred_discrimination_score_cosine",
        "centred_normalised_retrieval",
        "centred_reciprocal_rank",
        "centred_hits_at_5",
    }
    of_calls = set(score_all(*bulks, *calls)) - plain
    assert len(of_calls) == 18
    assert set(score_all(*bulks, *calls, lfc_centre=lfc_centre)) - plain - of_calls == {
        "centred_overlap_at_N",
        "centred_precision_at_N",
        "centred_de_spearman_lfc_sig",
    }


def test_the_two_conventions_differ_in_what_is_left_out() -> None:
    bulks, calls, *_ = sides()
    x, y = (bulk.deltas for bulk in bulks)
    table = score_all(*bulks, *calls, convention="cell-eval")
    np.testing.assert_array_equal(table["pearson_delta"], pearson_delta(x, y))
    np.testing.assert_array_equal(table["overlap_at_N"], overlap_at(*calls))
    names_only = np.array([[name != gene for gene in GENES] for name in NAMES])
    np.testing.assert_array_equal(
        table["discrimination_score_cosine"], perturbation_discrimination(x, y, names_only)
    )
    ours = score_all(*bulks, *calls)
    for name in ("mae", "mse"):
        np.testing.assert_array_equal(ours[name], table[name])


def test_centred_ranks_are_those_of_centred_deltas() -> None:
    bulks, _, centre, _ = sides()
    x, y = (bulk.deltas for bulk in bulks)
    scored = targets_left_out(NAMES, GENES)
    for score in (perturbation_discrimination, normalised_retrieval):
        np.testing.assert_allclose(
            score(x, y, scored, centre=centre), score(x - centre, y - centre, scored), err_msg=score.__name__
        )
    for distance in ("l1", "l2"):
        plain, centred = (
            perturbation_discrimination(x, y, scored, distance=distance, centre=c) for c in (None, centre)
        )
        np.testing.assert_array_equal(plain, centred)


def test_bad_input_is_refused() -> None:
    bulks, calls, *_ = sides()
    with pytest.raises(ConfigError, match="did you mean 'pearson_delta'"):
        score_all(*bulks, metrics=["pearson_deltas"])
    with pytest.raises(DataError, match="pass de_predicted and de_real"):
        score_all(*bulks, metrics=["overlap_at_N"])
    with pytest.raises(DataError, match="pass centre"):
        score_all(*bulks, metrics=["centred_pearson_delta"])
    with pytest.raises(DataError, match="pass lfc_centre"):
        score_all(*bulks, *calls, metrics=["centred_overlap_at_N"])
    other = PseudoBulk(bulks[0].means, bulks[0].control, NAMES, GENES[::-1])
    with pytest.raises(DataError, match="genes of the prediction are not those"):
        score_all(other, bulks[1])
    with pytest.raises(DataError, match="de_real does not fit"):
        score_all(bulks[0], bulks[1], calls[0], DECalls(np.ones((3, 9)), np.ones((3, 9))))
