import math

import pytest

from gnnvcell.genes import GeneVocab


@pytest.fixture
def vocab() -> GeneVocab:
    return GeneVocab(
        ["TP53", "AARS1", "KMT2A", "KMT2B", "MARCHF1"],
        {"previous": [("AARS", 1)], "alias": [("MLL2", 2), ("MLL2", 3)], "ensembl": [("ENSG00000141510", 0)]},
    )


NAMES = ["AARS", "AARS1", "TP53", "TP53", "ENSG00000141510.1", "MLL2", "Tp53", "NOPE", "NOPE", "1-Mar", "aars1", None]


def test_coverage_counts_distinct_names(vocab) -> None:
    aligned = vocab.align(NAMES, source="labels")
    assert len(aligned) == 12
    assert aligned.index.tolist() == [1, 1, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1]
    assert aligned.symbols.tolist()[:6] == ["AARS1", "AARS1", "TP53", "TP53", "TP53", ""]
    assert aligned.coverage == pytest.approx(4 / 10)
    assert aligned.counts == {
        "symbol": 2,
        "previous": 1,
        "ensembl": 1,
        "unknown": 4,
        "ambiguous": 1,
        "wrong_species": 1,
    }
    assert aligned.unmatched == {
        "ambiguous": ["MLL2"],
        "wrong_species": ["Tp53"],
        "unknown": ["NOPE", "1-Mar", "aars1", ""],
    }
    assert aligned.shared == {"AARS1": ["AARS", "AARS1"], "TP53": ["TP53", "ENSG00000141510.1"]}


def test_report_says_what_matched_and_why_the_rest_did_not(vocab) -> None:
    report = vocab.align(NAMES, source="labels").report()
    for line in (
        "labels: 4 of 10 distinct names matched a gene of human (40.0 %)",
        "matched: 2 by symbol, 1 by previous symbol, 1 by ensembl id",
        "ambiguous: 1: MLL2",
        "wrong species: 1: Tp53",
        "unknown: 4: NOPE, 1-Mar, aars1, (empty)",
        "several names of one gene: 2 genes, for example AARS and AARS1 (AARS1)",
        "MLL2 means KMT2A or KMT2B",
        "Tp53 is spelled as in mouse or rat, like TP53",
        "1-Mar looks like a symbol that a spreadsheet turned into a date: MARCHF1 or MTARC1?",
        "aars1 differs from AARS1 in case",
        "(empty) is an empty or missing name",
    ):
        assert line in report
    short = vocab.align(["A", "B", "C"]).report(examples=2)
    assert "unknown: 3: A, B and 1 more" in short
    assert str(vocab.align(["TP53"])).startswith("names: 1 of 1 distinct names")


def test_no_names_have_no_coverage(vocab) -> None:
    aligned = vocab.align([])
    assert math.isnan(aligned.coverage)
    assert aligned.unmatched == aligned.counts == {}
    assert "0 of 0" in aligned.report()
    nothing = GeneVocab([]).align(["TP53"])
    assert nothing.coverage == 0
    assert nothing.symbols.tolist() == [""]
