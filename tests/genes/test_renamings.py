import pytest

from gnnvcell.errors import FileFormatError
from gnnvcell.genes import load_renamings
from gnnvcell.genes.renamings import chain, families, linked_names, parse_renamings

CYTOSOLIC_SYNTHETASES = "AARS CARS DARS EPRS GARS HARS IARS KARS LARS MARS NARS QARS RARS SARS TARS VARS WARS YARS"


@pytest.mark.parametrize(
    ("old", "newest"),
    [
        ("MARCH8", "MARCHF8"),
        ("SEPT9", "SEPTIN9"),
        ("DEC1", "DELEC1"),
        ("MARC1", "MTARC1"),
        ("TARSL2", "TARS3"),
        ("ATP5A1", "ATP5F1A"),
        ("USMG5", "ATP5MK"),
        ("C14orf2", "ATP5MJ"),
        ("SKIV2L2", "MTREX"),
        ("DIEXF", "UTP25"),
        ("H2AFZ", "H2AZ1"),
        ("HIST3H2A", "H2AC25"),
        ("HIST1H2BK", "H2BC12"),
        ("HIST4H4", "H4C16"),
        ("KIAA1522", "NHSL3"),
        ("WDR61", "SKIC8"),
        ("TMEM173", "STING1"),
        ("FAM129B", "NIBAN2"),
        ("C1orf109", "AIRIM"),
        ("DDX58", "RIGI"),
    ],
)
def test_well_known_renamings(old, newest) -> None:
    assert chain(old, load_renamings())[-1] == newest


def test_families_are_complete() -> None:
    table = load_renamings()
    assert all(table[name] == f"{name}1" for name in CYTOSOLIC_SYNTHETASES.split())
    assert all(table[f"MARCH{i}"] == f"MARCHF{i}" for i in range(1, 12))
    assert all(table[f"SEPT{i}"] == f"SEPTIN{i}" for i in [*range(1, 13), 14])
    assert all(f"{name}2" not in table for name in CYTOSOLIC_SYNTHETASES.split())  # mitochondrial: never renamed
    assert len(table) > 1600


def test_no_symbol_is_its_own_ancestor_and_names_are_clean() -> None:
    table = load_renamings()
    for old in table:
        path = chain(old, table)
        assert len(set(path)) == len(path)
        assert all(name == name.strip() and " " not in name for name in path)


@pytest.mark.shared
def test_no_old_symbol_is_approved_for_another_gene_in_the_newer_files(shared_data, newer_symbols) -> None:
    # Both names in one file would make them two genes there. CYHR1 is a second, unreviewed UniProt entry of ZFTRAF1.
    table = load_renamings()
    assert {old for old, new in table.items() if {old, new} <= newer_symbols["goa"]} == {"CYHR1"}
    assert not {old for old, new in table.items() if {old, new} <= newer_symbols["string"]}


@pytest.mark.shared
def test_new_symbols_exist_in_the_newer_files(shared_data, newer_symbols) -> None:
    table = load_renamings()
    newest = {chain(old, table)[-1] for old in table}
    found = newest & set().union(*newer_symbols.values())
    assert len(found) > 0.9 * len(newest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\tb\nA\tB",
        "old\tnew\nA",
        "old\tnew\nA\t",
        "old\tnew\nA\tA",
        "old\tnew\nA\tB\nA\tC",
        "old\tnew\nA\tB\tC",
        "old\tnew\nA\tB\nB\tC\nC\tA",
    ],
)
def test_damaged_tables_are_refused(text) -> None:
    with pytest.raises(FileFormatError):
        parse_renamings(text)


def test_families_and_linked_names() -> None:
    table = parse_renamings("# comment\nold\tnew\nA\tB\nB\tC\nX\tC\nP\tQ\n")
    assert families(table)["A"] == families(table)["C"] == ["A", "B", "X", "C"]
    assert linked_names(["B", "Z"], table) == [("A", 0), ("X", 0), ("C", 0)]
    # B and C are both there: A is tied to both, and so means neither.
    assert linked_names(["B", "C"], table) == [("A", 0), ("X", 0), ("A", 1), ("X", 1)]
