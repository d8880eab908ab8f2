import gzip
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from gnnvcell.errors import ConfigError, DataError, FileFormatError, MissingFileError
from gnnvcell.features import FeatureTable, read_features
from gnnvcell.files import sha256_of
from gnnvcell.genes import GeneVocab
from gnnvcell.nn.node_features import NodeFeatures

NAMES = np.array(["TP53", "AARS", "NA"])
VALUES = np.array([[1, 2], [3, 4], [5, 9]], dtype=np.float32)
TENSORS = {name: torch.tensor(row) for name, row in zip(NAMES.tolist(), VALUES, strict=True)}
FRAME = pd.DataFrame(VALUES, index=NAMES.astype(object), columns=pd.Index(["a", "b"]))


def table(names: Any = NAMES, values: Any = VALUES) -> FeatureTable:
    return FeatureTable(np.asarray(names), np.asarray(values), "by hand")


# --- the table


def test_arrays_are_float32_and_read_only() -> None:
    made = table(values=VALUES.astype(np.float64))
    assert (made.values.dtype, made.width, len(made)) == (np.float32, 2, 3)
    with pytest.raises(ValueError, match="read-only"):
        made.values[0, 0] = 7
    assert table().values.base is VALUES  # no copy


def test_other_kinds_of_names() -> None:
    assert table(names=np.array([7157, 16, 1])).names.tolist() == ["7157", "16", "1"]
    assert table(names=np.array(["ä".encode(), b"b", b"c"])).names.tolist() == ["ä", "b", "c"]


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        (["A", "A", "B"], VALUES, r"1 names repeat[\s\S]*found: A"),
        (["A", "", "B"], VALUES, "1 names are empty"),
        (["A", "B"], VALUES, "do not make a feature table"),
        (NAMES, VALUES[:, 0], "do not make a feature table"),
        (NAMES, VALUES[:, :0], "do not make a feature table"),
        (NAMES[:0], VALUES[:0], "do not make a feature table"),
        (NAMES, [[1, 2], [np.nan, 4], [5, np.inf]], r"2 names are NaN[\s\S]*found: AARS, NA"),
        (NAMES, [[1, 2], [3, 4], [5, 1e300]], r"too large[\s\S]*found: NA"),
        (NAMES, [["x", "2"]] * 3, "not real numbers"),
        (NAMES, VALUES * 1j, "not real numbers"),
        (np.array(["A", None, "B"], dtype=object), VALUES, "1 names are not text"),
        (np.array([1.5, 2.5, 3.5]), VALUES, "not text"),
        (np.array([b"\xff", b"b", b"c"]), VALUES, "not UTF-8"),
    ],
)
def test_bad_tables_are_refused(names, values, message) -> None:
    with pytest.raises(DataError, match=message):
        table(names, values)


def test_standardised_by_hand() -> None:
    out = table(values=[[1, 7, 0.1], [2, 7, 0.1], [3, 7, 0.1]]).standardised()
    root = np.sqrt(1.5)
    np.testing.assert_allclose(out.values, [[-root, 0, 0], [0, 0, 0], [root, 0, 0]], rtol=1e-6)
    assert out.source == "by hand, standardised"


def test_standardised_over_many_columns_and_large_means() -> None:
    values = np.random.default_rng(0).integers(0, 9, (50, 600)).astype(np.float32) + 1_000_000
    out = table([f"g{i}" for i in range(50)], values).standardised().values
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-6)


# --- genes and names


def test_genes_are_found_by_any_name_and_what_is_not_is_counted() -> None:
    aliases = {
        "previous": [("AARS", 1), ("BOTH", 0), ("BOTH", 2)],
        "ensembl": [("ENSG00000141510", 0), ("ENSG00000136997", 2)],
    }
    vocab = GeneVocab(["TP53", "AARS1", "MYC", "EGFR"], aliases)
    names = ["ENSG00000141510.19", "AARS", "NOPE", "BOTH", "TP53", "ENSG00000136997", " TP53", "NOPE2"]
    values, present, report = table(names, np.arange(1, 9)[:, None]).for_genes(vocab)
    # TP53 is row 5 by its exact symbol, though an Ensembl id is first; AARS1 comes by its previous symbol.
    assert values.tolist() == [[5], [2], [6], [0]]
    assert (values.dtype, present.dtype) == (np.float32, np.bool_)
    assert present.tolist() == [True, True, True, False]
    assert report.unmatched == {"unknown": ["NOPE", "NOPE2"], "ambiguous": ["BOTH"]}
    assert report.left_over == {"TP53": ["ENSG00000141510.19", " TP53"]}
    assert report.counts == {"unknown": 2, "ambiguous": 1, "same_gene": 2}
    assert (report.missing, report.present, report.coverage) == (["EGFR"], 3, 0.75)
    for part in ("3 of 4 have", "without: EGFR", "unknown: 2: NOPE, NOPE2", "ENSG00000141510.19 and  TP53 (TP53)"):
        assert part in str(report)


