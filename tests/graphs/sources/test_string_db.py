from functools import partial
from typing import Any

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError, GeneError, GnnvcellError
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.sources import _string_links
from gnnvcell.graphs.sources._line_blocks import open_line_blocks
from gnnvcell.graphs.sources.base import SOURCES
from gnnvcell.graphs.sources.string_db import String
from gnnvcell.testing.string_files import FULL, HEADER, A, B, C, both_ways, info, links, pairs, read, scores, write


def test_registered_under_both_names():
    assert SOURCES.get("string") is String
    assert SOURCES.get("string_db") is String


@pytest.mark.parametrize(
    "name", ["9606.protein.links.v12.0.txt.gz", "9606.protein.links.txt", "9606.protein.links.v11.5.txt"]
)
def test_one_undirected_relation_one_row_per_pair(tmp_path, name):
    links(tmp_path, [f"{A} {B} 900", f"{A} {C} 700", f"{B} {C} 699"], name=name)
    info(tmp_path, {A: "AAA", B: "BBB", C: "CCC"})
    reading = read(tmp_path)
    (table,) = reading.tables
    assert table.etype == ("gene", "string", "gene")
    assert not table.directed
    assert pairs(reading) == {("AAA", "BBB"): pytest.approx(0.9), ("AAA", "CCC"): pytest.approx(0.7)}
    assert table.weight.dtype == np.float32
    assert reading.lines_read == 6
    assert [path.name for path in reading.files] == [name, "9606.protein.info.v12.0.txt.gz"]
    assert reading.notes == []


@pytest.mark.parametrize(("confidence", "expected"), [(0.15, 3), (0.4, 3), (0.699, 3), (0.7, 2), (0.701, 1), (0.9, 1)])
def test_confidence_is_the_smallest_score_kept(tmp_path, confidence, expected):
    links(tmp_path, [f"{A} {B} 900", f"{A} {C} 700", f"{B} {C} 699"])
    assert len(read(tmp_path, confidence=confidence).tables[0]) == expected


def test_zero_edges_after_the_threshold(tmp_path):
    links(tmp_path, [f"{A} {B} 812"])
    with pytest.raises(EmptyGraphError, match=r"confidence >= 0\.95") as caught:
        read(tmp_path, confidence=0.95)
    assert "2 lines, the highest score 0.812" in str(caught.value)


def test_header_only_is_an_empty_graph(tmp_path):
    write(tmp_path, "9606.protein.links.txt", HEADER, [])
    with pytest.raises(EmptyGraphError, match="0 lines"):
        read(tmp_path)


def test_self_edges_repeats_one_way_and_uneven_pairs_are_counted(tmp_path):
    rows = [f"{A} {A} 950", f"{A} {B} 900", f"{A} {B} 900", f"{B} {A} 800", f"{B} {C} 750"]
    write(tmp_path, "9606.protein.links.txt", HEADER, rows)
    reading = read(tmp_path)
    assert scores(reading) == [900, 750]
    assert reading.notes[:4] == [
        "1 lines name one protein twice; dropped",
        "1 lines repeat an earlier line; dropped",
        "1 pairs stand in one direction only; kept",
        "1 pairs have two scores; the higher one kept",
    ]


def test_only_self_edges_is_an_empty_graph(tmp_path):
    write(tmp_path, "9606.protein.links.txt", HEADER, [f"{A} {A} 950"])
    with pytest.raises(EmptyGraphError, match="name one protein twice"):
        read(tmp_path)


def test_windows_line_ends_blank_lines_and_no_final_line_end(tmp_path):
    path = write(tmp_path, "9606.protein.links.txt", HEADER, [f"{A} {B} 900", "", f"{B} {A} 900"], end="\r\n")
    path.write_bytes(path.read_bytes().replace(b"900\r\n\r\n", b"900\r\n\n").removesuffix(b"\r\n"))
    reading = read(tmp_path)
    assert scores(reading) == [900]
    assert "1 blank lines" in reading.notes


