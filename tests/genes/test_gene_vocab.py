import time

import numpy as np
import pandas as pd
import pytest

from gnnvcell.errors import GeneError
from gnnvcell.genes import GeneVocab

SYMBOLS = ["TP53", "AARS1", "C1orf43", "KMT2A", "KMT2B", "H2BC12", "ACTB"]
ALIASES = {
    "previous": [("AARS", 1), ("MLL", 3), ("MLLX", 3), ("MLLX", 4)],
    "alias": [("P53", 0), ("MLL2", 3), ("MLL2", 4), ("ACTB", 0), ("AARS", 0), ("LFS1", 0)],
    "ensembl": [("ENSG00000141510.19", 0), ("ENSG00000090861", 1)],
    "ensp": [("9606.ENSP00000269305", 0), ("ENSP00000261772.8", 1)],
    "uniprot": [("P04637", 0), ("P49588-2", 1), ("P62805", 3), ("P62805", 4)],
    "entrez": [("7157", 0), ("16", 1)],
}


@pytest.fixture
def vocab() -> GeneVocab:
    return GeneVocab(SYMBOLS, ALIASES)


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("TP53", 0, "symbol"),
        ("AARS1", 1, "symbol"),
        ("C1orf43", 2, "symbol"),
        ("  TP53\t", 0, "symbol"),
        ("9606.TP53", 0, "symbol"),
        ("AARS", 1, "previous"),  # also an alias of TP53: the previous symbol wins
        ("ACTB", 6, "symbol"),  # also an alias of TP53: the symbol wins
        ("P53", 0, "alias"),
        ("ENSG00000141510", 0, "ensembl"),
        ("ENSG00000141510.3", 0, "ensembl"),
        ("ENSG00000090861.12", 1, "ensembl"),
        ("ENSP00000269305", 0, "ensp"),
        ("9606.ENSP00000269305", 0, "ensp"),
        ("9606.ENSP00000261772.3", 1, "ensp"),
        ("P04637", 0, "uniprot"),
        ("P04637-9", 0, "uniprot"),
        ("P49588", 1, "uniprot"),
        ("7157", 0, "entrez"),
        (7157, 0, "entrez"),
        (16.0, 1, "entrez"),
        ("MLL2", -1, "ambiguous"),
        ("MLLX", -1, "ambiguous"),
        ("P62805", -1, "ambiguous"),
        ("P62805-1", -1, "ambiguous"),
        ("aars", -1, "unknown"),
        ("C1ORF43", -1, "unknown"),
        ("H2BC12-1", -1, "unknown"),  # has the form of a UniProt isoform, but H2BC12 is a symbol
        ("TP53.1", -1, "unknown"),
        ("NOPE", -1, "unknown"),
        ("", -1, "unknown"),
        (None, -1, "unknown"),
        (float("nan"), -1, "unknown"),
        ("Tp53", -1, "wrong_species"),
        ("Aars", -1, "wrong_species"),
        ("ENSMUSG00000059552", -1, "wrong_species"),
        ("ENSMUSP00000104298.1", -1, "wrong_species"),
        ("10090.ENSMUSP00000104298", -1, "wrong_species"),
        ("10090.TP53", -1, "wrong_species"),
        ("1-Mar", -1, "unknown"),
    ],
)
def test_every_way_to_name_a_gene(vocab, name, row, reason) -> None:
    assert vocab.lookup([name]).tolist() == [row]
    aligned = vocab.align([name])
    assert (aligned.index.tolist(), aligned.reasons.tolist()) == ([row], [reason])
    assert (name in vocab) == (row >= 0)
    if row >= 0:
        assert vocab.index(name) == row
    else:
        with pytest.raises(GeneError, match=reason.replace("_", " ")):
            vocab.index(name)


def test_lookup_is_vectorised_over_any_sequence(vocab) -> None:
    names = ["AARS", "nope", "TP53", "TP53"]
    expected = [1, -1, 0, 0]
    for given in (
        names,
        tuple(names),
        np.array(names),
        np.array(names, dtype=object),
        pd.Index(names),
        pd.Series(names),
    ):
        found = vocab.lookup(given)
        assert found.dtype == np.int64
        assert found.tolist() == expected
    assert vocab.lookup(iter(names)).tolist() == expected
    assert vocab.lookup([]).shape == (0,)
    assert vocab.lookup(np.array([7157, 5])).tolist() == [0, -1]
    with pytest.raises(GeneError, match="one name, not a list"):
        vocab.lookup("TP53")


