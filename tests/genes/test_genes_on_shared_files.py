import pandas as pd
import pytest

from gnnvcell.genes import GeneVocab, Identities, read_string

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def old_string(shared_data) -> Identities:
    return read_string(shared_data / "graphs" / "9606.protein.info.txt.gz")[0]


@pytest.fixture(scope="module")
def vocab(old_string, newer_symbols) -> GeneVocab:
    newer = [Identities(sorted(symbols), {}) for symbols in newer_symbols.values()]
    return GeneVocab.from_identities([old_string, *newer])


@pytest.fixture(scope="module")
def measured(shared_data) -> list[str]:
    names: set[str] = set()
    for file in sorted((shared_data / "perturbqa").glob("*.csv.gz")):
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        names |= set(frame["pert"]) | set(frame["gene"])
    return sorted(names)


def test_symbols_of_different_age_are_one_gene(vocab) -> None:
    for old, new in (("AARS", "AARS1"), ("MARCH8", "MARCHF8"), ("DARS", "DARS1"), ("H2AFZ", "H2AZ1"), ("PHB", "PHB1")):
        assert vocab.index(old) == vocab.index(new)
        assert vocab.symbols[vocab.index(old)] == new


def test_genes_are_fewer_than_symbols_and_none_is_lost(vocab, old_string, newer_symbols) -> None:
    symbols = set(old_string.symbols).union(*newer_symbols.values())
    assert 200 < len(symbols) - len(vocab) < 400
    assert (vocab.lookup(sorted(symbols)) >= 0).all()


def test_every_protein_of_string_has_its_gene(shared_data, vocab, old_string) -> None:
    info = pd.read_csv(shared_data / "graphs" / "9606.protein.info.txt.gz", sep="\t", dtype=str, keep_default_na=False)
    rows = vocab.lookup(info["#string_protein_id"])
    assert (rows >= 0).all()
    assert (rows == vocab.lookup(info["preferred_name"])).all()
    assert len(GeneVocab.from_string(shared_data / "graphs" / "9606.protein.info.txt.gz")) == len(info)


@pytest.mark.parametrize(("file", "before", "after"), [("string", 0.829, 0.841), ("goa", 0.973, 0.986)])
def test_renamings_raise_the_coverage_of_measured_genes(vocab, measured, newer_symbols, file, before, after) -> None:
    symbols = newer_symbols[file]
    in_file = set(vocab.lookup(sorted(symbols)).tolist())
    by_text = sum(name in symbols for name in measured) / len(measured)
    by_gene = sum(row in in_file for row in vocab.lookup(measured).tolist()) / len(measured)
    assert by_text < before
    assert by_gene > after


def test_almost_every_measured_gene_is_known(vocab, measured) -> None:
    aligned = vocab.align(measured, source="perturbqa")
    assert aligned.coverage > 0.99
    assert set(aligned.counts) == {"symbol", "previous", "unknown"}
    assert aligned.shared == {}
