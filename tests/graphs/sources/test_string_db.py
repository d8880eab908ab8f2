import gzip
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError, GeneError, GnnvcellError
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.sources import _string_links
from gnnvcell.graphs.sources._line_blocks import open_line_blocks
from gnnvcell.graphs.sources._string_channels import CHANNELS
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext
from gnnvcell.graphs.sources.string_db import String

HEADER = "protein1 protein2 combined_score"
DETAILED = (
    "protein1 protein2 neighborhood fusion cooccurence coexpression experimental database textmining combined_score"
)
FULL = (
    "protein1 protein2 neighborhood neighborhood_transferred fusion cooccurence homology coexpression "
    "coexpression_transferred experiments experiments_transferred database database_transferred textmining "
    "textmining_transferred combined_score"
)
A, B, C, D = (f"9606.ENSP0000000000{i}" for i in range(1, 5))


def both_ways(rows: list[str]) -> list[str]:
    turned = [" ".join([row.split(" ")[1], row.split(" ")[0], *row.split(" ")[2:]]) for row in rows]
    return [*rows, *turned]


def write(folder: Path, name: str, header: str, rows: list[str], *, end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = (end.join([header, *rows]) + end).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def links(
    folder: Path, rows: list[str], *, header: str = HEADER, name: str = "9606.protein.links.v12.0.txt.gz"
) -> Path:
    return write(folder, name, header, both_ways(rows))


def info(folder: Path, names: dict[str, str], name: str = "9606.protein.info.v12.0.txt.gz") -> Path:
    header = "#string_protein_id\tpreferred_name\tprotein_size\tannotation"
    return write(folder, name, header, [f"{protein}\t{symbol}\t100\tsome text" for protein, symbol in names.items()])


def read(folder: Path | None, species: int = 9606, **settings) -> Reading:
    return String.parse(settings).read(SourceContext(folder, species))


def pairs(reading: Reading) -> dict[tuple[str, str], float]:
    table = reading.tables[0]
    ends = zip(table.src_names[table.src], table.dst_names[table.dst], table.weight, strict=True)
    found = {tuple(sorted((str(a), str(b)))): float(w) for a, b, w in ends}
    assert len(found) == len(table), "a pair is there twice"
    return found  # type: ignore[return-value]


def scores(reading: Reading) -> list[int]:
    return [round(1000 * weight) for _, weight in sorted(pairs(reading).items())]


# ---------------------------------------------------------------------------------------------- links and thresholds


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


# -------------------------------------------------------------------------------------------------------- channels

# Lines of the published human and yeast files, with the combined score STRING gives them.
PUBLISHED_FULL = {
    "0 0 0 0 0 0 54 0 0 0 0 103 85": 155,  # 11.5
    "0 0 0 0 0 0 0 0 180 0 0 0 61": 197,
    "0 0 0 0 0 0 62 0 152 0 0 0 101": 222,
    "0 0 0 0 0 60 63 0 213 0 0 0 72": 270,
    "0 0 0 527 989 912 0 652 0 900 0 923 0": 996,  # 10.5: nothing but homology correction gives 996
    "0 321 0 403 0 0 409 41 668 0 517 349 295": 977,
}


def test_published_scores_are_reproduced(tmp_path):
    ids = [f"9606.Q{i}" for i in range(len(PUBLISHED_FULL))]
    rows = [f"{A} {p} {s} {c}" for p, (s, c) in zip(ids, PUBLISHED_FULL.items(), strict=True)]
    links(tmp_path, rows, header=FULL, name="9606.protein.links.full.v11.5.txt.gz")
    reading = read(
        tmp_path,
        confidence=0.1,
        channels=CHANNELS,
    )
    assert scores(reading) == list(PUBLISHED_FULL.values())
    assert any("for 100.00% of the lines" in note for note in reading.notes)
    assert any("homology correction applied (measured, 2 lines)" in note for note in reading.notes)


def test_recombination_by_hand(tmp_path):
    # experiments 621, text mining 585, p = 0.041: the worked example of STRING's help page.
    links(
        tmp_path, [f"{A} {B} 0 0 0 800 621 0 585 968"], header=DETAILED, name="9606.protein.links.detailed.v12.0.txt.gz"
    )
    experiments, text = (0.621 - 0.041) / 0.959, (0.585 - 0.041) / 0.959
    total = 1 - (1 - experiments) * (1 - text)
    expected = int(1000 * (total + 0.041 * (1 - total)))
    assert expected == 835
    assert scores(read(tmp_path, channels=["experiments", "textmining"])) == [expected]
    assert scores(read(tmp_path, exclude_channels=["coexpression"])) == [expected]
    assert scores(read(tmp_path, exclude_channels=["coexpression", "textmining"], confidence=0.6)) == [621]
    assert scores(read(tmp_path)) == [968]


def test_a_single_channel_at_the_threshold_is_kept(tmp_path):
    # In binary, (0.9 - p) / (1 - p) * (1 - p) + p is a little less than 0.9.
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 900 0 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    assert scores(read(tmp_path, channels=["database"], confidence=0.9)) == [900]


def test_scores_below_the_prior_count_as_nothing(tmp_path):
    links(tmp_path, [f"{A} {B} 40 30 20 0 700 0 0 700"], header=DETAILED, name="9606.protein.links.detailed.txt")
    assert scores(read(tmp_path, channels=["experiments", "neighborhood", "fusion", "cooccurrence"])) == [700]


def test_left_out_channels_take_edges_away(tmp_path):
    rows = [f"{A} {B} 0 0 0 0 0 0 900 900", f"{A} {C} 0 0 0 850 0 0 0 850", f"{B} {C} 0 0 0 0 800 0 0 800"]
    links(tmp_path, rows, header=DETAILED, name="9606.protein.links.detailed.txt.gz")
    assert len(read(tmp_path).tables[0]) == 3
    reading = read(tmp_path, exclude_channels=["coexpression", "textmining"])
    assert scores(reading) == [800]
    assert reading.notes[0] == "score recombined from neighborhood, fusion, cooccurrence, experiments, database"


def test_transferred_evidence_can_be_left_out(tmp_path):
    links(
        tmp_path,
        [f"{A} {B} 0 0 0 0 0 0 0 300 800 0 0 0 0 854"],
        header=FULL,
        name="9606.protein.links.full.v12.0.txt.gz",
    )
    assert scores(read(tmp_path, channels=["experiments"])) == [854]
    assert scores(read(tmp_path, channels=["experiments_transferred"])) == [800]
    assert scores(
        read(tmp_path, channels=["experiments"], exclude_channels=["experiments_transferred"], confidence=0.2)
    ) == [300]


HOMOLOGOUS = f"{A} {B} 0 0 0 600 500 0 0 0 0 0 0 800 0"


@pytest.mark.parametrize(("published", "word"), [("589", "applied"), ("916", "not applied")])
def test_homology_rule_is_measured_on_the_file(tmp_path, published, word):
    links(tmp_path, [f"{HOMOLOGOUS} {published}"], header=FULL, name="9606.protein.links.full.txt")
    occurrence, text = (0.6 - 0.041) / 0.959, (0.8 - 0.041) / 0.959
    scale = 0.5 if word == "applied" else 1.0
    by_hand = (1 - (1 - scale * occurrence) * (1 - scale * text)) * 0.959 + 0.041
    assert int(published) == int(by_hand * 1000)
    reading = read(tmp_path, channels=["cooccurrence", "textmining"], confidence=0.5)
    assert scores(reading) == [int(published)]
    assert f"homology correction {word} (measured, 2 lines)" in reading.notes


def test_a_file_that_contradicts_its_channels_is_noted(tmp_path):
    rows = [f"{A} {B} 0 0 0 0 800 0 0 500", f"{A} {C} 0 0 0 0 800 0 0 800"]
    links(tmp_path, rows, header=DETAILED, name="9606.protein.links.detailed.txt")
    reading = read(tmp_path, channels=["experiments"])
    assert scores(reading) == [800, 800]
    assert any("for 50.00% of the lines; by STRING's rule" in note for note in reading.notes)


def test_homology_rule_can_be_set(tmp_path):
    links(tmp_path, [f"{HOMOLOGOUS} 589"], header=FULL, name="9606.protein.links.full.txt")
    assert scores(read(tmp_path, channels=["textmining"], confidence=0.3)) == [
        int(1000 * ((0.8 - 0.041) * 0.5 + 0.041))
    ]
    assert scores(read(tmp_path, channels=["textmining"], homology_correction="never")) == [800]
    assert scores(read(tmp_path, homology_correction="never")) == [916]
    assert scores(read(tmp_path, homology_correction="always", confidence=0.5)) == [589]


def test_homology_correction_needs_homology(tmp_path):
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 0 900 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match=r"download 9606\.protein\.links\.full\.txt\.gz"):
        read(tmp_path, homology_correction="always")
    with pytest.raises(FileFormatError, match="homology_correction"):
        read(tmp_path, homology_correction="always", links_file="9606.protein.links.detailed.txt")


