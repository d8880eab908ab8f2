from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from gnnvcell.errors import FileFormatError
from gnnvcell.graphs.sources.base import Reading, SourceContext
from gnnvcell.graphs.sources.table import Table


def read(path: Path, **settings: Any) -> Reading:
    return Table.parse({"file": str(path), **settings}).read(SourceContext(path.parent))


def edges(reading: Reading) -> dict[tuple[str, str], float]:
    (table,) = reading.tables
    ends = zip(table.src_names[table.src], table.dst_names[table.dst], table.weight, strict=True)
    undirected = not table.directed and table.etype[0] == table.etype[2]
    found = {
        (min(str(a), str(b)), max(str(a), str(b))) if undirected else (str(a), str(b)): float(w) for a, b, w in ends
    }
    assert len(found) == len(table)
    return found


EXPECTED = {("AAA", "BBB"): 0.5, ("BBB", "CCC"): 2.0, ("AAA", "CCC"): 1.5}


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "e.npz"
    np.savez(path, **arrays)
    return path


NAMES = np.array(["AAA", "BBB", "CCC"])
SRC, DST, WEIGHT = np.array([0, 1, 0]), np.array([1, 2, 2]), np.array([0.5, 2.0, 1.5])


def test_npz_with_indices(tmp_path):
    reading = read(npz(tmp_path, src=SRC, dst=DST, weight=WEIGHT, names=NAMES))
    assert edges(reading) == EXPECTED
    assert reading.lines_read == 3


def test_npz_with_names(tmp_path):
    assert edges(read(npz(tmp_path, src=NAMES[SRC], dst=NAMES[DST], weight=WEIGHT))) == EXPECTED


def test_npz_bipartite(tmp_path):
    path = npz(tmp_path, src=[0, 1], dst=[0, 0], src_names=["A", "B"], dst_names=np.array([b"drug"]))
    assert edges(read(path, dst_type="compound")) == {("A", "drug"): 1.0, ("B", "drug"): 1.0}


def test_npz_with_signed_weights(tmp_path):
    reading = read(npz(tmp_path, src=SRC, dst=DST, weight=-WEIGHT, names=NAMES), sign="weight")
    assert edges(reading) == EXPECTED
    sign = reading.tables[0].sign
    assert sign is not None
    assert np.unique(sign).tolist() == [-1]


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
def test_npz_of_scipy_sparse(tmp_path, layout):
    matrix = sp.coo_array((WEIGHT, (SRC, DST)), shape=(3, 3)).asformat(layout)
    path = tmp_path / "e.npz"
    sp.save_npz(path, matrix)
    with pytest.raises(FileFormatError, match="no names for its nodes"):
        read(path)
    np.save(tmp_path / "names.npy", NAMES)
    reading = read(path, names_file="names.npy")
    assert edges(reading) == EXPECTED
    assert [file.name for file in reading.files] == ["e.npz", "names.npy"]
    np.save(tmp_path / "names.npy", NAMES[:2])
    with pytest.raises(FileFormatError, match="a matrix of 2 x 2"):
        read(path, names_file="names.npy")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"src": np.array([0, 1, 3])}, "edge 2 of .* node index 3"),
        ({"dst": np.array([0, -1, 2])}, "edge 1 of .* node index -1"),
        ({"weight": np.array([1.0, np.nan, 1.0])}, "edge 1 of .* not a finite number"),
        ({"weight": WEIGHT[:2]}, "different shapes"),
        ({"names": np.array([["A", "B", "C"]])}, "does not hold names"),
        ({"names": np.array([1, 2, 3])}, "does not hold names"),
        ({"names": np.array(["A", "B", "C"], dtype=object)}, "Python objects"),
        ({"src": NAMES}, "names at one end and indices at the other"),
        ({"src": SRC.astype(float)}, "names"),
    ],
)
def test_bad_npz(tmp_path, changes, problem):
    arrays = {"src": SRC, "dst": DST, "weight": WEIGHT, "names": NAMES, **changes}
    with pytest.raises(FileFormatError, match=problem):
        read(npz(tmp_path, **arrays))


def test_damaged_npz(tmp_path):
    path = npz(tmp_path, src=SRC, dst=DST, names=NAMES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FileFormatError, match="npz"):
        read(path)
    sparse = {"format": np.array(b"csr"), "shape": np.array([3, 3]), "data": WEIGHT, "names": NAMES}
    with pytest.raises(FileFormatError, match="not a whole sparse matrix"):
        read(npz(tmp_path, **sparse))


def test_npz_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "boom",))

    path = npz(tmp_path, src=SRC, dst=DST, names=np.array([Bomb()] * 3, dtype=object))
    with pytest.raises(FileFormatError, match="Python objects"):
        read(path)
    assert not (tmp_path / "boom").exists()
