from itertools import pairwise

import pytest

from gnnvcell.errors import ConfigError
from gnnvcell.features.fasta import Record, read_records
from gnnvcell.features.isoforms import Isoforms, for_genes, rows_of
from gnnvcell.features.windows import residue_weights, windows

HEADERS = {
    "sp|P04637|P53_HUMAN Cellular tumor antigen p53 OS=Homo sapiens OX=9606 GN=TP53 PE=1": ("TP53", "P04637"),
    "tr|A0A024R1X8|A0A024R1X8_HUMAN no gene": ("A0A024R1X8", "A0A024R1X8"),
    "ENSP00000269305.4 pep chromosome:GRCh38:17:7:7:-1 gene:ENSG00000141510.18 transcript:ENST00000269305.9 "
    "gene_biotype:protein_coding transcript_biotype:protein_coding gene_symbol:TP53 description:tumor protein "
    "p53 [Source:HGNC Symbol;Acc:HGNC:11998]": ("TP53", "ENSP00000269305", "ENSG00000141510"),
    "ENSP00000000002.1 pep scaffold:x gene:ENSG00000000002.7 transcript:ENST00000000002.1": (
        "ENSG00000000002",
        "ENSP00000000002",
    ),
    "TP53": ("TP53", "TP53"),
    "TP53 of gene:XYZ": ("TP53", "TP53"),  # no Ensembl header
    "H2-K1.2 mouse": ("H2-K1.2", "H2-K1.2"),  # a version is dropped from Ensembl ids alone
}


@pytest.mark.parametrize("header", HEADERS)
def test_names_in_headers(tmp_path, header) -> None:
    (tmp_path / "p.fasta").write_text(f">{header}\nMK\nK\n")
    [record] = read_records(tmp_path / "p.fasta")
    name, protein, *others = HEADERS[header]
    assert (record.name, record.protein, record.sequence) == (name, protein, "MKK")
    assert set(record.other_names) == {*others, protein} - {name}


@pytest.mark.shared
def test_real_proteins(shared_data) -> None:
    records = list(read_records(shared_data / "graphs" / "proteins.fasta.gz"))
    assert len(records) == len({record.name for record in records}) == 4860


def record(name: str, sequence: str, protein: str = "", *others: str) -> Record:
    return Record(name, protein or name, others, sequence)


def test_rows_of_isoforms() -> None:
    records = [record("A", "MK", "P1"), record("B", "M", "P2"), record("A", "MKK*", "P3"), record("A", "MKD", "P3")]
    assert rows_of(records, Isoforms.LONGEST).members == {"A": [2], "B": [1]}  # the first of equally long ones
    assert rows_of(records, Isoforms.MEAN).members == {"A": [0, 2, 3], "B": [1]}
    every = rows_of(records, Isoforms.ALL)
    assert every.members == {"P1": [0], "P2": [1], "P3": [2], "P3#2": [3]}
    assert (every.isoforms, every.renamed) == (2, 1)


def test_proteins_of_genes_by_any_name() -> None:
    records = [
        record("AARS", "MK"),
        record("AARS1", "MKK"),
        record("X", "M", "ENSP1", "ENSG00000000007"),
        record("NOT", "M"),
    ]
    found, asked = for_genes(records, ["ENSG00000000007", "AARS1", "MALAT1"], 9606)
    # Both names of AARS1 are proteins of one gene now.
    assert [(given.name, given.sequence) for given in found] == [
        ("AARS1", "MK"),
        ("AARS1", "MKK"),
        ("ENSG00000000007", "M"),
    ]
    assert asked == ["ENSG00000000007", "AARS1", "MALAT1"]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (5, [(0, 5)]),
        (6, [(0, 5), (1, 6)]),
        (8, [(0, 5), (3, 8)]),
        (9, [(0, 5), (3, 8), (4, 9)]),
        (11, [(0, 5), (3, 8), (6, 11)]),
    ],
)
def test_windows(length, expected) -> None:
    assert windows(length, 5, 2) == expected


@pytest.mark.parametrize("length", [1, 9, 10, 11, 57, 100])
@pytest.mark.parametrize("overlap", [0, 3, 9])
def test_every_residue_counts_once(length, overlap) -> None:
    spans = windows(length, 10, overlap)
    weights = residue_weights(length, spans)
    assert sum(weights[start:stop].sum() for start, stop in spans) == pytest.approx(length)
    assert all(after[0] <= before[1] - overlap for before, after in pairwise(spans))
    assert spans[-1][1] == length


def test_windows_that_do_not_move() -> None:
    with pytest.raises(ConfigError, match=r"windows of 5 residues cannot overlap by 5[\s\S]*0 to 4"):
        windows(8, 5, 5)