def test_channels_need_detailed_or_full(tmp_path):
    path = links(tmp_path, [f"{A} {B} 900"])
    with pytest.raises(
        FileFormatError, match=r"9606\.protein\.links\.full\.txt\.gz or 9606\.protein\.links\.detailed"
    ) as caught:
        read(tmp_path, exclude_channels=["textmining"])
    assert path.name in str(caught.value)
    with pytest.raises(FileFormatError, match="does not have the channels apart that"):
        read(tmp_path, exclude_channels=["textmining"], links_file=str(path))


def test_transferred_channels_need_full(tmp_path):
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 0 900 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match=r"protein\.links\.full"):
        read(tmp_path, exclude_channels=["textmining_transferred"])
    with pytest.raises(FileFormatError, match=r"expected: protein\.links\.full\n"):
        read(tmp_path, exclude_channels=["textmining_transferred"], links_file="9606.protein.links.detailed.txt")


def test_full_goes_before_detailed_for_channels_and_links_before_both_without(tmp_path):
    links(tmp_path, [f"{A} {B} 901"])
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 902 0 902"], header=DETAILED, name="9606.protein.links.detailed.v12.0.txt.gz")
    links(
        tmp_path, [f"{A} {B} 0 0 0 0 0 0 0 0 0 903 0 0 0 903"], header=FULL, name="9606.protein.links.full.v12.0.txt.gz"
    )
    assert scores(read(tmp_path)) == [901]
    assert scores(read(tmp_path, channels=["database"])) == [903]


