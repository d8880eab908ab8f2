import gzip
from pathlib import Path

import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext
from gnnvcell.graphs.sources.gene_sets import GeneSets

GMT = (
    "# a comment\n"
    "HALLMARK_G2M\thttp://msigdb/x\tCDK1\tPLK1\tAURKA\tCDK1\n"
    "imatinib\tkinase inhibitor\tABL1\tKIT\n"
    "\n"
    "SINGLE\t\tCDK1\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sets.gmt").write_text(GMT)
    return tmp_path


def read(folder: Path, **settings) -> Reading:
    return GeneSets.parse({"file": "sets.gmt", **settings}).read(SourceContext(folder))


def named(reading: Reading) -> set[tuple[str, str]]:
    (table,) = reading.tables
    return named_pairs(table)


def test_sets_by_hand(folder: Path) -> None:
    assert SOURCES.get("gene_sets") is GeneSets
    reading = read(folder)
    (table,) = reading.tables
    assert table.etype == ("gene", "in_gene_set", "gene_set")
    assert table.directed
    assert (table.weight == 1).all()
    assert len(table) == 6
    assert named(reading) == {
        ("CDK1", "HALLMARK_G2M"), ("PLK1", "HALLMARK_G2M"), ("AURKA", "HALLMARK_G2M"),
        ("ABL1", "imatinib"), ("KIT", "imatinib"), ("CDK1", "SINGLE"),
    }  # fmt: skip
    assert reading.labels == {
        "gene_set": {"HALLMARK_G2M": "HALLMARK_G2M", "imatinib": "kinase inhibitor", "SINGLE": "SINGLE"}
    }
    assert reading.lines_read == 3


def test_settings_change_the_result(folder: Path) -> None:
    assert read(folder, node_type="compound", relation="targeted_by").tables[0].etype == (
        "gene", "targeted_by", "compound",
    )  # fmt: skip
    assert {name for _, name in named(read(folder, min_genes=2))} == {"HALLMARK_G2M", "imatinib"}
    assert {name for _, name in named(read(folder, max_genes=2))} == {"imatinib", "SINGLE"}
    (folder / "other.gmt").write_text("X\t\tA\tB\n")
    assert named(read(folder, file="other.gmt")) == {("A", "X"), ("B", "X")}


def test_similarity(folder: Path) -> None:
    (table,) = read(folder, reading="similarity", measure="jaccard").tables
    assert table.etype == ("gene", "in_gene_set_similarity", "gene")
    assert not table.directed
    names = table.src_names
    found = {frozenset((names[s], names[d])): w for s, d, w in zip(table.src, table.dst, table.weight, strict=True)}
    assert found == {
        frozenset(("CDK1", "PLK1")): 0.5, frozenset(("CDK1", "AURKA")): 0.5, frozenset(("PLK1", "AURKA")): 1,
        frozenset(("ABL1", "KIT")): 1,
    }  # fmt: skip
    assert len(read(folder, reading="similarity", measure="jaccard", min_similarity=0.8).tables[0]) == 2
    assert GeneSets(file="x", reading="similarity", top_k=4).filters() == (TopK(4),)


def test_names_that_are_no_genes_take_no_place_in_the_top_k(folder: Path) -> None:
    genes = [f"G{i}" for i in range(10)]
    (folder / "sets.gmt").write_text("X\t\t" + "\t".join(genes) + "\nY\t\tOTHER\n")
    source = GeneSets(file="sets.gmt", reading="similarity", measure="jaccard", top_k=1)
    (table,) = source.read(SourceContext(folder)).tables
    # Every pair ties, so each gene's two candidates are the first two genes of the others.
    assert len(table) == 9 + 8
    (top,) = source.filters()
    assert named_pairs(top(table)) == {("G0", gene) for gene in genes[1:]}
    known = table.take((table.src != 0) & (table.dst != 0))
    assert named_pairs(top(known)) == {("G1", gene) for gene in genes[2:]}


def named_pairs(table: EdgeTable) -> set[tuple[str, str]]:
    return set(zip(table.src_names[table.src].tolist(), table.dst_names[table.dst].tolist(), strict=True))


def test_gzip_and_accessions(folder: Path) -> None:
    (folder / "sets.gmt").write_bytes(gzip.compress(b"X\t\tENSG00000170312\tENSG00000166851\n"))
    reading = read(folder)
    assert ("ENSG00000170312", "X") in named(reading)
    assert any("look like Ensembl gene ids" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GMT + "imatinib\tagain\tABL1\n", r"(?s)gives the set 'imatinib' twice.*lines 3 and 6"),
        ("no tabs here\n", "is not a GMT line"),
        ("X\tonly a description\n", "no gene set with a gene"),
        ("\n", "no gene set with a gene"),
        ("", "is empty"),
    ],
)
def test_bad_input(folder: Path, text: str, message: str) -> None:
    (folder / "sets.gmt").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read(folder)


def test_missing_and_damaged(folder: Path) -> None:
    (folder / "sets.gmt").write_bytes(gzip.compress(GMT.encode())[:-10])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(folder)
    with pytest.raises(FileFormatError, match=r"(?s)no file.*sets.gmt"):
        GeneSets(file=str(folder / "set.gmt")).read(SourceContext(folder))


def test_nothing_left(folder: Path) -> None:
    with pytest.raises(EmptyGraphError, match=r"(?s)from 10.*sets of 1 to 3"):
        read(folder, min_genes=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs the setting 'file'"),
        ({"file": "x", "node_type": "gene"}, "cannot be nodes of the type 'gene'"),
        ({"file": "x", "relation": "Bad Name"}, "cannot name a node type or relation"),
        ({"file": "x", "relation": "rev_x"}, "cannot name a node type or relation"),
        ({"file": "x", "min_genes": 5, "max_genes": 2}, "max_genes = 2 is below"),
        ({"file": "x", "top_k": 3}, "'top_k' is a setting"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GeneSets.parse(settings)


@pytest.mark.shared
def test_reactomes_gmt_is_a_gmt(shared_data: Path) -> None:
    reading = GeneSets(file="ReactomePathways.gmt", node_type="pathway_set").read(SourceContext(shared_data / "graphs"))
    assert reading.lines_read == 2_504
    assert len(reading.tables[0].dst_names) == 2_504
