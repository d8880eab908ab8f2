"""Telling accessions from symbols, on names where that is hard."""

import pytest

from gnnvcell.graphs.accessions import accession_kind, likely_kind, may_be_symbols

SYMBOLS = ["TP53", "P2RY11", "H2BC12", "B3GNT2", "C1orf112", "HLA-A", "MT-CO1", "NKX2-1", "A1BG", "H4C11", "C4B_2"]
ACCESSIONS = {
    "ENSG00000141510": "Ensembl gene ids",
    "ENSG00000141510.19": "Ensembl gene ids",
    "ENSMUSG00000059552": "Ensembl gene ids",
    "9606.ENSP00000269305": "Ensembl protein ids",
    "A0A087WW49": "UniProt accessions",
    "A0A087WW49-2": "UniProt accessions",
    "P53_HUMAN": "UniProt entry names",
    "7157": "Entrez ids",
    "NM_000546.6": "RefSeq accessions",
    "HGNC:11998": "HGNC ids",
}


def test_symbols_stay_symbols_beside_a_few_accessions() -> None:
    names = [*SYMBOLS, *ACCESSIONS, "P04637"]
    assert may_be_symbols(names) == [True] * len(SYMBOLS) + [False] * len(ACCESSIONS) + [True]


@pytest.mark.parametrize("name", ACCESSIONS)
def test_certain_kinds(name) -> None:
    assert accession_kind(name) == ACCESSIONS[name]


def test_a_column_of_six_character_accessions_is_refused_whole() -> None:
    column = ["P04637", "Q00987", "O15350", "P38936", "P2RY11", "TP53"]
    assert may_be_symbols(column) == [False, False, False, False, False, True]
    assert likely_kind(column) == "UniProt accessions"
    assert may_be_symbols([]) == []


def test_likely_kind_needs_a_majority() -> None:
    assert likely_kind(["ENSG00000141510", "ENSG00000141511", "TP53"]) == "Ensembl gene ids"
    assert likely_kind(["ENSG00000141510", "TP53"]) == ""
    assert likely_kind(SYMBOLS) == ""
    assert likely_kind([]) == ""