def test_physical_network(tmp_path):
    header = "protein1 protein2 experimental database textmining combined_score"
    links(tmp_path, [f"{A} {B} 900"])
    links(tmp_path, [f"{A} {C} 312 0 800 850"], header=header, name="9606.protein.physical.links.detailed.v12.0.txt.gz")
    assert pairs(read(tmp_path)).keys() == {("ENSP00000000001", "ENSP00000000002")}
    assert pairs(read(tmp_path, network="physical")).keys() == {("ENSP00000000001", "ENSP00000000003")}
    assert scores(read(tmp_path, network="physical", channels=["experiments"], confidence=0.3)) == [312]
    with pytest.raises(FileFormatError, match="no channel 'coexpression'"):
        read(tmp_path, network="physical", channels=["coexpression"])


@pytest.mark.parametrize("settings", [{"channels": []}, {"channels": ["fusion"], "exclude_channels": ["fusion"]}])
def test_no_channel_left(tmp_path, settings):
    with pytest.raises(ConfigError, match="no STRING channel is left"):
        read(tmp_path, **settings)


@pytest.mark.parametrize("settings", [{"channels": ["textmning"]}, {"exclude_channels": ["textmning"]}])
def test_unknown_channel(settings):
    with pytest.raises(ConfigError, match="did you mean 'textmining'"):
        String.parse(settings)


