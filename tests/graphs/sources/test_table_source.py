import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext
from gnnvcell.graphs.sources.table import Table

ROWS = [("AAA", "BBB", "0.5"), ("BBB", "CCC", "2"), ("AAA", "CCC", "1.5")]


def write(folder: Path, name: str, lines: list[str], *, end: str = "\n") -> Path:
    content = (end.join(lines) + end).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def text(rows=ROWS, header: tuple[str, ...] = ("gene_a", "gene_b", "weight"), sign: str = "\t") -> list[str]:
    return [sign.join(row) for row in ([header] if header else []) + list(rows)]


def read(path: Path, **settings: Any) -> Reading:
    return Table.parse({"file": str(path), **settings}).read(SourceContext(path.parent))


def edges(reading: Reading) -> dict[tuple[str, str], float]:
    (table,) = reading.tables
    ends = zip(table.src_names[table.src], table.dst_names[table.dst], table.weight, strict=True)
    undirected = not table.directed and table.etype[0] == table.etype[2]
    found = {
        (min(str(a), str(b)), max(str(a), str(b))) if undirected else (str(a), str(b)): float(w) for a, b, w in ends
    }
    assert len(found) == len(table)
    return found


EXPECTED = {("AAA", "BBB"): 0.5, ("BBB", "CCC"): 2.0, ("AAA", "CCC"): 1.5}


def test_registered():
    assert SOURCES.get("table") is Table


@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.txt", "e.tsv.gz", "e.csv.gz", "odd.dat"])
@pytest.mark.parametrize("sign", ["\t", ",", ";", "|", " "])
def test_text_files(tmp_path, name, sign):
    reading = read(write(tmp_path, name, text(sign=sign)))
    assert edges(reading) == EXPECTED
    assert reading.tables[0].etype == ("gene", "table", "gene")
    assert reading.lines_read == 3
    assert reading.notes == ["columns gene_a -> gene_b, weight weight, sign none"]
    assert reading.files == [tmp_path / name]


def test_parquet(tmp_path):
    src, dst, score = zip(*ROWS, strict=True)
    frame = pd.DataFrame({"source": src, "target": dst, "score": [float(value) for value in score]})
    path = tmp_path / "e.parquet"
    frame.to_parquet(path)
    reading = read(path)
    assert edges(reading) == EXPECTED
    assert reading.notes[0] == "columns source -> target, weight score, sign none"


@pytest.mark.parametrize(
    "pair",
    [
        ("gene_a", "gene_b"),
        ("source", "target"),
        ("src", "dst"),
        ("node1", "node2"),
        ("protein1", "protein2"),
        ("from", "to"),
        ("Gene1", "Gene2"),
        ("#node1", "node2"),
        ("regulator", "target"),
    ],
)
def test_known_column_pairs(tmp_path, pair):
    path = write(tmp_path, "e.csv", text(header=("extra", *pair), rows=[("x", "A", "B")], sign=","))
    assert edges(read(path)) == {("A", "B"): 1.0}


def test_columns_can_be_named(tmp_path):
    path = write(tmp_path, "e.csv", text([("A", "B", "C", "0.25")], ("one", "two", "three", "w"), ","))
    assert edges(read(path, src="one", dst="three", weight="w")) == {("A", "C"): 0.25}


def test_unknown_columns_are_listed(tmp_path):
    path = write(tmp_path, "e.csv", text(header=("left", "right", "weight"), sign=","))
    with pytest.raises(FileFormatError, match="'left', 'right', 'weight'"):
        read(path)
    with pytest.raises(FileFormatError, match="did you mean 'left'"):
        read(path, src="lefft", dst="right")
    with pytest.raises(FileFormatError, match="no column 'strength'"):
        read(path, src="left", dst="right", weight="strength")
    with pytest.raises(ConfigError, match="belong together"):
        read(path, src="left")
    with pytest.raises(ConfigError, match="same column"):
        read(path, src="left", dst="left")


def test_file_without_header_by_column_numbers(tmp_path):
    path = write(tmp_path, "e.tsv", text(header=()))
    assert edges(read(path, src=0, dst=1, weight=2)) == EXPECTED
    assert set(edges(read(path, src=0, dst=1)).values()) == {1.0}
    with pytest.raises(FileFormatError, match="no column '7'"):
        read(path, src=0, dst=7)


