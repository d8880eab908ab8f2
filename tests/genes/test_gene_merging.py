import itertools

import numpy as np
import pytest

from gnnvcell.errors import GeneError
from gnnvcell.genes import GeneVocab, Identities
from gnnvcell.genes.merging import merge_identities


def source(symbols: str, **aliases: str) -> Identities:
    """Identities from "A B" and previous="OLD:0 OLDER:0"."""
    pairs = {kind: [(w.split(":")[0], int(w.split(":")[1])) for w in text.split()] for kind, text in aliases.items()}
    return Identities(symbols.split(), pairs)


def symbols_of(*sources: Identities, **settings: bool) -> list[str]:
    return GeneVocab.from_identities(sources, **settings).symbols.tolist()


def test_renamed_genes_of_two_sources_are_one_under_the_newer_symbol() -> None:
    vocab = GeneVocab.from_identities([source("AARS TP53 MARCH8"), source("TP53 MARCHF8 AARS1 MYC")])
    assert vocab.symbols.tolist() == ["AARS1", "TP53", "MARCHF8", "MYC"]
    assert vocab.lookup(["AARS", "AARS1", "MARCH8", "MARCHF8"]).tolist() == [0, 0, 2, 2]
    assert vocab.align(["AARS", "AARS1"]).reasons.tolist() == ["previous", "symbol"]


def test_without_renamings_they_stay_two() -> None:
    assert symbols_of(source("AARS"), source("AARS1"), renamings=False) == ["AARS", "AARS1"]
    mouse = GeneVocab.from_identities([source("AARS"), source("AARS1")], species=10090)
    assert mouse.symbols.tolist() == ["AARS", "AARS1"]


