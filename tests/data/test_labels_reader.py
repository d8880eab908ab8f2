import gzip

import numpy as np
import pytest

from gnnvcell.data.labels import find_label_files, read_label_folder, read_labels
from gnnvcell.errors import DataError, FileFormatError

GOOD = "pert,gene,label,split\nA,X,1,train\nA,Y,0,train\nB,X,0,test\n"


def write(path, text):
    path.write_text(text)
    return path


def test_pairs_without_a_row_are_not_measured(tmp_path) -> None:
    table = read_labels(write(tmp_path / "a.csv", GOOD), kind="de", context="k562")
    assert table.perturbations.tolist() == ["A", "B"]
    assert table.genes.tolist() == ["X", "Y"]
    np.testing.assert_array_equal(table.values, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(table.measured, [[True, True], [True, False]])
    assert table.split.tolist() == ["train", "test"]
    assert table.context == "k562"


def test_gzip_reads_the_same(tmp_path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as handle:
        handle.write(GOOD)
    table = read_labels(tmp_path / "a.csv.gz", kind="direction")
    np.testing.assert_array_equal(table.values, [[1, 0], [0, 0]])


def test_a_gene_called_na_is_a_gene(tmp_path) -> None:
    table = read_labels(write(tmp_path / "a.csv", GOOD.replace("Y", "NA")), kind="de")
    assert "NA" in table.genes


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (GOOD.replace("gene", "readout"), FileFormatError, "no column gene"),
        (GOOD.replace(",", "\t"), FileFormatError, "commas"),
        ("pert,gene,label,split\n", FileFormatError, "no rows"),
        (GOOD.replace("A,Y,0", "A,Y,2"), DataError, "line 3"),
        (GOOD.replace("A,Y,0", "A,Y,"), DataError, "not 0 or 1"),
        (GOOD.replace("B,X,0,test", ",X,0,test"), DataError, "empty pert in line 4"),
        (GOOD + "A,X,0,train\n", DataError, "both labels"),
        (GOOD + "B,Y,0,train\n", DataError, "more than one split"),
        (GOOD.replace("test", "tset"), DataError, "unknown split 'tset'"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, error, message) -> None:
    with pytest.raises(error, match=message):
        read_labels(write(tmp_path / "a.csv", text), kind="de")


def test_damaged_files_are_refused(tmp_path) -> None:
    data = gzip.compress(GOOD.encode() * 50)
    (tmp_path / "cut.csv.gz").write_bytes(data[:-12])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read_labels(tmp_path / "cut.csv.gz", kind="de")
    write(tmp_path / "empty.csv", "")
    with pytest.raises(FileFormatError, match="is empty"):
        read_labels(tmp_path / "empty.csv", kind="de")


def test_folder_lookup_names_the_nearest_line(tmp_path) -> None:
    write(tmp_path / "k562-de.csv", GOOD)
    write(tmp_path / "k562-dir.csv", GOOD)
    assert [t.kind for t in read_label_folder(tmp_path, ["k562"], ["de", "dir"])] == ["de", "direction"]
    with pytest.raises(DataError, match="did you mean 'k562'"):
        find_label_files(tmp_path, ["k526"], ["de"])
    with pytest.raises(DataError, match="unknown task"):
        find_label_files(tmp_path, ["k562"], ["differential"])
    with pytest.raises(FileFormatError, match="no folder"):
        find_label_files(tmp_path / "nowhere", ["k562"], ["de"])


@pytest.mark.shared
def test_real_labels(shared_data) -> None:
    table = read_labels(shared_data / "perturbqa" / "k562-de.csv.gz", kind="de", context="k562")
    assert table.shape == (1831, 4136)
    assert int(table.measured.sum()) == 157_679
    assert int(table.values.sum()) == 19_980
    assert int((table.split == "test").sum()) == 267