def test_weight_can_be_left_out(tmp_path):
    path = write(tmp_path, "e.tsv", text())
    assert set(edges(read(path, weight="none")).values()) == {1.0}


def test_signs(tmp_path):
    rows = [("A", "B", "+"), ("A", "C", "-1"), ("A", "D", ""), ("B", "C", "inhibition"), ("B", "D", "1")]
    path = write(tmp_path, "e.tsv", text(rows, ("source", "target", "sign")))
    (table,) = read(path, directed=True).tables
    assert table.sign is not None
    assert table.sign.dtype == np.int8
    named = zip(table.src_names[table.src], table.dst_names[table.dst], table.sign.tolist(), strict=True)
    assert {f"{a}{b}": s for a, b, s in named} == {"AB": 1, "AC": -1, "AD": 0, "BC": -1, "BD": 1}
    assert table.directed
    assert read(path, sign="none").tables[0].sign is None


def test_unknown_sign_names_the_line(tmp_path):
    path = write(tmp_path, "e.tsv", text([("A", "B", "1"), ("A", "C", "maybe")], ("source", "target", "sign")))
    with pytest.raises(FileFormatError, match=r"line 3 of .* 'maybe'"):
        read(path)


def test_signed_weights(tmp_path):
    path = write(tmp_path, "e.tsv", text([("A", "B", "-0.5"), ("A", "C", "2")]))
    with pytest.raises(FileFormatError, match=r"line 2 of .* negative weight -0\.5"):
        read(path)
    reading = read(path, sign="weight")
    assert edges(reading) == {("A", "B"): 0.5, ("A", "C"): 2.0}
    sign = reading.tables[0].sign
    assert sign is not None
    assert sign.tolist() == [-1, 1]


def test_directed_keeps_both_directions_and_undirected_merges_them(tmp_path):
    path = write(tmp_path, "e.tsv", text([("A", "B", "1"), ("B", "A", "3"), ("A", "B", "2"), ("C", "C", "9")]))
    assert edges(read(path, directed=True)) == {("A", "B"): 2.0, ("B", "A"): 3.0}
    undirected = read(path)
    assert edges(undirected) == {("A", "B"): 3.0}
    assert undirected.notes[1:] == [
        "1 edges join a node with itself; dropped",
        "2 edges repeat a pair; the largest weight kept",
    ]


def test_zero_weights_are_no_edges(tmp_path):
    reading = read(write(tmp_path, "e.tsv", text([("A", "B", "1"), ("B", "C", "0")])))
    assert edges(reading) == {("A", "B"): 1.0}
    assert "1 edges have weight 0; dropped" in reading.notes


def test_other_node_types(tmp_path):
    path = write(
        tmp_path, "e.tsv", text([("TP53", "TP53", "1"), ("EGFR", "aspirin", "2")], ("gene_a", "gene_b", "weight"))
    )
    reading = read(path, dst_type="compound", relation="bound_by")
    (table,) = reading.tables
    assert table.etype == ("gene", "bound_by", "compound")
    assert edges(reading) == {("TP53", "TP53"): 1.0, ("EGFR", "aspirin"): 2.0}
    assert set(table.dst_names) == {"TP53", "aspirin"}
    assert read(path, src_type="compound", dst_type="gene").tables[0].etype == ("compound", "table", "gene")


@pytest.mark.parametrize("setting", ["relation", "src_type", "dst_type"])
@pytest.mark.parametrize("value", ["rev_mine", "two words", "1st", ""])
def test_names_the_graph_cannot_have(setting, value):
    with pytest.raises(ConfigError, match=setting):
        Table.parse({"file": "e.tsv", setting: value})


def test_genes_called_na_or_like_numbers_stay_text(tmp_path):
    path = write(tmp_path, "e.csv", text([("NA", "1E5", "1"), ("NAN", "007", "1"), ("true", "null", "1")], sign=","))
    assert edges(read(path)).keys() == {("1E5", "NA"), ("007", "NAN"), ("null", "true")}


def test_quotes_byte_order_mark_and_spaces(tmp_path):
    lines = ['"gene_a","gene_b","weight"', '"A, long"," B ",1']
    path = tmp_path / "e.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert edges(read(path)) == {("A, long", "B"): 1.0}


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("value", ["nan", "", "high", "inf"])
def test_weights_that_are_no_numbers(tmp_path, value):
    path = write(tmp_path, "e.tsv", ["gene_a\tgene_b\tweight", "A\tB\t1", "", f"A\tC\t{value}"])
    with pytest.raises(FileFormatError, match=r"line 4 of .* not a finite number"):
        read(path)