def test_the_symbol_wins_over_a_previous_symbol_in_either_order() -> None:
    vocab = GeneVocab.from_symbols(["AARS1"])
    for names, expected in ((["AARS", "AARS1"], 2), (["AARS1", "AARS"], 1)):
        values, _, report = table(names, [[1], [2]]).for_genes(vocab)
        assert values.item() == expected
        assert report.left_over == {"AARS1": ["AARS"]}


def test_no_gene_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="none of the 2 names"):
        table(["Trp53", "Myc", "Egfr"]).for_genes(GeneVocab(["TP53", "MYC"]))


def test_plain_names() -> None:
    values, present, report = table().for_names(["NA", "tp53", "TP53", "NA"])
    assert values.tolist() == [[5, 9], [0, 0], [1, 2], [5, 9]]
    assert present.tolist() == [True, False, True, True]
    assert (report.missing, report.counts, report.present) == (["tp53"], {"not_asked_for": 1}, 3)
    assert table().for_names(NAMES)[2].counts == {}
    with pytest.raises(DataError, match="one name, not a list"):
        table().for_names("TP53")
    with pytest.raises(DataError, match="none of the 1"):
        table().for_names(["x"])


def test_node_features_take_them() -> None:
    values, present, _ = table().for_genes(GeneVocab.from_symbols(["MYC", "AARS1", "TP53"]))
    layer = NodeFeatures(3, 4, features=torch.from_numpy(values), present=torch.from_numpy(present))
    out = layer()
    assert out.shape == (3, 4)
    assert layer.learned.shape == (1, 4)
    assert torch.equal(layer.features, torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 2.0]]))
    out.sum().backward()
    assert layer.learned.grad is not None


# --- round trips


def test_save_and_load(tmp_path) -> None:
    before = FeatureTable(NAMES, VALUES, "a source", "abc")
    after = FeatureTable.load(before.save(tmp_path / "x.npz"))
    assert (after.names.tolist(), after.values.tolist()) == (NAMES.tolist(), VALUES.tolist())
    assert (after.source, after.sha256) == ("a source", "abc")
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
    with pytest.raises(FileFormatError, match=r"does not end in \.npz"):
        before.save(tmp_path / "x.npy")


def write_csv(path, separator=",", **how) -> None:
    FRAME.to_csv(path, sep=separator, **how)


def write_h5_pair(path, names=NAMES, values=VALUES) -> None:
    with h5py.File(path, "w") as file:
        file["names"], file["values"] = np.asarray(names).astype("S"), values


def write_h5_single(path) -> None:
    with h5py.File(path, "w") as file:
        for name, row in zip(NAMES.tolist(), VALUES, strict=True):
            file[name] = row.astype(np.float64)


WRITERS = {
    "x.pt": lambda path: torch.save(TENSORS, path),
    "half.pt": lambda path: torch.save({name: row.bfloat16() for name, row in TENSORS.items()}, path),
    "old.pt": lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False),
    "x.npz": lambda path: table().save(path),
    "compressed.npz": lambda path: np.savez_compressed(path, names=NAMES, values=VALUES.astype(np.float16)),
    "x.parquet": lambda path: FRAME.reset_index(names="gene").to_parquet(path),
    "index.parquet": lambda path: FRAME.to_parquet(path),
    "named.index.parquet": lambda path: FRAME.rename_axis("b2").to_parquet(path),
    "x.csv": write_csv,
    "x.csv.gz": write_csv,
    "x.TSV": lambda path: write_csv(path, "\t"),
    "x.tsv.gz": lambda path: write_csv(path, "\t"),
    "bom.csv": lambda path: write_csv(path, encoding="utf-8-sig", index_label="gene"),
    "numbered.csv": lambda path: FRAME.set_axis([0, 1], axis=1).to_csv(path),
    "x.h5": write_h5_pair,
    "x.hdf5": write_h5_single,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_reads_back(tmp_path, name) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    read = read_features(path)
    order = [read.names.tolist().index(n) for n in NAMES.tolist()]  # HDF5 sorts its datasets
    np.testing.assert_array_equal(read.values[order], VALUES)
    assert (len(read), read.source, read.sha256) == (3, str(path), sha256_of(path))


