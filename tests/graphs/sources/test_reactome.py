import gzip
from pathlib import Path

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.sources._reactome_species import SPECIES, find_species
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext
from gnnvcell.graphs.sources.reactome import Reactome

# Cell Cycle (1) contains Mitotic (2), which contains M Phase (3); Metabolism (9) stands alone.
GMT = (
    "M Phase\tR-HSA-3\tCDK1\tPLK1\n"
    "Mitotic\tR-HSA-2\tCDK1\tPLK1\tAURKA\n"
    "Metabolism\tR-HSA-9\tHK1\tPLK1\n"
    "Mouse Mitotic\tR-MMU-2\tCdk1\tPlk1\n"
)
RELATIONS = "R-HSA-1\tR-HSA-2\nR-HSA-2\tR-HSA-3\nR-MMU-1\tR-MMU-2\nR-BTA-1\tR-BTA-2\n"
NAMES = (
    "R-HSA-1\tCell Cycle\tHomo sapiens\nR-HSA-2\tCell Cycle, Mitotic\tHomo sapiens\nR-MMU-1\tCell Cycle\tMus musculus\n"
)
URL = "https://reactome.org/PathwayBrowser/#/"

UNIPROT = [
    ("P06493", "R-HSA-3"),
    ("P06493-2", "R-HSA-3"),
    ("P53350", "R-HSA-3"),
    ("O14965", "R-HSA-2"),
    ("P11440", "R-MMU-2"),
]
SPECIES_NAME = {"HSA": "Homo sapiens", "MMU": "Mus musculus"}


