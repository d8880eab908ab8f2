import gzip
from pathlib import Path

import pytest

from gnnvcell.errors import FileFormatError, GeneError
from gnnvcell.genes import GeneVocab

INFO = """#string_protein_id\tpreferred_name\tprotein_size\tannotation
9606.ENSP00000261772\tAARS\t968\tAlanine--tRNA ligase; "Attaches" alanine
9606.ENSP00000269305\tTP53\t393\tCellular tumor antigen p53
9606.ENSP00000416168\tTP53\t341\tA second protein of the same name
9606.ENSP00000347942\tKMT2A\t3972\tannotation not available
"""
ALIASES_12 = """#string_protein_id\talias\tsource
9606.ENSP00000261772\tENSG00000090861\tEnsembl_gene
9606.ENSP00000261772\tP49588\tUniProt_AC
9606.ENSP00000261772\tSYAC_HUMAN\tUniProt_ID
9606.ENSP00000261772\t16\tEnsembl_HGNC_entrez_id
9606.ENSP00000269305\tLFS1\tEnsembl_HGNC_alias_symbol
9606.ENSP00000269305\t2B6H\tEnsembl_PDB
9606.ENSP00000269305\tp53 "quoted\tUniProt_GN_Synonyms
9606.ENSP00000347942\tMLL\tEnsembl_HGNC_prev_symbol
9606.ENSP00000347942\t4297\tUniProt_DR_GeneID
9606.ENSP00000999999\tELSEWHERE\tUniProt_GN_Name
"""
ALIASES_11 = """## string_protein_id ## alias ## source ##
9606.ENSP00000261772\t16\tBLAST_UniProt_DR_GeneID Ensembl_HGNC_Entrez_Gene_ID(supplied_by_NCBI)
9606.ENSP00000261772\tP49588\tBLAST_UniProt_AC Ensembl_HGNC_UniProt_ID(supplied_by_UniProt)
9606.ENSP00000261772\tSYAC_HUMAN\tEnsembl_HGNC_UniProt_ID(supplied_by_UniProt) Ensembl_UniProt
9606.ENSP00000261772\tENSG00000090861\tEnsembl_gene
9606.ENSP00000269305\tLFS1\tBLAST_KEGG_NAME Ensembl_EntrezGene_synonym
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def info(tmp_path) -> Path:
    return write(tmp_path / "9606.protein.info.v12.0.txt", INFO)


def test_proteins_of_one_name_are_one_gene(info) -> None:
    vocab = GeneVocab.from_string(info)
    assert vocab.symbols.tolist() == ["AARS", "TP53", "KMT2A"]
    assert vocab.species == 9606
    names = ["9606.ENSP00000269305", "ENSP00000416168.2", "9606.ENSP00000347942", "AARS1", "MLL", "P49588"]
    assert vocab.lookup(names).tolist() == [1, 1, 2, 0, 2, -1]


@pytest.mark.parametrize("release", ["11.0", "12.0"])
def test_aliases_of_both_layouts(tmp_path, info, release) -> None:
    text = ALIASES_11 if release == "11.0" else ALIASES_12
    path = tmp_path / f"9606.protein.aliases.v{release}.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    aligned = GeneVocab.from_string(info, path).align(
        ["ENSG00000090861.5", "P49588", "16", "LFS1", "2B6H", "SYAC_HUMAN"]
    )
    assert aligned.index.tolist() == [0, 0, 0, 1, -1, -1]
    assert aligned.reasons.tolist() == ["ensembl", "uniprot", "entrez", "alias", "unknown", "unknown"]


def test_previous_symbols_ids_and_quotes_of_release_12(tmp_path, info) -> None:
    vocab = GeneVocab.from_string(info, write(tmp_path / "aliases.txt", ALIASES_12))
    assert vocab.align(["MLL", "4297", 'p53 "quoted', "ELSEWHERE"]).reasons.tolist() == [
        "previous",
        "entrez",
        "alias",
        "unknown",
    ]


def test_the_header_of_release_11_and_other_species(tmp_path) -> None:
    text = "protein_external_id\tpreferred_name\n10090.ENSMUSP00000104298\tTrp53\n"
    vocab = GeneVocab.from_string(write(tmp_path / "10090.protein.info.v11.0.txt", text))
    assert vocab.species == 10090
    assert vocab.lookup(["Trp53", "10090.ENSMUSP00000104298.1", "TRP53"]).tolist() == [0, 0, -1]


def test_another_species_is_refused(tmp_path, info) -> None:
    with pytest.raises(GeneError, match="another species") as caught:
        GeneVocab.from_string(info, species=10090)
    assert (caught.value.expected, caught.value.found) == ("mouse", "human (9606)")
    mixed = write(tmp_path / "mixed.txt", INFO + "10090.ENSMUSP00000104298\tTrp53\t1\tx\n")
    with pytest.raises(GeneError, match="not of one species"):
        GeneVocab.from_string(mixed)
    with pytest.raises(GeneError, match="not of one species"):
        GeneVocab.from_string(write(tmp_path / "bare.txt", INFO.replace("9606.", "")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (INFO.replace("\t", ","), "not a protein.info file"),
        (INFO.replace("preferred_name", "name"), "not a protein.info file"),
        ("protein1 protein2 combined_score\n9606.A 9606.B 900\n", "not a protein.info file"),
        (INFO.splitlines()[0] + "\n", "no proteins"),
        (INFO + "9606.ENSP00000000001\n", "line 6 .* no id or no name"),
        (INFO + "9606.ENSP00000000001\t\t5\tx\n", "line 6 .* no id or no name"),
        (INFO + "\n", "line 6 .* no id or no name"),
    ],
)
def test_bad_info_files_are_refused(tmp_path, text, message) -> None:
    with pytest.raises(FileFormatError, match=message):
        GeneVocab.from_string(write(tmp_path / "info.txt", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (INFO, "not a protein.aliases file"),
        (ALIASES_12.splitlines()[0] + "\n", "no names"),
        (ALIASES_12 + "9606.ENSP00000261772\n", "without three"),
        (ALIASES_12.replace("\t", " ", 200), "not a protein.aliases file|without three"),
        (ALIASES_12.replace("9606.", "10090."), "no name of a protein"),
    ],
)
def test_bad_alias_files_are_refused(tmp_path, info, text, message) -> None:
    with pytest.raises(FileFormatError, match=message):
        GeneVocab.from_string(info, write(tmp_path / "aliases.txt", text))


def test_truncated_gzip_is_refused(tmp_path, info) -> None:
    packed = gzip.compress((ALIASES_12 * 50).encode())
    (tmp_path / "cut.gz").write_bytes(packed[:-20])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        GeneVocab.from_string(info, tmp_path / "cut.gz")
    packed = gzip.compress((INFO * 50).encode())
    (tmp_path / "cut_info.gz").write_bytes(packed[:-20])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        GeneVocab.from_string(tmp_path / "cut_info.gz")
