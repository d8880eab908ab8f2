import pytest

from gnnvcell.bench.table import format_table, summarise
from gnnvcell.errors import DataError


def record(control, seed, value, model="knn"):
    where = {"line": "k562", "task": "de", "model": model, "graph": "human", "control": control, "seed": seed}
    return {**where, "metric": "per_gene_auroc", "value": value, "seconds": 2.0}


RECORDS = [record("real", 0, 0.7), record("real", 1, 0.72), record("rewired", 0, 0.5), record("rewired", 1, 0.54)]


def test_means_spreads_and_paired_differences() -> None:
    row = summarise(RECORDS).iloc[0]
    assert row["real"] == pytest.approx(0.71)
    assert row["rewired_sd"] == pytest.approx(0.02 * 2**0.5)
    assert row["real_minus_rewired"] == pytest.approx(0.19)
    assert row["seconds"] == 2.0


def test_markdown() -> None:
    lines = format_table(summarise(RECORDS)).splitlines()
    assert lines[0] == "| line | task | graph | model | real | rewired | real - rewired | seconds |"
    assert lines[2] == "| k562 | de | human | knn | 0.710 ± 0.014 | 0.520 ± 0.028 | +0.190 | 2.0 |"


def test_one_seed_has_no_spread() -> None:
    assert "| 0.700 | 0.500 | +0.200 |" in format_table(summarise([RECORDS[0], RECORDS[2]]))


def test_what_was_not_compared_is_left_blank() -> None:
    table = format_table(summarise([*RECORDS, record("real", 0, 0.6, "ridge"), record("real", 1, 0.6, "ridge")]))
    assert "| k562 | de | human | ridge | 0.600 ± 0.000 |  |  | 2.0 |" in table


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(DataError, match="no record of the metric 'auc'"):
        summarise(RECORDS, metric="auc")