@pytest.mark.parametrize("name", ["x.parquet", "x.tsv.gz"])
def test_a_key_column(tmp_path, name) -> None:
    frame = FRAME.assign(gene=NAMES)
    path = tmp_path / name
    frame.to_parquet(path, index=False) if name == "x.parquet" else frame.to_csv(path, sep="\t", index=False)
    read = read_features(path, key_column="gene")
    assert (read.names.tolist(), read.values.tolist()) == (NAMES.tolist(), VALUES.tolist())
    with pytest.raises(ConfigError, match=r"no columns 'gnee'[\s\S]*'gene'"):
        read_features(path, key_column="gnee")


INDICES = {
    "i.json": json.dumps({"B": 2, "A": 0}),
    "i.tsv": "name\trow\nB\t2\nA\t0\n",
    "i.csv": "B,2\nA,0\n",
}


@pytest.mark.parametrize("name", INDICES)
def test_a_tensor_with_an_index(tmp_path, name) -> None:
    torch.save(torch.from_numpy(VALUES), tmp_path / "x.pt")
    (tmp_path / name).write_text(INDICES[name])
    read = read_features(tmp_path / "x.pt", index=tmp_path / name)
    assert (read.names.tolist(), read.values.tolist()) == (["B", "A"], [[5, 9], [1, 2]])
    assert read.source.endswith(f"{name} (1 rows without a name left out)")
    whole = read_features(tmp_path / "x.pt", index={"A": 0, "B": 1, "C": 2})
    assert whole.values.tolist() == VALUES.tolist()


@pytest.mark.parametrize("name", ["wide.npz", "wide.h5", "wide.pt"])
def test_wide_tables_are_not_copied_often(tmp_path, name) -> None:
    values = np.ones((400, 5120), dtype=np.float32)
    names = np.array([f"G{i}" for i in range(400)])
    path = tmp_path / name
    if name == "wide.npz":
        np.savez(path, names=names, values=values)
    elif name == "wide.h5":
        write_h5_pair(path, names, values)
    else:
        torch.save(dict(zip(names.tolist(), torch.from_numpy(values), strict=True)), path)
    tracemalloc.start()
    try:
        assert read_features(path).values.shape == (400, 5120)
        # Arrays of numpy alone; torch's own copy of the file is not seen here.
        assert tracemalloc.get_traced_memory()[1] < 2 * values.nbytes
    finally:
        tracemalloc.stop()


# --- files that are wrong