def test_lines_that_cross_block_borders_are_whole(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [
        f"9606.P{a} 9606.P{b} {s}"
        for a, b, s in zip(*rng.integers([[0], [500], [150]], [[500], [999], [1000]], (3, 400)), strict=True)
    ]
    path = links(tmp_path, rows)
    expected = pairs(read(tmp_path, confidence=0.3))
    for size in (40, 64, 1000):
        monkeypatch.setattr(_string_links, "open_line_blocks", partial(open_line_blocks, block_bytes=size))
        assert pairs(read(tmp_path, confidence=0.3, links_file=str(path))) == expected
    monkeypatch.setattr(_string_links, "open_line_blocks", partial(open_line_blocks, block_bytes=20))
    with pytest.raises(FileFormatError, match="a line of more than 20 bytes"):
        read(tmp_path, confidence=0.3, links_file=str(path))
    assert len(expected) > 200


@pytest.mark.parametrize("value", [700, 150, 1000])
def test_confidence_in_thousandths_is_an_error_that_says_the_fraction(value):
    with pytest.raises(ConfigError, match=rf"0\.7; STRING's {value} is {value / 1000:g} here"):
        String.parse({"confidence": value})


@pytest.mark.parametrize("value", [-0.1, 1001, float("nan"), "high"])
def test_other_confidence_out_of_range(value):
    with pytest.raises(ConfigError, match="confidence"):
        String.parse({"confidence": value})


def test_top_k_is_a_filter():
    assert String.parse({"top_k": 5}).filters() == (TopK(5),)
    assert String().filters() == ()
    with pytest.raises(ConfigError, match="top_k"):
        String.parse({"top_k": 0})


def test_unknown_argument():
    with pytest.raises(ConfigError, match="did you mean 'confidence'"):
        String.parse({"confidense": 0.7})


def test_another_species_by_its_prefix(tmp_path):
    write(tmp_path, "511145.protein.links.v12.0.txt", HEADER, both_ways(["511145.b0001 511145.b0002 900"]))
    info(tmp_path, {"511145.b0001": "thrL", "511145.b0002": "thrA"}, name="511145.protein.info.v12.0.txt.gz")
    assert pairs(read(tmp_path, species=511145)).keys() == {("thrA", "thrL")}
    with pytest.raises(FileFormatError, match="another species than 9606") as caught:
        read(tmp_path)
    assert "set the species of the graph to 511145" in str(caught.value)


def test_ids_of_another_species_inside(tmp_path):
    links(tmp_path, [f"{A} {B} 900", "10090.ENSMUSP1 10090.ENSMUSP2 200"])
    with pytest.raises(
        FileFormatError, match=r"line 3 of .* '10090\.ENSMUSP1', which is not of species 9606"
    ) as caught:
        read(tmp_path)
    assert "species 10090" in str(caught.value)


def test_a_species_whose_number_begins_alike_is_another(tmp_path):
    links(tmp_path, ["96061.X 96061.Y 900"])
    with pytest.raises(FileFormatError, match="species 96061"):
        read(tmp_path)


def test_ids_without_species(tmp_path):
    links(tmp_path, ["ENSP1 ENSP2 900"])
    with pytest.raises(FileFormatError, match="no species prefix"):
        read(tmp_path)


@pytest.mark.parametrize("proteins", [("10090.X", "10090.Y"), (A, "10090.X")])
def test_info_of_another_species(tmp_path, proteins):
    links(tmp_path, [f"{A} {B} 900"])
    path = info(tmp_path, dict(zip(proteins, ("Aaa", "Bbb"), strict=True)), name="names.tsv")
    with pytest.raises(GeneError, match="species"):
        read(tmp_path, info_file=str(path))


def test_aliases_of_another_species(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    row = "10090.X\tENSMUSG00000000011\tEnsembl_gene"
    path = write(tmp_path, "aliases.tsv", "#string_protein_id\talias\tsource", [row])
    with pytest.raises(FileFormatError, match="no name of a protein"):
        read(tmp_path, aliases_file=str(path))


def test_every_setting_changes_the_result(tmp_path):
    rows = [
        f"{A} {B} 0 0 0 600 500 0 0 0 0 0 0 800 0 916",
        f"{A} {C} 0 0 0 0 0 800 0 0 0 0 0 0 0 800",
        f"{B} {C} 0 0 0 0 0 0 0 950 0 0 0 0 0 950",
    ]
    links(tmp_path, rows, header=FULL, name="9606.protein.links.full.v12.0.txt.gz")
    links(tmp_path, [f"{A} {B} 990"], name="9606.protein.physical.links.v12.0.txt.gz")
    info(tmp_path, {A: "AAA", B: "BBB", C: "CCC"})
    other = info(tmp_path / "x" / "y", {A: "1", B: "2", C: "3"})
    base = pairs(read(tmp_path))
    changes: list[dict[str, Any]] = [
        {"confidence": 0.9},
        {"channels": ["experiments"]},
        {"exclude_channels": ["coexpression"]},
        {"homology_correction": "always"},
        {"network": "physical"},
        {"info_file": str(other)},
    ]
    for settings in changes:
        assert pairs(read(tmp_path, **settings)) != base, settings


def test_errors_are_the_librarys_own(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    with pytest.raises(GnnvcellError):
        read(tmp_path, confidence=7)


@pytest.mark.shared
def test_real_file(shared_data):
    reading = read(shared_data / "graphs")
    (table,) = reading.tables
    assert len(table) == 225_209
    assert len(table.src_names) == 11_033
    assert reading.lines_read == 450_418
    assert reading.identities is not None
    assert len(reading.identities.symbols) == 11_033
    assert table.weight.min() == np.float32(0.7)
    assert "1,260 lines have a score above 1000, which counts as 1000" in reading.notes
    degree = np.bincount(np.concatenate([table.src, table.dst]))
    assert degree.min() > 0
    assert pairs(reading)["FADD", "FAS"] > 0.9
    strict = read(shared_data / "graphs", confidence=0.9).tables[0]
    assert 0 < len(strict) < 225_209
