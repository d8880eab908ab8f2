import gzip
from pathlib import Path

import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext
from gnnvcell.graphs.sources.reactome_fi import ReactomeFI

HEADER = "Gene1\tGene2\tAnnotation\tDirection\tScore\n"
FIS = [
    ("A", "B", "activate; catalyze", "->", "1.00"),
    ("A", "C", "inhibited by", "|-", "1.00"),
    ("A", "D", "expression regulated by", "<-", "1.00"),
    ("B", "C", "activate; activated by", "<->", "1.00"),
    ("B", "D", "inhibit; inhibited by", "|-|", "1.00"),
    ("C", "D", "inhibit; activated by", "<-|", "1.00"),
    ("C", "E", "activate; inhibited by", "|->", "1.00"),
    ("D", "E", "complex; input", "-", "1.00"),
    ("E", "F", "predicted", "-", "0.61"),
    ("F", "G", "predicted", "---", "0.97"),
    ("F", "H", "", "->", "1.00"),
    ("G", "H", "inhibit", "-|", "1.00"),
]
NAME = "FIsInGene_122921_with_annotations.txt"


def text(rows=FIS, header=HEADER) -> str:
    return header + "".join("\t".join(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_text(text())
    return tmp_path


def read(folder: Path, **settings) -> Reading:
    return ReactomeFI.parse(settings).read(SourceContext(folder))


def table_of(reading: Reading, relation: str) -> EdgeTable:
    return next(table for table in reading.tables if table.relation == relation)


def signed(table: EdgeTable) -> dict[tuple[str, str], int]:
    assert table.sign is not None
    names = table.src_names
    return {(str(names[s]), str(names[d])): int(g) for s, d, g in zip(table.src, table.dst, table.sign, strict=True)}


def test_directions_and_signs_by_hand(folder: Path) -> None:
    assert SOURCES.get("reactome_fi") is ReactomeFI
    reading = read(folder)
    regulates = table_of(reading, "regulates")
    assert regulates.directed
    assert regulates.etype == ("gene", "regulates", "gene")
    assert signed(regulates) == {
        ("A", "B"): 1, ("C", "A"): -1, ("D", "A"): 0, ("B", "C"): 1, ("C", "B"): 1, ("B", "D"): -1, ("D", "B"): -1,
        ("C", "D"): -1, ("D", "C"): 1, ("C", "E"): 1, ("E", "C"): -1, ("F", "H"): 1, ("G", "H"): -1,
    }  # fmt: skip
    assert len(regulates) == 13
    assert "1 of 13 directed interactions have no known sign" in reading.notes


def test_every_pair_is_an_interaction_weighted_by_its_score(folder: Path) -> None:
    reading = read(folder)
    both = table_of(reading, "functional_interaction")
    assert not both.directed
    assert both.sign is None
    names = both.src_names
    weights = {(names[s], names[d]): w for s, d, w in zip(both.src, both.dst, both.weight.tolist(), strict=True)}
    assert weights == pytest.approx({(a, b): float(score) for a, b, _, _, score in FIS})
    assert reading.lines_read == len(FIS)
    assert f"2 of {len(FIS)} interactions are predicted" in reading.notes


def test_settings_change_the_result(folder: Path) -> None:
    assert len(table_of(read(folder, predicted=False), "functional_interaction")) == 10
    assert len(table_of(read(folder, min_score=0.9), "functional_interaction")) == 11
    assert "1 interactions dropped by score or as predicted" in read(folder, min_score=0.9).notes
    assert [t.relation for t in read(folder, relations=["regulates"]).tables] == ["regulates"]
    assert [t.relation for t in read(folder, relations=["functional_interaction"]).tables] == ["functional_interaction"]
    (folder / "other.txt").write_text(text(FIS[:1]))
    assert len(table_of(read(folder, file="other.txt"), "functional_interaction")) == 1


@pytest.mark.parametrize("name", [NAME, "FIsInGene_with_annotations.txt", "FIsInGene_04142025_with_annotations.txt.gz"])
def test_official_names(tmp_path: Path, name: str) -> None:
    content = text().encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert len(read(tmp_path).tables) == 2


@pytest.mark.parametrize("header", ["gene_a\tgene_b\n", "Gene1\tGene2\n", ""])
def test_two_columns(tmp_path: Path, header: str) -> None:
    (tmp_path / "reactome_fi_symbols.tsv").write_text(f"{header}A1CF\tAPOBEC1\nA2M\tAPOA1\n")
    (table,) = read(tmp_path).tables
    assert table.relation == "functional_interaction"
    assert not table.directed
    assert table.sign is None
    assert {(table.src_names[s], table.dst_names[d]) for s, d in zip(table.src, table.dst, strict=True)} == {
        ("A1CF", "APOBEC1"), ("A2M", "APOA1"),
    }  # fmt: skip
    assert (table.weight == 1).all()


@pytest.mark.parametrize("settings", [{"min_score": 0.5}, {"predicted": False}, {"relations": ["regulates"]}])
def test_two_columns_have_nothing_for_these_settings(tmp_path: Path, settings: dict) -> None:
    (tmp_path / "reactome_fi_symbols.tsv").write_text("gene_a\tgene_b\nA\tB\n")
    with pytest.raises(FileFormatError, match=f"nothing to apply {next(iter(settings))}"):
        read(tmp_path, **settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(header=HEADER.replace("Direction", "Arrow")), "is not a file of functional interactions"),
        (text(header=""), "is not a file of functional interactions"),
        (text().replace("\t", ","), "is not a file of functional interactions"),
        (HEADER, "has no data lines"),
        (text([("A", "B", "x", "=>", "1.0")]), "unknown direction '=>'"),
        (text([("A", "B", "x", "->", "1.5")]), "score '1.5'"),
        (text([("A", "B", "x", "->", "NaN")]), "score 'NaN'"),
        (text([("A", "B", "x", "->", "-0.5")]), "score '-0.5'"),
        (text([("A", "B", "x", "->", "high")]), "score 'high'"),
        (text([("A", "", "x", "->", "1.0")]), r"line 2 of .* has no gene2 \(field 2\)"),
        (text() + "X\tY\n", r"line 14 of .* has no direction"),
    ],
)
def test_bad_input(folder: Path, content: str, message: str) -> None:
    (folder / NAME).write_text(content)
    with pytest.raises(FileFormatError, match=message):
        read(folder)