def test_strings_own_spellings_are_accepted():
    assert String.parse({"channels": ["experimental", "cooccurence"]}).channels == ("experiments", "cooccurrence")


# ---------------------------------------------------------------------------------------------------------- settings


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


# ----------------------------------------------------------------------------------------------- names and identities


def test_without_info_names_are_protein_ids(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    reading = read(tmp_path)
    assert pairs(reading).keys() == {("ENSP00000000001", "ENSP00000000002")}
    assert reading.identities is None
    assert "no protein.info: genes are named by their protein ids" in reading.notes


def test_protein_missing_from_info_keeps_its_id(tmp_path):
    links(tmp_path, [f"{A} {B} 900", f"{A} {C} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    reading = read(tmp_path)
    assert pairs(reading).keys() == {("AAA", "BBB"), ("AAA", "ENSP00000000003")}
    assert "1 proteins are not in protein.info; they keep their ids" in reading.notes


def test_proteins_of_one_name_are_one_gene(tmp_path):
    links(tmp_path, [f"{A} {C} 900", f"{B} {C} 950", f"{A} {B} 800"])
    info(tmp_path, {A: "AAA", B: "AAA", C: "CCC"})
    reading = read(tmp_path)
    assert pairs(reading) == {("AAA", "CCC"): pytest.approx(0.95)}
    assert "1 proteins share a preferred name with another; 2 pairs merged" in reading.notes
    assert reading.identities is not None
    assert list(reading.identities.symbols) == ["AAA", "CCC"]
    assert sorted(reading.identities.aliases["ensp"]) == [
        ("ENSP00000000001", 0),
        ("ENSP00000000002", 0),
        ("ENSP00000000003", 1),
    ]


def test_every_gene_of_info_has_an_identity(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB", D: "DDD"})
    identities = read(tmp_path).identities
    assert identities is not None
    assert list(identities.symbols) == ["AAA", "BBB", "DDD"]


ALIASES = [
    (A, "ENSG00000000011", "Ensembl_gene"),
    (A, "P12345", "UniProt_AC"),
    (A, "not an accession", "UniProt_AC"),
    (A, "1017", "Ensembl_HGNC_entrez_id"),
    (A, "OLDA", "Ensembl_HGNC_prev_symbol"),
    (A, "AKA", "Ensembl_HGNC_alias_symbol"),
    (A, "AAA", "Ensembl_HGNC_symbol"),
    (B, "BLASTED", "BLAST_KEGG_NAME"),
    (B, "B2", "BioMart_HUGO Ensembl_HGNC_alias_symbol"),
    (D, "ENSG00000000044", "Ensembl_gene"),
]


@pytest.mark.parametrize(
    "header",
    [
        "#string_protein_id\talias\tsource",
        "## string_protein_id ## alias ## source ##",
        "string_protein_id\talias\tsource",
    ],
)
def test_aliases_become_identities(tmp_path, header):
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    write(tmp_path, "9606.protein.aliases.v12.0.txt.gz", header, ["\t".join(row) for row in ALIASES])
    reading = read(tmp_path)
    assert reading.identities is not None
    aliases = {kind: sorted(found) for kind, found in reading.identities.aliases.items() if kind != "ensp"}
    assert aliases == {
        "ensembl": [("ENSG00000000011", 0)],
        "uniprot": [("P12345", 0)],
        "entrez": [("1017", 0)],
        "previous": [("OLDA", 0)],
        "alias": [("AAA", 0), ("AKA", 0), ("B2", 1)],
    }
    assert [path.name for path in reading.files][-1] == "9606.protein.aliases.v12.0.txt.gz"


def test_identities_feed_the_vocabulary(tmp_path):
    genes = pytest.importorskip("gnnvcell.genes")
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    write(
        tmp_path, "9606.protein.aliases.txt", "#string_protein_id\talias\tsource", ["\t".join(row) for row in ALIASES]
    )
    vocab = genes.GeneVocab.from_identities([read(tmp_path).identities])
    found = [vocab.index(name) for name in ("ENSP00000000001", "P12345", "ENSG00000000011", "OLDA", "AKA")]
    assert found == [vocab.index("AAA")] * 5
    assert vocab.index("ENSP00000000002") == vocab.index("BBB")


def test_explicit_files(tmp_path):
    other = tmp_path / "elsewhere"
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    path = links(other, [f"{A} {C} 900"], name="mine.txt.gz")
    names = info(other, {A: "ONE", C: "TWO"}, name="names.tsv")
    aliases = write(other, "aliases.tsv", "#string_protein_id\talias\tsource", ["\t".join(ALIASES[0])])
    reading = read(tmp_path, links_file=str(path), info_file=str(names), aliases_file=str(aliases))
    assert pairs(reading).keys() == {("ONE", "TWO")}
    assert reading.files == [path, names, aliases]
    assert read(None, links_file=str(path), info_file=str(names)).files == [path, names]


def test_aliases_without_info(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    aliases = write(tmp_path, "a.tsv", "#string_protein_id\talias\tsource", ["\t".join(ALIASES[0])])
    with pytest.raises(FileFormatError, match=r"aliases_file needs protein\.info"):
        read(tmp_path, aliases_file=str(aliases))


# ------------------------------------------------------------------------------------------------------------ species


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


# ---------------------------------------------------------------------------------------------------------- bad input


def test_missing_file_says_what_and_where(tmp_path):
    with pytest.raises(FileFormatError, match=r"9606\.protein\.links\.txt\.gz"):
        read(tmp_path)
    with pytest.raises(FileFormatError, match="not given"):
        read(None)
    with pytest.raises(FileFormatError, match="no file"):
        read(tmp_path, links_file="nowhere.txt")


def test_two_releases_side_by_side(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    links(tmp_path, [f"{A} {B} 900"], name="9606.protein.links.v11.5.txt.gz")
    with pytest.raises(FileFormatError, match="several files"):
        read(tmp_path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
def test_truncated_gzip(tmp_path, keep):
    rng = np.random.default_rng(1)
    rows = [f"9606.P{a} 9606.P{b} 900" for a, b in rng.integers(0, 10**6, (4000, 2))]
    path = links(tmp_path, rows)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(tmp_path)


def test_corrupt_gzip(tmp_path):
    path = links(tmp_path, [f"9606.P{i} 9606.P{i * i + 1} {150 + i % 800}" for i in range(3000)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(FileFormatError):
        read(tmp_path)


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "9606.protein.links.txt.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{A} {B} 900\n".encode()) + gzip.compress(f"{B} {C} 800\n".encode()))
    assert scores(read(tmp_path)) == [900, 800]


def test_empty_file(tmp_path):
    (tmp_path / "9606.protein.links.txt").write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("protein1\tprotein2\tcombined_score", "separated by tabs"),
        ("protein1,protein2,combined_score", "separated by commas"),
        (f"{A} {B} 900", "header line is missing"),
        ("protein1 protein2", "download it again"),
        ("protein1 protein2 combined_score combined_score", "download it again"),
        ("#string_protein_id\tpreferred_name", "is it protein.info"),
    ],
)
def test_wrong_header(tmp_path, header, remedy):
    write(tmp_path, "9606.protein.links.txt", header, [f"{A} {B} 900"])
    with pytest.raises(FileFormatError, match="does not begin with the header") as caught:
        read(tmp_path)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{A}\t{B}\t900", "separated by tabs"),
        (f"{A} {B}", "has 2 fields"),
        (f"{A} {B} 900 1", "has 4 fields"),
        (f"{A}  {B} 900", "has 4 fields"),
        (f"{A} {B} 0.9", "score that cannot be read"),
        (f"{A} {B} -5", "score that cannot be read"),
        (f"{A} {B} nan", "score that cannot be read"),
        (f"{A} {B} ", "score that cannot be read"),
        (f"{A} {B} 12345", "score that cannot be read"),
        (f"9606. {B} 900", "9606."),
        ("protein1 protein2 combined_score", "not of species 9606"),
    ],
)
def test_bad_line_is_named(tmp_path, line, problem):
    rows = [f"9606.P{i} 9606.P{i + 1} 900" for i in range(50)]
    rows.insert(20, line)
    write(tmp_path, "9606.protein.links.txt", HEADER, rows)
    with pytest.raises(FileFormatError, match="line 22 of") as caught:
        read(tmp_path)
    assert problem in str(caught.value)


def test_plain_file_cut_in_the_middle_of_a_line(tmp_path):
    path = write(tmp_path, "9606.protein.links.txt", HEADER, [f"{A} {B} 900", f"{B} {A} 900"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match="line 3 of"):
        read(tmp_path)


def test_summed_scores_count_as_one_and_are_counted(tmp_path):
    rows = [f"9606.P{i} 9606.Q{i} 900" for i in range(100)]
    links(tmp_path, [*rows, f"{A} {B} 1800"])
    reading = read(tmp_path)
    assert max(pairs(reading).values()) == 1
    assert "2 lines have a score above 1000, which counts as 1000" in reading.notes


def test_scores_of_another_scale(tmp_path):
    links(tmp_path, [f"{A} {B} 9000", f"{A} {C} 900"])
    with pytest.raises(FileFormatError, match="2 of 4 scores above 1000"):
        read(tmp_path)


def test_channel_above_1000(tmp_path):
    links(tmp_path, [f"{A} {B} 0 0 0 0 1001 0 0 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match="line 2 of"):
        read(tmp_path, channels=["experiments"])


def test_unknown_channel_column(tmp_path):
    header = DETAILED.replace("textmining", "textminning")
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 0 900 900"], header=header, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match="did you mean 'textmining'"):
        read(tmp_path, exclude_channels=["coexpression"])
    assert scores(read(tmp_path)) == [900]


def test_ids_that_are_not_text(tmp_path):
    path = links(tmp_path, [f"{A} 9606.X\xff 900"], name="9606.protein.links.txt")
    path.write_bytes(path.read_bytes().replace(b"\xc3\xbf", b"\xff"))
    with pytest.raises(FileFormatError, match="UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "rows", "problem"),
    [
        ("a\tb", [f"{A}\tAAA"], "not a protein.info file"),
        ("#string_protein_id\tpreferred_name", [f"{A}\tAAA", f"{B}"], "line 3 of .* has no id or no name"),
    ],
)
def test_bad_info(tmp_path, header, rows, problem):
    links(tmp_path, [f"{A} {B} 900"])
    write(tmp_path, "9606.protein.info.txt", header, rows)
    with pytest.raises(FileFormatError, match=problem):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "rows"), [("a\tb\tc", []), ("#string_protein_id\talias\tsource", [f"{A}\tonly two"])]
)
def test_bad_aliases(tmp_path, header, rows):
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    write(tmp_path, "9606.protein.aliases.txt", header, rows)
    with pytest.raises(FileFormatError, match="aliases"):
        read(tmp_path)


def test_truncated_aliases(tmp_path):
    links(tmp_path, [f"{A} {B} 900"])
    info(tmp_path, {A: "AAA", B: "BBB"})
    rows = [f"{A}\tX{i * i * 7919}\tEnsembl_HGNC_alias_symbol" for i in range(5000)]
    path = write(tmp_path, "9606.protein.aliases.txt.gz", "#string_protein_id\talias\tsource", rows)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(tmp_path)


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


# --------------------------------------------------------------------------------------------------------- real files


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
