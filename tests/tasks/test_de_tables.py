from pathlib import Path

import pandas as pd
import pytest

from gnnvcell.errors import FileFormatError, MissingFileError
from gnnvcell.tasks.de_tables import COLUMNS, DETables, read_de_table

TABLE = pd.DataFrame(
    {
        "target": ["1", "1"],
        "feature": ["G0", "G1"],
        "log2_fold_change": [0.1 + 0.2, float("inf")],
        "p_value": [1e-300, 0.5],
        "fdr": [1e-299, 0.5],
        "statistic": [1.0, 2.0],
    }
)


@pytest.mark.parametrize("name", ["de.csv", "de.csv.gz", "de.parquet"])
def test_tables_are_read_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    renamed = TABLE.rename(columns={"fdr": "p_adj"})
    renamed.to_parquet(path) if path.suffix == ".parquet" else renamed.to_csv(path, index=False)
    found = read_de_table(path)
    pd.testing.assert_frame_equal(found, TABLE[list(COLUMNS)])


def test_tables_of_real_cells_are_kept_by_key(tmp_path: Path) -> None:
    tables = DETables(cache=tmp_path)
    assert tables.real_table("a" * 64) is None
    tables.keep("a" * 64, TABLE)
    pd.testing.assert_frame_equal(tables.real_table("a" * 64), TABLE[list(COLUMNS)])
    assert tables.real_table("b" * 64) is None
    DETables().keep("a" * 64, TABLE)  # nowhere to keep it
    assert DETables().real_table("a" * 64) is None


def test_given_tables_go_before_kept_ones_and_are_not_kept(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "given.csv", index=False)
    tables = DETables(real=tmp_path / "given.csv", cache=tmp_path / "cache")
    found = tables.real_table("a" * 64)
    assert found is not None
    assert len(found) == 2
    tables.keep("a" * 64, TABLE)
    assert not (tmp_path / "cache").exists()
    assert tables.predicted_table() is None


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_de_table(tmp_path / "none.csv")
    TABLE.drop(columns="p_value").to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(FileFormatError, match=r"not a table of differential expression(.|\n)*p_value"):
        read_de_table(tmp_path / "short.csv")
    TABLE.assign(fdr=[2.0, 0.1]).to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(FileFormatError, match=r"1 values of fdr are not between 0 and 1"):
        read_de_table(tmp_path / "wrong.csv")
    TABLE.to_parquet(tmp_path / "cut.parquet")
    whole = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="is not a table"):
        read_de_table(tmp_path / "cut.parquet")