def test_a_gene_keeps_the_newest_symbol_that_is_used_and_is_found_by_all() -> None:
    # USMG5 -> ATP5MD -> ATP5MK
    vocab = GeneVocab.from_identities([source("USMG5"), source("ATP5MD")])
    assert vocab.symbols.tolist() == ["ATP5MD"]
    assert vocab.lookup(["USMG5", "ATP5MD", "ATP5MK"]).tolist() == [0, 0, 0]
    assert symbols_of(source("USMG5"), source("ATP5MK")) == ["ATP5MK"]
    assert symbols_of(source("USMG5")) == ["USMG5"]
    assert GeneVocab.from_identities([source("USMG5")]).lookup(["ATP5MK"]).tolist() == [0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_sources_changes_the_order_of_genes_and_nothing_else(order) -> None:
    sources = [
        source("USMG5 AARS TP53", ensp="ENSP00000000001:0 ENSP00000000002:1"),
        source("ATP5MD TP53 OLD", alias="P53:1"),
        source("AARS1 NEW P04637", previous="OLD:1", entrez="16:0"),
        source("TP53 ATP5MK", uniprot="P04637:0"),
    ]
    vocab = GeneVocab.from_identities([sources[i] for i in order])
    assert sorted(vocab.symbols.tolist()) == ["AARS1", "ATP5MK", "NEW", "TP53"]
    canonical = vocab.subset(np.argsort(vocab.symbols))
    names = ["USMG5", "ATP5MD", "AARS", "ENSP00000000001", "ENSP00000000002", "16", "P53", "P04637", "OLD"]
    assert canonical.lookup(names).tolist() == [1, 1, 0, 1, 0, 0, 3, 3, 2]


def test_previous_symbols_of_a_source_join_genes() -> None:
    vocab = GeneVocab.from_identities([source("OLD X"), source("NEW X", previous="OLD:0")])
    assert vocab.symbols.tolist() == ["NEW", "X"]
    assert vocab.align(["OLD"]).reasons.tolist() == ["previous"]


def test_an_alias_never_joins_genes() -> None:
    vocab = GeneVocab.from_identities([source("OLD"), source("NEW", alias="OLD:0")])
    assert vocab.symbols.tolist() == ["OLD", "NEW"]
    assert vocab.lookup(["OLD"]).tolist() == [0]


def test_a_previous_symbol_that_is_approved_for_another_gene_joins_nothing() -> None:
    hgnc = source("NEW OLD", previous="OLD:0")
    assert symbols_of(hgnc, source("OLD")) == ["NEW", "OLD"]
    assert symbols_of(source("OLD"), hgnc) == ["OLD", "NEW"]
    # The same when one source makes the claim and another lists both.
    assert symbols_of(source("NEW", previous="OLD:0"), source("NEW OLD")) == ["NEW", "OLD"]


def test_a_previous_symbol_claimed_by_two_genes_joins_nothing_and_is_its_own_symbol() -> None:
    vocab = GeneVocab.from_identities([source("OLD"), source("A B", previous="OLD:0 OLD:1")])
    assert vocab.symbols.tolist() == ["OLD", "A", "B"]
    assert vocab.lookup(["OLD"]).tolist() == [0]
    # Without a source that uses it, it is ambiguous.
    assert GeneVocab.from_identities([source("A B", previous="OLD:0 OLD:1")]).align(["OLD"]).reasons[0] == "ambiguous"


def test_a_source_that_knows_previous_symbols_overrules_the_table_of_renamings() -> None:
    hgnc = source("AARS AARS1 X", previous="Y:2")
    assert symbols_of(hgnc) == ["AARS", "AARS1", "X"]
    assert symbols_of(source("AARS"), hgnc) == ["AARS", "AARS1", "X"]


def test_different_ids_keep_genes_apart_even_against_the_table() -> None:
    assert symbols_of(source("AARS AARS1", ensp="ENSP00000000001:0 ENSP00000000002:1")) == ["AARS", "AARS1"]
    assert symbols_of(source("AARS AARS1", entrez="1:0 1:1")) == ["AARS1"]


def test_a_list_that_mixes_old_and_new_symbols_is_one_gene_each() -> None:
    mixed = source("AARS AARS1 OLD NEW")
    assert symbols_of(mixed) == ["AARS1", "OLD", "NEW"]
    # It is not trusted to keep OLD and NEW apart, for it also has AARS and AARS1.
    assert symbols_of(mixed, source("NEW", previous="OLD:0")) == ["AARS1", "NEW"]


def test_joining_is_not_carried_over_to_genes_that_are_apart() -> None:
    # A -> B by one source, B -> C by another, but a third knows that A and C are two genes.
    apart = source("A C", entrez="1:0 2:1")
    vocab = GeneVocab.from_identities([source("B", previous="A:0"), source("C", previous="B:0"), apart])
    assert len(vocab) == 2
    assert vocab.index("A") != vocab.index("C")


def test_claims_that_contradict_each_other_do_not_go_round_in_a_circle() -> None:
    assert len(GeneVocab.from_identities([source("A", previous="B:0"), source("B", previous="A:0")])) == 1


def test_the_same_gene_id_joins_symbols_of_two_releases() -> None:
    old = source("OLD AARS X", ensp="9606.ENSP00000000001:0 ENSP00000000002:1 ENSP00000000003:2")
    new = source("NEW AARS1", ensp="ENSP00000000001.4:0 ENSP00000000002:1")
    vocab = GeneVocab.from_identities([old, new])
    assert vocab.symbols.tolist() == ["NEW", "AARS1", "X"]  # the source with AARS1 is the newer one
    assert GeneVocab.from_identities([new, old]).symbols.tolist() == ["NEW", "AARS1", "X"]
    assert vocab.lookup(["OLD", "ENSP00000000001"]).tolist() == [0, 0]


def test_an_id_of_two_genes_and_shared_proteins_join_nothing() -> None:
    assert symbols_of(source("A B", entrez="1:0 1:1"), source("C", entrez="1:0")) == ["A", "B", "C"]
    assert symbols_of(source("H4C1", uniprot="P62805:0"), source("H4C2", uniprot="P62805:0")) == ["H4C1", "H4C2"]


def test_an_accession_in_a_symbol_column_finds_its_gene() -> None:
    goa = source("P04637 A0A087WW49 ENSG00000090861")
    known = source("TP53 AARS1", uniprot="P04637:0", ensembl="ENSG00000090861:1")
    vocab = GeneVocab.from_identities([goa, known])
    assert vocab.symbols.tolist() == ["TP53", "A0A087WW49", "AARS1"]
    assert vocab.align(["P04637", "ENSG00000090861"]).reasons.tolist() == ["uniprot", "ensembl"]
    shared = source("H4C1 H4C2", uniprot="P62805:0 P62805:1")
    assert symbols_of(source("P62805"), shared) == ["P62805", "H4C1", "H4C2"]


def test_a_vocabulary_is_a_source_too() -> None:
    first = GeneVocab.from_identities([source("AARS TP53", alias="P53:1")])
    again = GeneVocab.from_identities([first])
    assert again == first
    assert GeneVocab.from_identities([first, source("AARS1 MYC")]).symbols.tolist() == ["AARS1", "TP53", "MYC"]


def test_bad_sources_are_refused() -> None:
    with pytest.raises(GeneError, match="repeat"):
        GeneVocab.from_identities([source("A A")])
    with pytest.raises(GeneError, match="points to row 3"):
        GeneVocab.from_identities([source("A", alias="B:3")])
    assert len(GeneVocab.from_identities([])) == 0


def test_every_name_of_every_source_still_finds_a_gene() -> None:
    rng = np.random.default_rng(0)
    table = {f"S{i}": f"S{i + 100}" for i in range(0, 200, 3)}
    sources = []
    for _ in range(5):
        chosen = rng.choice(300, 120, replace=False)
        sources.append(Identities([f"S{i}" for i in chosen], {"entrez": [(str(i), r) for r, i in enumerate(chosen)]}))
    merged = merge_identities(sources, {}, species=9606)
    assert len(merged.symbols) == len({s for one in sources for s in one.symbols})
    joined = merge_identities([Identities(one.symbols, {}) for one in sources], table, species=9606)
    assert len(joined.symbols) < len(merged.symbols)
    vocab = GeneVocab(joined.symbols, joined.aliases)
    for one in sources:
        rows = vocab.lookup(one.symbols)
        assert (rows >= 0).all()
    used = {s for one in sources for s in one.symbols}
    for old, new in table.items():
        if old in used and new in used:
            assert vocab.index(old) == vocab.index(new)