def mapping(rows, physical_entity: bool = False) -> str:
    lines = []
    for gene, pathway in rows:
        entity = ["R-HSA-777", "CDK1 [cytosol]"] if physical_entity else []
        lines.append("\t".join([gene, *entity, pathway, URL + pathway, "a name", "TAS", SPECIES_NAME[pathway[2:5]]]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ReactomePathways.gmt").write_text(GMT)
    (tmp_path / "ReactomePathwaysRelation.txt").write_text(RELATIONS)
    return tmp_path


def read(folder: Path, species_of_graph: int = 9606, **settings) -> Reading:
    return Reactome.parse(settings).read(SourceContext(folder, species_of_graph))


def named(table: EdgeTable) -> set[tuple[str, str]]:
    pairs = list(zip(table.src_names[table.src].tolist(), table.dst_names[table.dst].tolist(), strict=True))
    assert len(pairs) == len(set(pairs)), "an edge is given twice"
    return set(pairs)


def edges(reading: Reading, relation: str) -> set[tuple[str, str]]:
    return next((named(table) for table in reading.tables if table.relation == relation), set())


CLOSED = {
    ("CDK1", "R-HSA-3"), ("PLK1", "R-HSA-3"),
    ("CDK1", "R-HSA-2"), ("PLK1", "R-HSA-2"), ("AURKA", "R-HSA-2"),
    ("CDK1", "R-HSA-1"), ("PLK1", "R-HSA-1"), ("AURKA", "R-HSA-1"),
    ("HK1", "R-HSA-9"), ("PLK1", "R-HSA-9"),
}  # fmt: skip


def test_members_are_closed_by_hand(folder: Path) -> None:
    assert SOURCES.get("reactome") is Reactome
    reading = read(folder)
    assert edges(reading, "member_of") == CLOSED
    assert edges(reading, "subpathway_of") == {("R-HSA-2", "R-HSA-1"), ("R-HSA-3", "R-HSA-2")}
    for table in reading.tables:
        assert table.directed
        assert (table.weight == 1).all()
        assert table.weight.dtype == np.float32
    assert reading.lines_read == 8
    assert "1 pathways of other species left out" in reading.notes
    assert "1 pathways with members are not in ReactomePathwaysRelation.txt" in reading.notes


def test_labels(folder: Path) -> None:
    assert read(folder).labels["pathway"] == {
        "R-HSA-1": "R-HSA-1", "R-HSA-2": "Mitotic", "R-HSA-3": "M Phase", "R-HSA-9": "Metabolism",
    }  # fmt: skip
    (folder / "ReactomePathways.txt").write_text(NAMES)
    reading = read(folder)
    assert reading.labels["pathway"]["R-HSA-1"] == "Cell Cycle"
    assert reading.labels["pathway"]["R-HSA-2"] == "Cell Cycle, Mitotic"
    assert len(reading.files) == 3


@pytest.mark.parametrize("spelling", ["homo_sapiens", "Homo sapiens", "HSA", "hsa", "human", 9606, "9606"])
def test_species_spellings(folder: Path, spelling: str | int) -> None:
    assert edges(read(folder, species=spelling), "member_of") == CLOSED


def test_species_filters_members_and_hierarchy(folder: Path) -> None:
    mouse = read(folder, species="mus_musculus")
    assert edges(mouse, "member_of") == {
        ("Cdk1", "R-MMU-2"), ("Plk1", "R-MMU-2"), ("Cdk1", "R-MMU-1"), ("Plk1", "R-MMU-1"),
    }  # fmt: skip
    assert edges(mouse, "subpathway_of") == {("R-MMU-2", "R-MMU-1")}
    assert edges(read(folder, species_of_graph=10090), "member_of") == edges(mouse, "member_of")


def test_species_that_is_not_there(folder: Path) -> None:
    with pytest.raises(
        FileFormatError, match=r"(?s)no pathways of Rattus norvegicus.*Homo sapiens \(3\), Mus musculus"
    ):
        read(folder, species="rat")
    with pytest.raises(ConfigError, match="did you mean 'homo_sapiens'"):
        read(folder, species="homo_sapien")
    (folder / "ReactomePathwaysRelation.txt").write_text("R-MMU-1\tR-MMU-2\n")
    with pytest.raises(FileFormatError, match=r"(?s)Relation.txt has no pathways of Homo sapiens.*Mus musculus \(1\)"):
        read(folder)


def test_every_species_is_found_by_every_spelling() -> None:
    for species in SPECIES:
        assert {find_species(text) for text in (*species.spelled(), species.name.lower().replace(" ", "_"))} == {
            species
        }


# --- settings


def test_close_ancestors(folder: Path) -> None:
    direct = read(folder, close_ancestors=False)
    assert edges(direct, "member_of") == {pair for pair in CLOSED if pair[1] != "R-HSA-1"}
    assert ("R-HSA-2", "R-HSA-1") in edges(direct, "subpathway_of")
    (folder / "ReactomePathwaysRelation.txt").unlink()
    alone = read(folder, close_ancestors=False)
    assert edges(alone, "member_of") == edges(direct, "member_of")
    assert not edges(alone, "subpathway_of")
    with pytest.raises(FileFormatError, match="pathway hierarchy is not in"):
        read(folder)


def test_limits_on_genes_per_pathway(folder: Path) -> None:
    assert {p for _, p in edges(read(folder, min_pathway_genes=3), "member_of")} == {"R-HSA-1", "R-HSA-2"}
    assert {p for _, p in edges(read(folder, max_pathway_genes=2), "member_of")} == {"R-HSA-3", "R-HSA-9"}
    with pytest.raises(EmptyGraphError, match=r"(?s)from 50.*sets of 2 to 3 genes"):
        read(folder, min_pathway_genes=50)


def test_similarity_by_hand(folder: Path) -> None:
    (table,) = read(folder, reading="similarity", measure="jaccard").tables
    assert table.etype == ("gene", "reactome_similarity", "gene")
    assert not table.directed
    names = table.src_names
    found = {
        frozenset((names[s], names[d])): w for s, d, w in zip(table.src, table.dst, table.weight.tolist(), strict=True)
    }
    # Closed: CDK1 {1,2,3}, PLK1 {1,2,3,9}, AURKA {1,2}, HK1 {9}.
    assert found == pytest.approx({
        frozenset(("CDK1", "PLK1")): 3 / 4, frozenset(("CDK1", "AURKA")): 2 / 3, frozenset(("PLK1", "AURKA")): 1 / 2,
        frozenset(("PLK1", "HK1")): 1 / 4,
    })  # fmt: skip
    assert Reactome(reading="similarity", top_k=5).filters() == (TopK(5),)


def test_similarity_settings_change_the_result(folder: Path) -> None:
    def weights(**settings) -> list[float]:
        (table,) = read(folder, reading="similarity", **settings).tables
        return table.weight.tolist()

    base = weights(measure="jaccard")
    assert weights(measure="tfidf") != base
    assert weights(measure="information_content") != base
    assert weights(measure="jaccard", min_similarity=0.6) == [w for w in base if w >= 0.6] != base
    assert weights(measure="jaccard", max_pathway_genes=2) != base
    assert weights(measure="jaccard", close_ancestors=False) != base
    assert weights(measure="jaccard", top_k=None, min_similarity=0.01) == base


# --- files


@pytest.mark.parametrize(
    ("identifiers", "name", "rows", "genes"),
    [
        ("uniprot", "UniProt2Reactome.txt", UNIPROT, {"P06493", "P53350", "O14965"}),
        ("entrez", "NCBI2Reactome_All_Levels.txt", [("983", "R-HSA-3"), ("5347", "R-HSA-2")], {"983", "5347"}),
        (
            "ensembl", "Ensembl2Reactome.txt",
            [("ENSG00000170312", "R-HSA-3"), ("ENST00000395284", "R-HSA-3"), ("ENSP00000378699", "R-HSA-3")],
            {"ENSG00000170312", "ENSP00000378699"},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_mapping_files(folder: Path, identifiers: str, name: str, rows, genes: set[str], packed: bool) -> None:
    text = mapping(rows)
    if packed:
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text)
    reading = read(folder, identifiers=identifiers)
    assert {gene for gene, _ in edges(reading, "member_of")} == genes
    assert reading.files[0].name.startswith(name)
    assert not any("look like" in note for note in reading.notes)
    assert edges(read(folder, identifiers="auto"), "member_of") == CLOSED, "the GMT comes first"
    (folder / "ReactomePathways.gmt").unlink()
    assert edges(read(folder), "member_of") == edges(reading, "member_of")


def test_isoforms_species_and_levels_of_mapping_files(folder: Path) -> None:
    (folder / "UniProt2Reactome.txt").write_text(mapping(UNIPROT))
    lowest = read(folder, identifiers="uniprot")
    assert ("P06493", "R-HSA-1") in edges(lowest, "member_of")
    assert "1 lines of other species left out" in lowest.notes
    assert lowest.labels["pathway"]["R-HSA-3"] == "a name"
    (folder / "UniProt2Reactome.txt").unlink()
    (folder / "UniProt2Reactome_PE_Pathway.txt").write_text(mapping(UNIPROT, physical_entity=True))
    assert edges(read(folder, identifiers="uniprot"), "member_of") == edges(lowest, "member_of")


def test_transcripts_are_left_out_and_counted(folder: Path) -> None:
    (folder / "Ensembl2Reactome.txt").write_text(
        mapping([("ENSG00000170312", "R-HSA-3"), ("ENST00000395284", "R-HSA-3")])
    )
    assert "1 lines of transcripts left out, their genes are listed too" in read(folder, identifiers="ensembl").notes


def test_release_tags(tmp_path: Path) -> None:
    (tmp_path / "ReactomePathways_v94.gmt").write_text(GMT)
    (tmp_path / "ReactomePathwaysRelation.94.txt").write_text(RELATIONS)
    assert edges(read(tmp_path), "member_of") == CLOSED


def test_explicit_paths(folder: Path) -> None:
    (folder / "members.txt").write_text(mapping(UNIPROT))
    (folder / "tree.txt").write_text("R-HSA-9\tR-HSA-3\n")
    reading = read(folder, members="members.txt", relations="tree.txt")
    assert ("P06493", "R-HSA-9") in edges(reading, "member_of")
    assert [path.name for path in reading.files] == ["members.txt", "tree.txt"]


@pytest.mark.parametrize(
    "line",
    [
        "M Phase\tR-HSA-3\tCDK1\tPLK1",
        "M-Phase\tR-HSA-3\tCDK1\tPLK1\t\t",
        "R-HSA-3\tM Phase\tCDK1\tPLK1",
        "R-HSA-3.2\tM Phase\tCDK1\tPLK1\tCDK1",
        "M Phase\tR-HSA-3\tReactome Pathway\tCDK1\tPLK1",
    ],
)
def test_forms_of_gmt(folder: Path, line: str) -> None:
    (folder / "ReactomePathways.gmt").write_text(line + "\r\n")
    reading = read(folder)
    assert edges(reading, "member_of") == {
        pair for pair in CLOSED if pair[0] in ("CDK1", "PLK1") and pair[1] != "R-HSA-9"
    }
    assert reading.labels["pathway"]["R-HSA-3"].replace("-", " ") == "M Phase"


def test_gmt_without_stable_identifiers(folder: Path) -> None:
    (folder / "ReactomePathways.gmt").write_text("REACTOME_M_PHASE\thttp://x\tCDK1\tPLK1\n")
    with pytest.raises(FileFormatError, match=r"(?s)no stable identifiers.*close_ancestors = false"):
        read(folder)
    reading = read(folder, close_ancestors=False)
    assert edges(reading, "member_of") == {("CDK1", "REACTOME_M_PHASE"), ("PLK1", "REACTOME_M_PHASE")}
    assert any("no stable identifiers" in note for note in reading.notes)


def test_accessions_in_a_symbol_file_are_handed_on_and_noted(folder: Path) -> None:
    (folder / "ReactomePathways.gmt").write_text("M Phase\tR-HSA-3\tP06493\tP53350\tO14965\tCDK2\n")
    reading = read(folder)
    assert ("P06493", "R-HSA-3") in edges(reading, "member_of")
    assert any("most names in ReactomePathways.gmt look like UniProt accessions" in note for note in reading.notes)
    (folder / "ReactomePathways.gmt").write_text("A\tR-HSA-3\tP2RY11\tB3GNT2\tCDK1\tPLK1\n")
    assert not any("look like" in note for note in read(folder).notes)
    (folder / "UniProt2Reactome.txt").write_text(mapping([("CDK1", "R-HSA-3"), ("PLK1", "R-HSA-3")]))
    assert any("look like symbols, not like uniprot" in n for n in read(folder, identifiers="uniprot").notes)


# --- bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("M Phase,R-HSA-3,CDK1\n", "is not a GMT line"),
        ("\tR-HSA-3\tCDK1\n", "give the set a name"),
        ("M Phase\tR-HSA-3\nOther\tR-HSA-9\t\t\n", "no gene set with a gene"),
        ("# nothing\n", "has no data"),
        (GMT + "Again\tR-HSA-3\tCDK1\n", r"(?s)gives the pathway R-HSA-3 twice.*lines 1 and 5"),
        (GMT + "No identifier\tsomething\tCDK1\n", "line 5 of .* has no stable identifier"),
    ],
)
def test_bad_gmt(folder: Path, text: str, message: str) -> None:
    (folder / "ReactomePathways.gmt").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("R-HSA-1\tR-HSA-2\nR-HSA-2\tR-HSA-1\n", r"has a cycle: R-HSA-\d -> R-HSA-\d -> R-HSA-\d"),
        ("R-HSA-1,R-HSA-2\n", r"(?s)2 tab-separated fields.*separated by commas"),
        ("R-HSA-1\tR-HSA-2\tx\n", "is not Reactome's parent and child"),
        ("parent\tchild\nR-HSA-1\tR-HSA-2\n", "line 1 of .* has the parent 'parent'"),
        ("R-HSA-1\tR-HSA-2\nR-HSA-3\n", "line 2 of .* has no child"),
        ("R-HSA-1\tR-HSA-2\nR-HSA-3\tREACT_3\n", "line 2 of .* has the child 'REACT_3'"),
    ],
)
def test_bad_hierarchy(folder: Path, text: str, message: str) -> None:
    (folder / "ReactomePathwaysRelation.txt").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read(folder)