def test_unknown_gene_names_the_nearest_and_ambiguous_the_candidates(vocab) -> None:
    with pytest.raises(GeneError, match="did you mean 'AARS1'"):
        vocab.index("AARS11")
    with pytest.raises(GeneError, match="KMT2A or KMT2B"):
        vocab.index("MLL2")
    with pytest.raises(GeneError, match="like TP53"):
        vocab.index("Tp53")


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (["TP53", "MYC", "TP53", "MYC", "A"], "2 gene symbols repeat"),
        (["TP53", ""], "empty, missing"),
        (["TP53", "  "], "empty, missing"),
        (["A\nB"], "line break"),
        ("TP53", "one name, not a list"),
    ],
)
def test_bad_symbols_are_refused(symbols, message) -> None:
    with pytest.raises(GeneError, match=message):
        GeneVocab(symbols)


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ({"ensmbl": [("ENSG00000141510", 0)]}, "did you mean 'ensembl'"),
        ({"symbol": [("X", 0)]}, "unknown kind"),
        ({"alias": [("X", 7)]}, "points to row 7"),
        ({"alias": [("X", -1)]}, "points to row -1"),
        ({"alias": [("X\nY", 0)]}, "line break"),
    ],
)
def test_bad_aliases_are_refused(aliases, message) -> None:
    with pytest.raises(GeneError, match=message):
        GeneVocab(SYMBOLS, aliases)


def test_symbols_cannot_be_changed(vocab) -> None:
    assert len(vocab) == len(SYMBOLS)
    assert vocab.symbols.tolist() == SYMBOLS
    with pytest.raises(ValueError, match="read-only"):
        vocab.symbols[0] = "X"


def test_storage_round_trip_and_digest(vocab, tmp_path) -> None:
    np.savez(tmp_path / "vocab.npz", **vocab.to_arrays())
    with np.load(tmp_path / "vocab.npz", allow_pickle=False) as arrays:
        again = GeneVocab.from_arrays(dict(arrays))
    assert again == vocab
    assert again.digest() == vocab.digest()
    assert again.align(["MLL2", "AARS", "P04637-2"]).reasons.tolist() == ["ambiguous", "previous", "uniprot"]
    shuffled = GeneVocab(SYMBOLS, {kind: pairs[::-1] for kind, pairs in reversed(ALIASES.items())})
    assert shuffled == vocab
    assert hash(shuffled) == hash(vocab)
    assert shuffled.digest() == vocab.digest()


@pytest.mark.parametrize(
    "other",
    [
        GeneVocab(SYMBOLS[::-1]),
        GeneVocab(SYMBOLS, {**ALIASES, "alias": ALIASES["alias"][1:]}),
        GeneVocab(SYMBOLS, {**ALIASES, "alias": [], "previous": [*ALIASES["previous"], *ALIASES["alias"]]}),
        GeneVocab(SYMBOLS, ALIASES, species=10090),
        GeneVocab([*SYMBOLS, "MYC"], ALIASES),
    ],
)
def test_any_other_content_has_another_digest(vocab, other) -> None:
    assert other != vocab
    assert other.digest() != vocab.digest()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("alias_rows"),
        lambda a: a.update(alias_rows=a["alias_rows"][1:]),
        lambda a: a.update(alias_rows=a["alias_rows"] + 100),
        lambda a: a.update(alias_kinds=a["alias_kinds"] + 50),
        lambda a: a.update(symbols=np.concatenate([a["symbols"], a["symbols"]])),
        lambda a: a.update(symbols=a["symbols"] | 0x80),
        lambda a: a.update(species=a["species"][:0]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(vocab, change) -> None:
    arrays = vocab.to_arrays()
    change(arrays)
    with pytest.raises(GeneError):
        GeneVocab.from_arrays(arrays)


def test_subset_by_index_mask_and_name(vocab) -> None:
    by_index = vocab.subset([1, 0])
    assert by_index.symbols.tolist() == ["AARS1", "TP53"]
    assert by_index.lookup(["AARS", "P04637", "ACTB", "KMT2A"]).tolist() == [0, 1, -1, -1]
    assert vocab.subset(["AARS", "9606.ENSP00000269305"]) == by_index
    assert vocab.subset(np.isin(np.arange(len(vocab)), [0, 1])).symbols.tolist() == ["TP53", "AARS1"]
    assert vocab.subset(range(len(vocab))) == vocab
    assert len(vocab.subset([])) == 0


def test_subset_never_gives_a_name_to_the_gene_that_is_left(vocab) -> None:
    # MLL2 and P62805 meant KMT2A or KMT2B; AARS meant AARS1 although it is an alias of TP53; ACTB is a gene of its own.
    left = vocab.subset(["KMT2A", "TP53"])
    assert left.align(["MLL2", "P62805", "AARS", "ACTB"]).reasons.tolist() == [
        "ambiguous",
        "ambiguous",
        "unknown",
        "unknown",
    ]
    again = GeneVocab.from_arrays(left.to_arrays())
    assert again == left
    assert again.align(["MLL2"]).reasons.tolist() == ["ambiguous"]
    assert left.subset(["KMT2A"]).align(["MLL2"]).reasons.tolist() == ["ambiguous"]
    with pytest.raises(GeneError, match="outside this vocabulary"):
        left.index("MLL2")


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([0, 99], "no gene 99"),
        ([-1], "no gene -1"),
        ([0, 0], "'?TP53'? is there twice"),
        (["TP53", "P53"], "is there twice"),
        (["TP53", "NOPE"], "unknown"),
        ([True, False], "another length"),
    ],
)
def test_bad_subsets_are_refused(vocab, genes, message) -> None:
    with pytest.raises(GeneError, match=message):
        vocab.subset(genes)