def test_missing_weight_in_parquet(tmp_path):
    path = tmp_path / "e.parquet"
    pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [1.0, None]}).to_parquet(path)
    with pytest.raises(FileFormatError, match="row 1 of"):
        read(path)


@pytest.mark.parametrize("row", [("", "B", "1"), ("A", " ", "1")])
def test_missing_names(tmp_path, row):
    path = write(tmp_path, "e.tsv", text([*ROWS, row]))
    with pytest.raises(FileFormatError, match=r"line 5 of .* no name at one end"):
        read(path)


def test_missing_names_in_parquet(tmp_path):
    path = tmp_path / "e.parquet"
    pd.DataFrame({"source": ["A", None], "target": ["B", "C"]}).to_parquet(path)
    with pytest.raises(FileFormatError, match=r"row 1 of .* no name"):
        read(path)


def test_delimiter_mismatch(tmp_path):
    path = write(tmp_path, "e.csv", text(sign=";"))
    with pytest.raises(FileFormatError, match="set delimiter to ';'"):
        read(path, delimiter=",")
    assert edges(read(path, delimiter=";")) == EXPECTED
    with pytest.raises(ConfigError, match="delimiter"):
        read(path, delimiter="::")


def test_one_column(tmp_path):
    with pytest.raises(FileFormatError, match="one column only"):
        read(write(tmp_path, "e.tsv", ["gene", "A"]))


@pytest.mark.parametrize("line", ["A\tB", "A\tB\t1\t2"])
def test_lines_of_another_length(tmp_path, line):
    with pytest.raises(FileFormatError, match="is not a table separated by tabs"):
        read(write(tmp_path, "e.tsv", [*text(), line]))


def test_two_columns_of_one_name(tmp_path):
    with pytest.raises(FileFormatError, match="several columns called 'gene_a'"):
        read(write(tmp_path, "e.tsv", text(header=("gene_a", "gene_a", "gene_b"))))


def test_no_edges(tmp_path):
    with pytest.raises(EmptyGraphError, match="0 rows"):
        read(write(tmp_path, "e.tsv", text([])))
    with pytest.raises(EmptyGraphError, match="all self edges"):
        read(write(tmp_path, "e.tsv", text([("A", "A", "1")])))


def test_missing_empty_and_damaged_files(tmp_path):
    with pytest.raises(FileFormatError, match="no file"):
        read(tmp_path / "e.tsv")
    (tmp_path / "e.tsv").write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(tmp_path / "e.tsv")
    rng = np.random.default_rng(0)
    path = write(tmp_path, "e.tsv.gz", text([(f"G{a}", f"G{b}", "1") for a, b in rng.integers(0, 10**6, (3000, 2))]))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(path)
    (tmp_path / "e.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(FileFormatError, match="parquet"):
        read(tmp_path / "e.parquet")
    (tmp_path / "e.csv").write_bytes("gene_a,gene_b\nA,B\n".encode("utf-16"))
    with pytest.raises(FileFormatError, match="UTF-8"):
        read(tmp_path / "e.csv")


def test_parquet_has_no_delimiter(tmp_path):
    path = tmp_path / "e.parquet"
    pd.DataFrame({"source": ["A"], "target": ["B"]}).to_parquet(path)
    with pytest.raises(ConfigError, match="parquet"):
        read(path, delimiter=",")
    with pytest.raises(ConfigError, match="parquet"):
        read(path, src=0, dst=1)


def test_unknown_setting():
    with pytest.raises(ConfigError, match="did you mean 'relation'"):
        Table.parse({"file": "x", "relatoin": "a"})
    with pytest.raises(ConfigError, match="file"):
        Table.parse({})


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "pairs"),
    [("string_newer_symbols.tsv.gz", 156_186), ("reactome_fi_symbols.tsv.gz", 142_325)],
)
def test_real_tables(shared_data, name, pairs):
    reading = read(shared_data / "graphs" / name)
    (table,) = reading.tables
    assert reading.lines_read == pairs
    assert 0.99 * pairs < len(table) <= pairs
    assert (table.weight == 1).all()
