import gzip

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DataError, FileFormatError
from gnnvcell.features import FeatureTable
from gnnvcell.features.species import by_orthologues, read_orthologues, species_features
from gnnvcell.genes import GeneVocab

HUMAN, MOUSE = 9606, 10090
HUMAN_GENES = GeneVocab.from_symbols(["TP53", "MYC", "AARS1"])
MOUSE_GENES = GeneVocab.from_symbols(["Myc", "Trp53", "TP53"], species=MOUSE)


def table(rows: dict[str, float], width: int = 2, source: str = "") -> FeatureTable:
    values = np.repeat(np.array(list(rows.values()), dtype=np.float32)[:, None], width, axis=1)
    return FeatureTable(np.array(list(rows)), values, source)


HUMAN_TABLE, MOUSE_TABLE = table({"AARS": 1, "TP53": 2, "Myc": 3}), table({"Myc": 10, "TP53": 20})


def test_species_are_not_mixed_up() -> None:
    both = species_features({MOUSE: MOUSE_TABLE, HUMAN: HUMAN_TABLE}, [HUMAN_GENES, MOUSE_GENES])
    assert both.symbols.tolist() == ["TP53", "MYC", "AARS1", "Myc", "Trp53", "TP53"]
    assert both.taxon.tolist() == [HUMAN] * 3 + [MOUSE] * 3
    assert both.present.tolist() == [True, False, True, True, False, True]
    assert both.values[:, 0].tolist() == [2, 0, 1, 10, 0, 20]
    # The same name in two species is two genes; a name of the other species is none.
    rows = both.rows([HUMAN, MOUSE, HUMAN, MOUSE, HUMAN], ["TP53", "TP53", "Myc", "AARS1", "AARS"])
    assert rows.tolist() == [0, 5, -1, -1, 2]
    assert both.reports[HUMAN].coverage == pytest.approx(2 / 3)
    assert "mouse: features: 2 of 3 have features" in str(both)


def test_bad_species() -> None:
    both = species_features({HUMAN: HUMAN_TABLE, MOUSE: MOUSE_TABLE}, [HUMAN_GENES, MOUSE_GENES])
    with pytest.raises(ConfigError, match=r"no features of rat[\s\S]*9606 \(human\), 10090 \(mouse\)"):
        both.rows([10116], ["Myc"])
    with pytest.raises(DataError, match="1 species, 2 names"):
        both.rows([HUMAN], ["MYC", "TP53"])
    with pytest.raises(ConfigError, match=r"not of the same species[\s\S]*species=10090"):
        species_features({HUMAN: HUMAN_TABLE, MOUSE: MOUSE_TABLE}, [HUMAN_GENES])
    with pytest.raises(ConfigError, match="not of the same species"):
        species_features({HUMAN: HUMAN_TABLE}, [HUMAN_GENES, HUMAN_GENES])
    with pytest.raises(DataError, match=r"different widths[\s\S]*human: 2, mouse: 3"):
        species_features({HUMAN: HUMAN_TABLE, MOUSE: table({"Myc": 1}, 3)}, [HUMAN_GENES, MOUSE_GENES])
    with pytest.raises(DataError, match="mouse: none of the 3 names asked for"):
        species_features({HUMAN: HUMAN_TABLE, MOUSE: table({"MYC": 1})}, [HUMAN_GENES, MOUSE_GENES])


def test_orthologues() -> None:
    mouse = table({"Myc": 1, "Trp53": 2, "Aars": 3, "Aars2": 4, "H2-K1": 5, "Twin": 6}, source="mouse")
    pairs = [("Myc", "MYC"), ("Trp53", "TP53"), ("Trp53", "TP53"), ("Aars", "AARS1"), ("Aars2", "AARS1")]
    pairs += [("Twin", "A"), ("Twin", "B"), ("Absent", "C")]
    renamed, report = by_orthologues(mouse, pairs)
    assert renamed.names.tolist() == ["MYC", "TP53"]
    assert renamed.values[:, 0].tolist() == [1, 2]
    assert renamed.source == "mouse, by orthologues"
    assert (report.rows, report.without, report.several) == (2, ["H2-K1"], ["Aars", "Aars2", "Twin"])
    assert "3 have several, or share one: Aars, Aars2, Twin" in str(report)
    with pytest.raises(DataError, match=r"no row of mouse has a one-to-one[\s\S]*other way round"):
        by_orthologues(mouse, [("MYC", "Myc")])


def test_orthologues_in_a_file(tmp_path) -> None:
    path = tmp_path / "o.tsv.gz"
    path.write_bytes(gzip.compress(b"mouse\thuman\r\nMyc\tMYC\r\n"))
    assert read_orthologues(path) == [("Myc", "MYC")]
    for text, message in (
        ("mouse\thuman\n", "has no pairs"),
        ("m\th\nMyc\t\n", "line 2 is no pair"),
        ("m\n", "line 1"),
    ):
        (tmp_path / "bad.tsv").write_text(text)
        with pytest.raises(FileFormatError, match=message):
            read_orthologues(tmp_path / "bad.tsv")
