import numpy as np
import pytest

from gnnvcell.errors import DataError
from gnnvcell.features import FeatureTable
from gnnvcell.features.joining import join_features
from gnnvcell.genes import GeneVocab

GENES = GeneVocab.from_symbols(["TP53", "MYC", "AARS1", "KLF1"])


def table(names: list[str], width: int, source: str) -> FeatureTable:
    values = np.arange(1, len(names) * width + 1, dtype=np.float32).reshape(len(names), width)
    return FeatureTable(np.array(names), values, source)


def test_tables_side_by_side() -> None:
    esm, graph = table(["AARS", "TP53", "NOPE"], 3, "esm"), table(["MYC", "TP53"], 2, "graph")
    joined = join_features({"esm": esm, "graph": graph}, GENES)
    assert joined.values.tolist() == [[4, 5, 6, 3, 4], [0, 0, 0, 1, 2], [1, 2, 3, 0, 0], [0, 0, 0, 0, 0]]
    assert joined.present.tolist() == [[True, True], [False, True], [True, False], [False, False]]
    assert joined.columns == {"esm": slice(0, 3), "graph": slice(3, 5)}
    np.testing.assert_array_equal(joined.mask, joined.values != 0)
    assert joined.counts == {"all": 1, "some": 2, "none": 1}
    assert joined.reports["esm"].counts == {"unknown": 1}
    assert "4 genes: 1 in all 2 tables, 2 in some, 1 in none: KLF1" in str(joined)
    whole = joined.table("both")
    assert whole.names.tolist() == ["TP53"]
    assert (whole.width, whole.source) == (5, "both: esm + graph")


def test_bad_tables() -> None:
    with pytest.raises(DataError, match="no feature tables to join"):
        join_features({}, GENES)
    with pytest.raises(DataError, match="graph: none of the 4 names asked for"):
        join_features({"esm": table(["MYC"], 3, "esm"), "graph": table(["NOPE"], 2, "x")}, GENES)
    apart = join_features({"esm": table(["MYC"], 3, "esm"), "graph": table(["TP53"], 2, "x")}, GENES)
    with pytest.raises(DataError, match=r"no gene has features in all tables[\s\S]*with a mask"):
        apart.table()
