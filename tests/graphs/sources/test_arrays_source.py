from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.sources import _edge_arrays
from gnnvcell.graphs.sources.arrays import Arrays
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext

NAMES = ["AAA", "BBB", "CCC", "DDD"]
EDGES = {("AAA", "BBB"): 0.5, ("AAA", "CCC"): 0.9, ("CCC", "DDD"): 0.25}


def dense(edges: dict[tuple[str, str], float] = EDGES, dtype: Any = np.float64) -> np.ndarray:
    matrix = np.zeros((len(NAMES), len(NAMES)), dtype)
    for (a, b), weight in edges.items():
        matrix[NAMES.index(a), NAMES.index(b)] = matrix[NAMES.index(b), NAMES.index(a)] = weight
    return matrix


def layout(root: Path, matrix: np.ndarray, *, name: str = "go", names: Any = None) -> Path:
    folder = root / name
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}_gene_names.npy", np.array(NAMES if names is None else names))
    np.save(folder / f"{name}_graph_adjacency_matrix.npy", matrix)
    return folder


def string_layout(root: Path, frame: pd.DataFrame, names: Any = None) -> Path:
    folder = root / "string"
    folder.mkdir(exist_ok=True)
    np.save(folder / "string_gene_names.npy", np.array(NAMES if names is None else names))
    frame.to_parquet(folder / "v11.5.parquet")
    return folder


def read(root: Path, **settings: Any) -> Reading:
    return Arrays.parse({"layout": "go", **settings}).read(SourceContext(root))


def edges(reading: Reading) -> dict[tuple[str, str], float]:
    (table,) = reading.tables
    ends = zip(table.src_names[table.src], table.dst_names[table.dst], table.weight, strict=True)
    found = {
        (str(a), str(b)) if table.directed else (min(str(a), str(b)), max(str(a), str(b))): float(w) for a, b, w in ends
    }
    assert len(found) == len(table)
    return {pair: round(weight, 6) for pair, weight in found.items()}


def test_registered_under_its_own_name_only():
    assert SOURCES.get("arrays") is Arrays
    assert SOURCES.get("go") is not Arrays


@pytest.mark.parametrize("name", ["go", "reactome", "string"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_dense_matrix(tmp_path, name, dtype):
    folder = layout(tmp_path, dense(dtype=dtype), name=name)
    reading = read(tmp_path, layout=name)
    assert edges(reading) == pytest.approx(EDGES, abs=1e-3)
    assert reading.tables[0].etype == ("gene", name, "gene")
    assert not reading.tables[0].directed
    assert reading.lines_read == 6
    assert reading.files == [folder / f"{name}_gene_names.npy", folder / f"{name}_graph_adjacency_matrix.npy"]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16])
def test_matrix_of_ones(tmp_path, dtype):
    layout(tmp_path, dense(dict.fromkeys(EDGES, 1), dtype))
    assert edges(read(tmp_path)) == dict.fromkeys(EDGES, 1.0)


def test_fortran_order_and_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(_edge_arrays, "_BLOCK_CELLS", 5)
    layout(tmp_path, np.asfortranarray(dense()))
    assert edges(read(tmp_path)) == EDGES


def test_matrix_is_memory_mapped(tmp_path):
    layout(tmp_path, dense())
    assert isinstance(_edge_arrays.open_array(tmp_path / "go" / "go_graph_adjacency_matrix.npy", "matrix"), np.memmap)


def test_sparse_npz_goes_before_npy(tmp_path):
    folder = layout(tmp_path, dense())
    sp.save_npz(folder / "go_graph_adjacency_matrix.npz", sp.csr_array(dense({("BBB", "DDD"): 1.0})))
    assert edges(read(tmp_path)) == {("BBB", "DDD"): 1.0}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"regulator": ["AAA", "AAA", "DDD"], "target": ["BBB", "CCC", "CCC"], "weight": [0.5, 0.9, 0.25]}),
        pd.DataFrame(
            {"source": ["AAA", "CCC", "DDD"], "target": ["BBB", "AAA", "CCC"], "importance": [0.5, 0.9, 0.25]}
        ),
        pd.DataFrame({"src": [0, 0, 3], "dst": [1, 2, 2], "weight": [0.5, 0.9, 0.25]}),
        pd.DataFrame({"src": [0.0, 0.0, 3.0], "dst": [1.0, 2.0, 2.0], "score": np.array([0.5, 0.9, 0.25], np.float32)}),
    ],
)
def test_parquet_of_names_or_indices(tmp_path, frame):
    folder = string_layout(tmp_path, frame)
    reading = read(tmp_path, layout="string")
    assert edges(reading) == EDGES
    assert reading.lines_read == 3
    assert [file.name for file in reading.files] == ["string_gene_names.npy", "v11.5.parquet"]
    assert reading.files[0].parent == folder