def test_bad_mapping(folder: Path) -> None:
    path = folder / "UniProt2Reactome.txt"
    path.write_text(mapping(UNIPROT) + mapping([("P1", "R-HSA-3")]).replace("R-HSA-3", "REACT_3"))
    with pytest.raises(FileFormatError, match="has the pathway 'REACT_3'"):
        read(folder, identifiers="uniprot")
    path.write_text(mapping(UNIPROT) + "P1\tR-HSA-3\n")
    with pytest.raises(FileFormatError, match=r"line 6 of .* has no species"):
        read(folder, identifiers="uniprot")


@pytest.mark.parametrize("name", ["ReactomePathways.gmt", "ReactomePathwaysRelation.txt"])
def test_damaged_files(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(folder)
    path.write_bytes(gzip.compress(content)[:-12])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(folder)
    path.write_bytes(content.replace(b"R-HSA-2", b"R-HSA-\xff"))
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read(folder)
    path.unlink()
    with pytest.raises(FileFormatError, match="is not in"):
        read(folder)


def test_missing_kind_names_its_official_file(folder: Path) -> None:
    with pytest.raises(FileFormatError, match=r"UniProt2Reactome"):
        read(folder, identifiers="uniprot")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"species": "martian"}, "reactome has no species 'martian'"),
        ({"identifiers": "symbols"}, "identifiers"),
        ({"min_pathway_genes": 5, "max_pathway_genes": 2}, "max_pathway_genes = 2 is below"),
        ({"measure": "jaccard"}, "'measure' is a setting of the reading 'similarity'"),
        ({"specie": "human"}, "did you mean 'species'"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Reactome.parse(settings)


def test_settings_make_the_same_source_again() -> None:
    for source in (Reactome(), Reactome(species="human", reading="similarity", measure="jaccard", top_k=3)):
        assert Reactome.parse(source.settings()) == source


@pytest.mark.shared
def test_real_files(shared_data: Path) -> None:
    context = SourceContext(shared_data / "graphs")
    reading = Reactome(species="homo_sapiens").read(context)
    members, above = reading.tables
    assert (len(members), len(above)) == (122_551, 2_527)
    assert len(members.src_names) == 11_387
    assert len(members.dst_names) == 2_516
    assert reading.labels["pathway"]["R-HSA-73843"] == "5-Phosphoribose-1-diphosphate-biosynthesis"
    direct = Reactome(close_ancestors=False).read(context).tables[0]
    with open(shared_data / "graphs" / "ReactomePathways.gmt") as handle:
        rows = [line.rstrip("\n").split("\t") for line in handle]
    assert named(direct) == {(gene, row[1]) for row in rows for gene in row[2:]}
    assert named(direct) < named(members)
    with pytest.raises(FileFormatError, match=r"Homo sapiens \(2,504\)"):
        Reactome(species="mus_musculus").read(context)


@pytest.mark.shared
def test_real_similarity_agrees_with_functional_interactions(shared_data: Path) -> None:
    context = SourceContext(shared_data / "graphs")
    (table,) = Reactome(reading="similarity", top_k=5, max_pathway_genes=500).read(context).tables
    genes = set(table.src_names.tolist())
    with gzip.open(shared_data / "graphs" / "reactome_fi_symbols.tsv.gz", "rt") as handle:
        interactions = {frozenset(line.split()) for line in handle if genes.issuperset(line.split())}
    similar = {frozenset(pair) for pair in named(table)}
    expected = len(similar) * len(interactions) / (len(genes) * (len(genes) - 1) / 2)
    assert len(similar & interactions) > 20 * expected
