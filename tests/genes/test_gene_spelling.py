import pytest

from gnnvcell.genes.spelling import accession_kind, foreign, spreadsheet_damage, stored


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("1-Mar", "MARCHF1 or MTARC1"),
        ("2-Mar", "MARCHF2 or MTARC2"),
        ("10-Mar", "MARCHF10?"),
        ("2-Sep", "SEPTIN2"),
        ("Sep-09", "SEPTIN9"),
        ("1-Dec", "DELEC1"),
        ("1-dec", "DELEC1"),
        ("2021-03-05", "MARCHF5"),
        ("2021-09-07 00:00:00", "SEPTIN7"),
    ],
)
def test_dates_are_traced_back(name, symbol) -> None:
    assert symbol in spreadsheet_damage(name)


@pytest.mark.parametrize("name", ["MARCHF1", "SEPT2", "DEC1", "NKX2-5", "1-Foo", "2021-13-05", "MARC1", "OCT4"])
def test_symbols_are_not_taken_for_dates(name) -> None:
    assert spreadsheet_damage(name) == ""


def test_a_date_that_was_no_gene_family_gets_no_candidate() -> None:
    assert spreadsheet_damage("4-Oct").endswith("into a date")


@pytest.mark.parametrize(
    ("kind", "name", "kept"),
    [
        ("ensembl", " ENSG00000141510.19 ", "ENSG00000141510"),
        ("ensp", "9606.ENSP00000269305.4", "ENSP00000269305"),
        ("ensp", "9606.b0001", "b0001"),
        ("uniprot", "P04637-2", "P04637"),
        ("uniprot", "A0A024R161", "A0A024R161"),
        ("alias", "AC118549.1", "AC118549.1"),
        ("previous", "SEPT2-1", "SEPT2-1"),
        ("entrez", "7157", "7157"),
    ],
)
def test_ids_are_stored_bare(kind, name, kept) -> None:
    assert stored(kind, name, 9606) == kept


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("10090.ENSMUSP00000104298", "prefix of mouse"),
        ("4932.YAL001C", "prefix of taxon 4932"),
        ("ENSMUSG00000059552", "Ensembl id of mouse"),
        ("ENSDARG00000035559.5", "Ensembl id of zebrafish"),
        ("ENSXXXG00000035559", "another species"),
        ("Actb", "like ACTB"),
        ("C1qa", "like C1QA"),
    ],
)
def test_other_species_are_recognised(name, reason) -> None:
    assert reason in foreign(name, 9606, lambda text: text in {"ACTB", "C1QA"})


@pytest.mark.parametrize("name", ["Nope", "ENSG00000141510", "ACTB", "C1orf43", "7SK.1", "actb", "9606.ENSP1", "12.5"])
def test_human_and_unknown_names_are_not_called_foreign(name) -> None:
    assert foreign(name, 9606, lambda text: text in {"ACTB", "TP53"}) == ""


def test_accessions_by_their_form() -> None:
    names = {"P04637": "uniprot", "A0A087WW49": "uniprot", "ENSG00000141510": "ensembl", "ENSMUSP00000104298": "ensp"}
    assert {name: accession_kind(name) for name in names} == names
    assert accession_kind("TP53") == accession_kind("P0463") == accession_kind("7157") == ""
