import builtins
import gzip
import json

import numpy as np
import pytest

from gnnvcell.cli.main import main
from gnnvcell.errors import ConfigError, DataError, DependencyError, FileFormatError
from gnnvcell.features import read_features
from gnnvcell.features.chem import FingerprintConfig, Invalid, Salts, embed_compounds, fingerprints, read_smiles

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
COMPOUNDS = {"aspirin": ASPIRIN, "the same": "O=C(C)Oc1ccccc1C(O)=O", "salt": "CC(=O)O.[Na]", "bad": "C1CC", "none": ""}


def test_without_rdkit(monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *given, **named):
        if name.startswith("rdkit"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"need rdkit[\s\S]*pip install 'gnnvcell\[chem\]'"):
        fingerprints(COMPOUNDS)


def test_equals_rdkit() -> None:
    chem = pytest.importorskip("rdkit.Chem")
    from rdkit.Chem import AllChem  # type: ignore[import-not-found]

    report = fingerprints({"aspirin": ASPIRIN}, FingerprintConfig(radius=2, size=1024))
    expected = np.array(AllChem.GetMorganFingerprintAsBitVect(chem.MolFromSmiles(ASPIRIN), 2, nBits=1024))
    np.testing.assert_array_equal(report.table.values[0], expected)
    counted = fingerprints({"aspirin": ASPIRIN}, FingerprintConfig(size=1024, counts=True)).table
    np.testing.assert_array_equal(counted.values[0] > 0, expected > 0)
    # Every heavy atom once, and the environments of radius 1 and 2 that are not the same.
    assert counted.values.max() > 1
    assert fingerprints({"methane": "C"}, FingerprintConfig(size=64)).table.values.sum() == 1  # one atom, one bit
    assert "Morgan counts, radius 2, 1024 features" in counted.source


def test_what_is_counted_and_masked() -> None:
    pytest.importorskip("rdkit")
    report = fingerprints(COMPOUNDS)
    assert report.table.names.tolist() == ["aspirin", "the same", "salt"]
    assert report.invalid == {"bad": "C1CC", "none": ""}
    assert (list(report.salts), report.same, report.collisions) == (["salt"], [["aspirin", "the same"]], [])
    text = str(report)
    assert "2 could not be read, and have no row: bad: C1CC, none: (empty)" in text
    assert "1 groups are the same molecule under several names: aspirin = the same" in text
    _, present, _ = report.table.for_names(["bad", "salt"])
    assert present.tolist() == [False, True]


def test_salts_and_stereo() -> None:
    pytest.importorskip("rdkit")
    given = {"salt": "[Na+].CC(=O)[O-]", "acid": "CC(=O)[O-]"}
    kept, stripped = (fingerprints(given, FingerprintConfig(salts=kind)) for kind in (Salts.KEEP, Salts.STRIP))
    assert not np.array_equal(kept.table.values[0], kept.table.values[1])
    np.testing.assert_array_equal(stripped.table.values[0], stripped.table.values[1])
    assert stripped.same == [["salt", "acid"]]
    mirror = {"L": "C[C@H](N)C(=O)O", "D": "C[C@@H](N)C(=O)O"}
    assert fingerprints(mirror).collisions == [["L", "D"]]
    assert fingerprints(mirror, FingerprintConfig(chirality=True)).collisions == []


def test_invalid_smiles_are_an_error_on_request() -> None:
    pytest.importorskip("rdkit")
    with pytest.raises(DataError, match=r"2 of 5 SMILES cannot be read[\s\S]*bad: C1CC, none: \(empty\)"):
        fingerprints(COMPOUNDS, FingerprintConfig(invalid=Invalid.ERROR))
    with pytest.raises(DataError, match=r"1 of 1 SMILES cannot be read[\s\S]*the right column"):
        fingerprints({"x": "hello"})
    with pytest.raises(DataError, match="there are no compounds"):
        fingerprints({})


def test_command(tmp_path, capsys) -> None:
    pytest.importorskip("rdkit")
    path, out = tmp_path / "c.csv", tmp_path / "c.npz"
    path.write_text("id,drug,SMILES\n1,aspirin," + ASPIRIN + "\n2,bad,C1CC\n")
    command = ["embed", "compounds", "--smiles", str(path), "--out", str(out), "--name-column", "drug"]
    assert main([*command, "--size", "512", "--radius", "3", "--counts"]) == 0
    assert "1 could not be read, and have no row: bad: C1CC" in capsys.readouterr().out
    table = read_features(out)
    assert (table.names.tolist(), table.width) == (["aspirin"], 512)
    note = json.loads((tmp_path / "c.npz.json").read_text())
    assert (note["radius"], note["counts"], note["invalid_smiles"]) == (3, True, {"bad": "C1CC"})
    assert main([*command, "--invalid", "error"]) == 2
    assert "c.csv: 1 of 2 SMILES cannot be read" in capsys.readouterr().err
    with pytest.raises(FileFormatError, match="unknown extension"):
        embed_compounds(path, tmp_path / "c.csv2")


def test_reading_smiles(tmp_path) -> None:
    path = tmp_path / "c.tsv.gz"
    path.write_bytes(gzip.compress(b"smiles\tname\nCC\tethane\nCC\tethane\n\tlost\n"))
    assert read_smiles(path) == {"ethane": "CC", "lost": ""}
    with pytest.raises(ConfigError, match=r"no column 'nam'[\s\S]*did you mean 'name'"):
        read_smiles(path, name_column="nam")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "name,smiles\n", "has no compounds"),
        ("c.csv", "name,smiles\na,C,C\n", "line 2 has another number of columns"),
        ("c.csv", "name,smiles\na,C\na,CC\n", "'a' has two different SMILES"),
        ("c.csv", "name,smiles\n,C\n", "a compound has no name"),
        ("c.csv", "", "is empty"),
        ("c.smi", "CC\n", "is not known as a table"),
    ],
)
def test_bad_files(tmp_path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_smiles(tmp_path / name)
    with pytest.raises((ConfigError, FileFormatError)):
        read_smiles(tmp_path / name, smiles_column="absent")