def test_damaged_and_missing(folder: Path) -> None:
    (folder / NAME).write_bytes(gzip.compress(text().encode())[:-12])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(folder)
    (folder / NAME).write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(folder)
    (folder / NAME).unlink()
    with pytest.raises(FileFormatError, match="functional interactions is not in"):
        read(folder)


def test_nothing_left(folder: Path) -> None:
    (folder / NAME).write_text(text([("E", "F", "predicted", "-", "0.61")]))
    with pytest.raises(EmptyGraphError, match=r"(?s)not predicted.*0.61 to 0.61"):
        read(folder, predicted=False)
    with pytest.raises(EmptyGraphError, match="has a direction"):
        read(folder, relations=["regulates"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"min_score": 2.0}, "min_score"), ({"relations": []}, "relations"), ({"relations": ["regulate"]}, "relations")],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReactomeFI.parse(settings)


def test_settings_make_the_same_source_again() -> None:
    source = ReactomeFI(min_score=0.5, predicted=False)
    assert ReactomeFI.parse(source.settings()) == source


@pytest.mark.shared
def test_real_file(shared_data: Path) -> None:
    reading = ReactomeFI().read(SourceContext(shared_data / "graphs"))
    (table,) = reading.tables
    assert len(table) == reading.lines_read == 142_325
    assert (table.src_names[table.src[0]], table.dst_names[table.dst[0]]) == ("A1CF", "APOBEC1")