def test_other_species_mirror_the_rules() -> None:
    mouse = GeneVocab(["Trp53", "Actb"], {"ensembl": [("ENSMUSG00000059552", 0)]}, species=10090)
    names = ["ENSMUSG00000059552.13", "10090.Actb", "ACTB", "ENSG00000141510", "9606.ENSP00000269305", "HELP"]
    expected = ["ensembl", "symbol", "wrong_species", "wrong_species", "wrong_species", "unknown"]
    assert mouse.align(names).reasons.tolist() == expected
    # Nothing is known about Ensembl's letters for yeast, so nothing is claimed.
    yeast = GeneVocab(["ACT1"], species=4932)
    assert yeast.align(["ENSG00000141510", "4932.ACT1"]).reasons.tolist() == ["unknown", "symbol"]


def test_from_symbols_knows_renamings_and_keeps_the_order() -> None:
    vocab = GeneVocab.from_symbols(["MARCH8", "TP53", "AARS1", "SEPTIN2"])
    assert vocab.symbols.tolist() == ["MARCH8", "TP53", "AARS1", "SEPTIN2"]
    assert vocab.lookup(["MARCHF8", "AARS", "SEPT2"]).tolist() == [0, 2, 3]
    both = GeneVocab.from_symbols(["AARS", "AARS1"])
    assert both.lookup(["AARS", "AARS1"]).tolist() == [0, 1]
    assert GeneVocab.from_symbols(["AARS1"], renamings=False).lookup(["AARS"]).tolist() == [-1]
    assert GeneVocab.from_symbols(["AARS1"], species=10090).lookup(["AARS"]).tolist() == [-1]


def test_lookup_of_20000_names_takes_less_than_50_ms() -> None:
    genes = 40_000
    vocab = GeneVocab(
        [f"GENE{i}" for i in range(genes)],
        {
            "previous": [(f"OLD{i}", i) for i in range(0, genes, 3)],
            "ensembl": [(f"ENSG{i:011d}", i) for i in range(genes)],
            "alias": [(f"AL{i}", i) for i in range(genes)],
        },
    )
    rows = np.random.default_rng(0).integers(0, genes, 20_000)
    spellings = ("GENE{0}", "AL{0}", "GENE{0}", "NOPE{0}", "ENSG{0:011d}.7")
    names = [spellings[i % len(spellings)].format(row) for i, row in enumerate(rows.tolist())]
    seconds = []
    for _ in range(7):
        start = time.process_time()
        found = vocab.lookup(names)
        seconds.append(time.process_time() - start)
    expected = np.where(np.arange(20_000) % len(spellings) == 3, -1, rows)
    np.testing.assert_array_equal(found, expected)
    assert min(seconds) < 0.05
