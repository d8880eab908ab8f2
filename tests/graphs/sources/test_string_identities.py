import pytest

from gnnvcell.errors import FileFormatError
from gnnvcell.testing.string_files import A, B, C, D, info, links, pairs, read, write


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
