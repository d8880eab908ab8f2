import gzip

import numpy as np
import pytest

from gnnvcell.errors import DataError, FileFormatError, MissingFileError
from gnnvcell.features import composition_columns, composition_features
from gnnvcell.features.composition import CLASSES, HYDROPATHY
from gnnvcell.features.fasta import AMINO_ACIDS, read_proteins
from gnnvcell.files import sha256_of
from gnnvcell.genes import GeneVocab

FASTA = """>sp|P04637|P53_HUMAN Cellular tumor antigen p53 OS=Homo sapiens OX=9606 GN=TP53 PE=1 SV=4
MEEP
QSD
>sp|P04637-2|P53_HUMAN Isoform 2 of p53 OS=Homo sapiens OX=9606 GN=TP53
MEEPQSDPSV
>sp|P04637-3|P53_HUMAN Isoform 3 of p53 OS=Homo sapiens OX=9606 GN=TP53
WWWWWWWWWW
>sp|P49588|SYAC_HUMAN Alanine--tRNA ligase OS=Homo sapiens
MDSTL*
>AARS another protein
mxkU
"""


def described(sequence: str) -> dict[str, float]:
    table = composition_features({"P": sequence})
    return dict(zip(composition_columns(), table.values[0].tolist(), strict=True))


def test_by_hand() -> None:
    found = described("MKKD")
    expected = {
        "fraction_K": 0.5,
        "fraction_M": 0.25,
        "fraction_D": 0.25,
        "fraction_A": 0.0,
        "log_length": np.log(4),
        "fraction_positive": 0.5,
        "fraction_negative": 0.25,
        "fraction_polar": 0.75,
        "fraction_hydrophobic": 0.25,
        "fraction_aromatic": 0.0,
        "fraction_small": 0.25,
        "mean_hydropathy": (1.9 - 3.9 - 3.9 - 3.5) / 4,
        "fraction_MK": 1 / 3,
        "fraction_KK": 1 / 3,
        "fraction_KD": 1 / 3,
        "fraction_KM": 0.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert sum(value for name, value in found.items() if len(name) == len("fraction_KM")) == pytest.approx(1)


def test_columns() -> None:
    assert len(composition_columns()) == len(set(composition_columns())) == 428
    assert composition_columns(dipeptides=False) == composition_columns()[:28]
    assert composition_features({"P": "MK"}, dipeptides=False).values.shape == (1, 28)
    assert composition_features({"P": "M"}).values[0, 28:].sum() == 0  # no pair


def test_hydropathy_and_classes() -> None:
    by_letter = dict(zip(AMINO_ACIDS, HYDROPATHY.tolist(), strict=True))
    assert (by_letter["I"], by_letter["R"], by_letter["W"], by_letter["V"]) == (4.5, -4.5, -0.9, 4.2)
    assert HYDROPATHY.sum() == pytest.approx(-9.8)
    assert all(set(group) <= set(AMINO_ACIDS) for group in CLASSES.values())
    assert set(CLASSES["polar"]) | set(CLASSES["hydrophobic"]) == set(AMINO_ACIDS)


def test_unknown_residues_are_counted_and_break_pairs() -> None:
    table = composition_features({"P": "MXKUBZ*", "Q": "mk"})
    found = dict(zip(composition_columns(), table.values[0].tolist(), strict=True))
    assert (found["fraction_M"], found["fraction_K"], found["fraction_MK"]) == (0.5, 0.5, 0)
    assert found["log_length"] == pytest.approx(np.log(6))  # the stop is no residue
    assert "(4 unknown residues left out; 1 stops left out)" in table.source
    np.testing.assert_array_equal(table.values[1], composition_features({"Q": "MK"}).values[0])


@pytest.mark.parametrize("packed", [False, True])
def test_a_fasta_file(tmp_path, packed) -> None:
    path = tmp_path / ("p.fasta.gz" if packed else "p.fasta")
    path.write_bytes(gzip.compress(FASTA.encode()) if packed else FASTA.replace("\n", "\r\n").encode())
    proteins = read_proteins(path)
    # The longest isoform, the first of those equally long.
    assert proteins.sequences == {"TP53": "MEEPQSDPSV", "P49588": "MDSTL*", "AARS": "mxkU"}
    assert proteins.isoforms == 2
    table = composition_features(path)
    assert table.names.tolist() == ["TP53", "P49588", "AARS"]
    assert "2 other isoforms left out; 2 unknown residues left out; 1 stops left out" in table.source
    assert table.sha256 == sha256_of(path)
    values, present, _ = table.for_genes(GeneVocab.from_symbols(["MYC", "AARS1", "TP53"]))
    assert present.tolist() == [False, True, True]
    np.testing.assert_array_equal(values[1:], table.values[[2, 0]])


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ({}, "no sequences"),
        ({"P": "MK1-D"}, r"'P' has characters[\s\S]*found: '-', '1'"),
        ({"P": "MKÄ"}, r"found: 'Ä'"),
        ({"P": "M K"}, "characters that are no residues"),
        ({"P": ""}, "none of the 20"),
        ({"P": "XX*"}, "none of the 20"),
        ({"P": "ACGT" * 20, "Q": "acgtn"}, "are nucleotides"),
    ],
)
def test_bad_sequences_are_refused(sequences, message) -> None:
    with pytest.raises(DataError, match=message):
        composition_features(sequences)


def test_short_peptides_of_nucleotide_letters_are_fine() -> None:
    assert described("GAG")["fraction_G"] == pytest.approx(2 / 3)
    assert len(composition_features({"P": "ACGT" * 20, "Q": "MK"})) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "no sequences"),
        (b"MKK\n>A\nMK\n", "is not fasta"),
        (b">A\nMK\n> \nMK\n", "header in line 3 has no name"),
        (b">A\n>B\nMK\n", "'A' has no sequence"),
        (b">A\nMK\n>B\n", r"'B' has no sequence[\s\S]*cut off"),
        (b">A\nM-K\n", r"p\.fasta: the sequence of 'A' has characters"),
        (b">A\n\xff\xfe\n", "not UTF-8"),
        (gzip.compress(FASTA.encode())[:-20], "damaged gzip"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message) -> None:
    (tmp_path / "p.fasta").write_bytes(text)
    with pytest.raises(FileFormatError, match=message):
        composition_features(tmp_path / "p.fasta")


def test_a_missing_file(tmp_path) -> None:
    with pytest.raises(MissingFileError):
        composition_features(tmp_path / "none.fasta")