class Trap:
    """An object that does something when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("sprung-trap"),)


def write_npy(path) -> None:
    with open(path, "wb") as handle:
        np.save(handle, VALUES)


def write(content):
    """A writer of bytes or text."""
    data = content if isinstance(content, bytes) else content.encode()
    return lambda path: path.write_bytes(data)


def saved(value):
    return lambda path: torch.save(value, path)


def columns(**arrays):
    return lambda path: pd.DataFrame(arrays).to_parquet(path)


def arrays(**content):
    return lambda path: np.savez(path, **content)


def datasets(**content):
    def write_them(path) -> None:
        with h5py.File(path, "w") as file:
            for name, value in content.items():
                file[name] = value

    return write_them


def cut(name):
    """A file of a format that ends half-way."""

    def write_half(path) -> None:
        WRITERS[name](path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])

    return write_half


NAN = torch.tensor([1.0, float("nan")])
BAD = {
    "unknown extension": ("x.csvv", write("a"), r"unknown extension '\.csvv'[\s\S]*'\.csv'"),
    "no extension": ("x", write("a"), "unknown extension ''"),
    "gzipped pt": ("x.pt.gz", write("a"), "unknown extension"),
    **{f"empty {e}": (f"x{e}", write(""), "is empty") for e in (".pt", ".npz", ".parquet", ".csv", ".h5")},
    **{
        f"cut {name}": (name, cut(name), "cut off|damaged|not an npz")
        for name in ("x.pt", "old.pt", "x.npz", "x.parquet", "x.csv", "x.tsv.gz", "x.h5")
    },
    **{
        f"nonsense {e}": (f"x{e}", write(b"\x00nonsense" * 99), "damaged|npz")
        for e in (".pt", ".npz", ".parquet", ".h5")
    },
    "pt with an object": ("x.pt", saved({"A": Trap()}), "never unpickled"),
    "pt that is a pickle": ("x.pt", write(pickle.dumps({"A": Trap()})), "never unpickled"),
    "pt with a list": ("x.pt", saved([torch.ones(2)]), "holds a list"),
    "pt with other keys": ("x.pt", saved({1: torch.ones(2)}), "holds a dict"),
    "pt with numbers": ("x.pt", saved({"A": 1.0, "B": torch.ones(2)}), r"no tensors[\s\S]*A: float"),
    "pt with matrices": ("x.pt", saved({"A": torch.ones(2, 2)}), r"not rows[\s\S]*A of shape \(2, 2\)"),
    "pt with complex": ("x.pt", saved({"A": torch.ones(2) * 1j}), "no tensors of real"),
    "pt of no names": ("x.pt", saved({}), "has no features"),
    "pt of two widths": (
        "x.pt",
        saved({"A": torch.ones(2), "B": torch.ones(3), "C": torch.ones(2)}),
        r"different widths[\s\S]*expected: 2[\s\S]*found: B has 3",
    ),
    "pt with NaN": ("x.pt", saved({"A": torch.ones(2), "B": NAN}), r"x\.pt: features of 1 names[\s\S]*found: B"),
    "pt without names": ("x.pt", saved(torch.ones(2, 2)), r"without names[\s\S]*index="),
    "npz of objects": ("x.npz", arrays(names=NAMES.astype(object), values=VALUES), r"never unpickled[\s\S]*dtype=str"),
    "npz without names": ("x.npz", arrays(values=VALUES), "no array names"),
    "npz of other lengths": ("x.npz", arrays(names=NAMES[:2], values=VALUES), r"x\.npz: names and values do not"),
    "npz that is npy": ("x.npz", write_npy, "not an npz"),
    "npz with inf": (
        "x.npz",
        arrays(names=NAMES, values=np.add(VALUES, [[0], [0], [np.inf]])),
        r"1 names[\s\S]*found: NA",
    ),
    "npz with a name twice": ("x.npz", arrays(names=["A", "A", "B"], values=VALUES), r"1 names repeat[\s\S]*found: A"),
    "parquet with text": ("x.parquet", columns(g=NAMES, a=[1, 2, 3], b=NAMES), r"1 columns are not numbers[\s\S]*: b"),
    "parquet of names": ("x.parquet", columns(g=NAMES), "no other column"),
    "parquet with nulls": ("x.parquet", columns(g=NAMES, a=[1, None, 3]), r"1 names[\s\S]*found: AARS"),
    "parquet, name missing": ("x.parquet", columns(g=["A", None, "B"], a=[1, 2, 3]), "1 names are empty"),
    "parquet, name twice": ("x.parquet", columns(g=["A", "A", "B"], a=[1, 2, 3]), "1 names repeat"),
    "csv with text": ("x.csv", write("g,a,b\nA,1,2\nB,1,x\n"), "column 'b' is not numbers"),
    "csv, column twice": ("x.csv", write("g,a,a\nA,1,2\n"), r"1 columns have the same name[\s\S]*found: a"),
    "csv of names": ("x.csv", write("g\nA\nB\n"), "no other column"),
    "csv, short line": ("x.csv", write("g,a,b\nA,1,2\nB,1\n"), "Expected 3 columns, got 2"),
    "csv, missing value": ("x.csv", write("g,a,b\nA,1,2\nB,,2\n"), r"1 names[\s\S]*found: B"),
    "csv, infinite": ("x.csv", write("g,a,b\nA,1,2\nB,inf,2\n"), r"1 names[\s\S]*found: B"),
    "csv, name twice": ("x.csv", write("g,a\nA,1\nA ,2\n"), r"1 names repeat[\s\S]*found: A"),
    "csv, no header": ("x.csv", write("A,1.5,2\nB,1,2\n"), "no header line"),
    "csv, blank header": ("x.csv", write("\nB,1,2\n"), "no header line"),
    "csv, header alone": ("x.csv", write("g,a,b\n"), "do not make a feature table|cut off"),
    "csv, not text": ("x.csv", write(b"\xff\xfe\x00g"), "not UTF-8"),
    "h5 without values": ("x.h5", datasets(names=NAMES.astype("S")), "lacks the dataset"),
    "h5 of numbers as text": ("x.h5", datasets(names=[1.5], values=VALUES), "lacks the dataset"),
    "h5 of other lengths": ("x.h5", datasets(names=[b"A"], values=VALUES), "do not make a feature table"),
    "h5 of two widths": ("x.h5", datasets(A=[1.0, 2], B=[1.0, 2], C=[1.0]), r"different widths[\s\S]*found: C has 1"),
    "h5 with text": ("x.h5", datasets(A=[1.0, 2], B=[b"x"]), r"no datasets of numbers[\s\S]*found: B"),
    "h5 with scalars": ("x.h5", datasets(A=1.0), "not rows of numbers"),
    "h5 with nothing": ("x.h5", datasets(), "no features"),
    "h5 with NaN": ("x.h5", datasets(names=[b"A"], values=[[np.nan]]), r"1 names[\s\S]*found: A"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(tmp_path, monkeypatch, case) -> None:
    monkeypatch.chdir(tmp_path)
    name, writer, message = BAD[case]
    writer(tmp_path / name)
    with pytest.raises(FileFormatError, match=message):
        read_features(tmp_path / name)
    assert not Path("sprung-trap").exists()


def test_a_missing_file_and_a_gzip_cut_off(tmp_path) -> None:
    (tmp_path / "esm.csv").write_text("a")
    with pytest.raises(MissingFileError, match=r"did you mean 'esm\.csv'"):
        read_features(tmp_path / "esn.csv")
    text = "g,a\n" + "".join(f"G{i},{i * 7919 % 1000}\n" for i in range(200_000))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text.encode())[:-5000])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read_features(tmp_path / "x.csv.gz")


BAD_INDICES = {
    "a row too far": ("i.json", '{"A": 3}', r"1 of 1 names have no row[\s\S]*0 to 2[\s\S]*A: 3"),
    "below zero": ("i.csv", "name,row\nA,-1\n", "1 of 1 names have no row"),
    "no number": ("i.tsv", "A\t0\nB\tx\n", "1 of 2 names have no row"),
    "true": ("i.json", '{"A": true}', "1 of 1 names have no row"),
    "no names": ("i.json", "{}", "0 of 0 names"),
    "header alone": ("i.csv", "name,row\n", "0 of 0 names"),
    "cut off": ("i.json", '{"A": 0,', "not JSON"),
    "a list": ("i.json", "[1, 2]", "not a map"),
    "a number": ("i.json", "1", "not a map"),
    "name twice": ("i.json", '{"A": 0, "A": 1}', r"1 names repeat[\s\S]*found: A"),
    "three columns": ("i.csv", "A,0,1\n", "two columns"),
    "another format": ("i.parquet", "A", "cannot be an index"),
}


@pytest.mark.parametrize("case", BAD_INDICES)
def test_bad_indices_are_refused(tmp_path, case) -> None:
    name, text, message = BAD_INDICES[case]
    (tmp_path / name).write_text(text)
    torch.save(torch.from_numpy(VALUES), tmp_path / "x.pt")
    with pytest.raises(FileFormatError, match=message):
        read_features(tmp_path / "x.pt", index=tmp_path / name)


def test_options_of_other_formats_are_refused(tmp_path) -> None:
    torch.save(TENSORS, tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="holds a dict with names"):
        read_features(tmp_path / "x.pt", index={"A": 0})
    with pytest.raises(ConfigError, match="key_column= is for"):
        read_features(tmp_path / "x.pt", key_column="g")
    with pytest.raises(ConfigError, match="index= is for"):
        read_features(tmp_path / "x.csv", index={"A": 0})
    torch.save(torch.ones(3), tmp_path / "flat.pt")
    with pytest.raises(FileFormatError, match="no table of features"):
        read_features(tmp_path / "flat.pt", index={"A": 0})