def test_parquet_columns_can_be_named(tmp_path):
    string_layout(tmp_path, pd.DataFrame({"a": [0], "b": [1], "c": [2], "w": [0.3], "weight": [9.0]}))
    with pytest.raises(FileFormatError, match="'a', 'b', 'c', 'w'"):
        read(tmp_path, layout="string")
    assert edges(read(tmp_path, layout="string", src="a", dst="c", weight="w")) == {("AAA", "CCC"): 0.3}
    assert edges(read(tmp_path, layout="string", src="a", dst="c", weight="none")) == {("AAA", "CCC"): 1.0}


def test_threshold(tmp_path):
    layout(tmp_path, dense())
    string_layout(tmp_path, pd.DataFrame({"src": [0, 0, 3], "dst": [1, 2, 2], "weight": [0.5, 0.9, 0.25]}))
    for name in ("go", "string"):
        assert len(read(tmp_path, layout=name, threshold=0.5).tables[0]) == 2
        assert len(read(tmp_path, layout=name, threshold=0.51).tables[0]) == 1
        with pytest.raises(EmptyGraphError, match="no edge >= 1"):
            read(tmp_path, layout=name, threshold=1)
    with pytest.raises(ConfigError, match="threshold"):
        read(tmp_path, threshold=-1)


def test_relation_and_folder(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    layout(tmp_path / "deep" / "er", dense())
    with pytest.raises(FileFormatError, match="gene names of go"):
        read(tmp_path)
    reading = read(tmp_path, folder="deep/er/go", relation="old_go")
    assert edges(reading) == EDGES
    assert reading.tables[0].relation == "old_go"
    assert edges(read(tmp_path, folder=str(tmp_path / "deep" / "er"))) == EDGES


def test_explicit_files(tmp_path):
    np.save(tmp_path / "n.npy", np.array(NAMES))
    np.save(tmp_path / "m.npy", dense())
    assert edges(read(tmp_path, names_file="n.npy", edges_file="m.npy")) == EDGES


def test_directed(tmp_path):
    matrix = np.zeros((4, 4))
    matrix[0, 1], matrix[1, 0], matrix[2, 3] = 1, 2, 3
    layout(tmp_path, matrix)
    assert edges(read(tmp_path, directed=True)) == {("AAA", "BBB"): 1, ("BBB", "AAA"): 2, ("CCC", "DDD"): 3}
    undirected = read(tmp_path)
    assert edges(undirected) == {("AAA", "BBB"): 2, ("CCC", "DDD"): 3}
    assert "3 entries without an equal one across the diagonal; the larger weight kept" in undirected.notes


def test_diagonal_is_dropped_and_counted(tmp_path):
    layout(tmp_path, dense() + np.eye(4))
    reading = read(tmp_path)
    assert edges(reading) == EDGES
    assert "4 edges join a node with itself; dropped" in reading.notes


def test_genes_without_name_are_dropped_and_counted(tmp_path):
    names = ["AAA", "BBB", "CCC", ""]
    layout(tmp_path, dense(), names=names)
    string_layout(tmp_path, pd.DataFrame({"src": [0, 0, 3], "dst": [1, 2, 2], "weight": [0.5, 0.9, 0.25]}), names)
    wanted = {pair: weight for pair, weight in EDGES.items() if "DDD" not in pair}
    for name, dropped in (("go", 2), ("string", 1)):
        reading = read(tmp_path, layout=name)
        assert edges(reading) == wanted
        assert f"{dropped} edges of genes with an empty name; dropped" in reading.notes


def test_repeated_names_are_one_gene(tmp_path):
    layout(tmp_path, dense(), names=["AAA", "BBB", "BBB", "DDD"])
    reading = read(tmp_path)
    assert edges(reading) == {("AAA", "BBB"): 0.9, ("BBB", "DDD"): 0.25}
    assert "1 gene names stand there more than once" in reading.notes


def test_bytes_names(tmp_path):
    layout(tmp_path, dense(), names=np.array([name.encode() for name in NAMES]))
    assert edges(read(tmp_path)) == EDGES


def test_parquet_names_unknown_to_the_name_file_are_counted(tmp_path):
    string_layout(tmp_path, pd.DataFrame({"source": ["AAA", "XXX"], "target": ["BBB", "AAA"]}))
    assert "1 genes of the edges are not among the gene names; kept" in read(tmp_path, layout="string").notes


# ---------------------------------------------------------------------------------------------------------- bad input


def test_names_as_objects_are_refused_with_the_conversion(tmp_path):
    layout(tmp_path, dense(), names=np.array(NAMES, dtype=object))
    with pytest.raises(FileFormatError, match="Python objects") as caught:
        read(tmp_path)
    assert "numpy.load('go_gene_names.npy', allow_pickle=True).astype(str)" in str(caught.value)


def test_sparse_matrix_as_object_is_refused_and_the_conversion_works(tmp_path, monkeypatch):
    folder = layout(tmp_path, dense())
    np.save(folder / "go_graph_adjacency_matrix.npy", np.array(sp.csr_matrix(dense()), dtype=object))
    with pytest.raises(FileFormatError, match="Python objects") as caught:
        read(tmp_path)
    code = str(caught.value).rpartition("convert it once: ")[2]
    assert code.startswith("scipy.sparse.save_npz('go_graph_adjacency_matrix.npz'")
    monkeypatch.chdir(folder)
    import numpy
    import scipy.sparse

    exec(code, {"numpy": numpy, "scipy": scipy})
    assert edges(read(tmp_path)) == EDGES


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "boom",))

    layout(tmp_path, dense(), names=np.array([Bomb()] * 4, dtype=object))
    with pytest.raises(FileFormatError, match="Python objects"):
        read(tmp_path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        (np.zeros((3, 4)), "a matrix of 4 x 4"),
        (np.zeros((3, 3)), "a matrix of 4 x 4"),
        (np.zeros(4), "a matrix of 4 x 4"),
        (np.full((4, 4), "x"), "not an adjacency matrix"),
        (np.full((4, 4), np.nan), "entry nan at row 0, column 0"),
        (np.diag([0.0, 0, -2, 0]), r"entry -2.0 at row 2, column 2"),
        (np.full((4, 4), np.inf), "entry inf"),
        (-np.eye(4, dtype=np.int8), "entry -1"),
    ],
)
def test_bad_matrices(tmp_path, matrix, problem):
    layout(tmp_path, matrix)
    with pytest.raises(FileFormatError, match=problem):
        read(tmp_path)


