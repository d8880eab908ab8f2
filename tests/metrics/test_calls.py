import numpy as np
import pandas as pd
import pytest

from gnnvcell.errors import DataError
from gnnvcell.metrics import DECalls

NAMES, GENES = np.array(["p", "q"]), np.array(["a", "b", "c"])
TABLE = pd.DataFrame(
    {
        "target": ["q", "q", "p", "p", "p", "other"],
        "feature": ["c", "a", "a", "b", "c", "z"],
        "log2_fold_change": [1.0, -2.0, 0.5, np.inf, 3.0, 9.0],
        "fdr": [0.01, 0.04, 0.05, 0.001, 0.2, 0.0],
    }
)


def test_a_table_becomes_arrays() -> None:
    calls = DECalls.of_table(TABLE, NAMES, GENES)
    np.testing.assert_array_equal(calls.log2_fold_change, np.array([[0.5, np.inf, 3], [-2, np.nan, 1]], np.float32))
    np.testing.assert_array_equal(calls.tested, [[True, True, True], [True, False, True]])
    np.testing.assert_array_equal(calls.significant, [[False, True, False], [True, False, True]])  # .05 is not < .05
    np.testing.assert_array_equal(calls.rank, [[3, 0, 3], [0, 3, 1]])


def test_categories_are_read_as_text() -> None:
    table = TABLE.astype({"target": "category", "feature": "category"})
    np.testing.assert_array_equal(
        DECalls.of_table(table, NAMES, GENES).fdr, DECalls.of_table(TABLE, NAMES, GENES).fdr
    )


def test_what_is_left_out_was_not_tested() -> None:
    calls = DECalls.of_table(TABLE, NAMES, GENES).only(np.array([[True, False, True], [True, True, True]]))
    assert not calls.tested[0, 1]
    np.testing.assert_array_equal(calls.rank, [[3, 3, 3], [0, 3, 1]])


def test_centred_changes_order_and_not_calls() -> None:
    calls = DECalls(np.array([[1.0, 2.0, 3.0]]), np.zeros((1, 3)))
    assert calls.rank.tolist() == [[2, 1, 0]]
    assert calls.centred(np.array([4.0, 2.0, 2.5])).rank.tolist() == [[0, 2, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"fdr": "FDR"}), "no column 'fdr'"),
        (lambda t: t.assign(feature="c"), "3 rows of the table repeat"),
        (lambda t: t[t["target"] != "q"], "lacks 1 of 2 perturbations"),
        (lambda t: t.assign(feature=["c", "A", "a", "b", "c", "z"]), "1 rows of the table are of genes that are not"),
        (lambda t: t.assign(fdr=-0.1), "5 fdr are not between 0 and 1"),
        (lambda t: t.assign(log2_fold_change=np.nan), "5 tested genes have no log2 fold change"),
    ],
)
def test_bad_tables_are_refused(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DECalls.of_table(change(TABLE), NAMES, GENES)


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match="does not fit itself"):
        DECalls(np.zeros((2, 3)), np.zeros((3, 2)))