@pytest.mark.parametrize("matrix", [np.zeros((4, 4)), np.eye(4)])
def test_no_edges(tmp_path, matrix):
    layout(tmp_path, matrix)
    with pytest.raises(EmptyGraphError, match="no edge"):
        read(tmp_path)


def test_too_dense(tmp_path, monkeypatch):
    monkeypatch.setattr(_edge_arrays, "MAX_EDGES", 10)
    layout(tmp_path, np.full((4, 4), 0.5))
    with pytest.raises(ConfigError, match="raise threshold"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["go_gene_names.npy", "go_graph_adjacency_matrix.npy"])
def test_files_cut_short_or_of_another_kind(tmp_path, name):
    path = layout(tmp_path, dense()) / name
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(FileFormatError, match="cut short"):
        read(tmp_path)
    path.write_bytes(b"gene_a,gene_b\nA,B\n")
    with pytest.raises(FileFormatError, match=r"not a NumPy \.npy file"):
        read(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(FileFormatError, match="gene names of go"):
        read(tmp_path)
    folder = layout(tmp_path, dense())
    (folder / "go_graph_adjacency_matrix.npy").unlink()
    with pytest.raises(FileFormatError, match="no edges of go") as caught:
        read(tmp_path)
    assert "go_gene_names.npy" in str(caught.value)


def test_parquet_index_out_of_range(tmp_path):
    string_layout(tmp_path, pd.DataFrame({"src": [0, 4], "dst": [1, 0]}))
    with pytest.raises(FileFormatError, match=r"row 1 of .* gene index 4 in 'src'"):
        read(tmp_path, layout="string")


def test_bad_parquet_weights(tmp_path):
    string_layout(tmp_path, pd.DataFrame({"src": [0, 3, 1], "dst": [1, 1, 2], "weight": [1.0, 2.0, np.nan]}))
    with pytest.raises(FileFormatError, match=r"row 2 of .* not a finite number"):
        read(tmp_path, layout="string")


def test_layout_is_needed_and_checked():
    with pytest.raises(ConfigError, match="layout"):
        Arrays.parse({})
    with pytest.raises(ConfigError, match="layout"):
        Arrays.parse({"layout": "kegg"})
