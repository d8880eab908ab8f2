from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data import Cells, FieldsConfig
from gnnvcell.data.matrix import DiskMatrix
from gnnvcell.data.values import ValueKind, value_kind
from gnnvcell.errors import DataError, FileFormatError, MissingFileError, PerturbationError
from gnnvcell.perturbation import Mode

LABELS = ["ctrl", "A", "A+ctrl", "B+A", "A+B", "unassigned", "ctrl", "C"]


def screen(labels: Any = None, *, dense: bool = False, **columns: Any) -> ad.AnnData:
    names = LABELS if labels is None else labels
    values = np.random.default_rng(0).poisson(2.0, (len(names), 7)).astype(np.float32)
    obs = pd.DataFrame({"condition": names, **columns}, index=pd.RangeIndex(len(names)).astype(str))
    var = pd.DataFrame(index=pd.Index([f"G{i}" for i in range(7)]))
    return ad.AnnData(values if dense else sp.csr_matrix(values), obs=obs, var=var)


def values_of(adata: ad.AnnData) -> np.ndarray:
    values = adata.X
    return values.toarray() if sp.issparse(values) else np.asarray(values)  # type: ignore[union-attr]


# --- labels


def test_labels_of_singles_doubles_controls_and_unknown_cells() -> None:
    cells = Cells.of(screen())
    # "A+ctrl" is A; "B+A" and "A+B" are one perturbation, named by the label that is first in the alphabet.
    assert cells.perturbations.tolist() == ["A", "A+B", "C"]
    assert cells.code.tolist() == [-1, 0, 0, 1, 1, -2, -1, 2]
    assert cells.is_control.sum() == 2
    assert [p.targets for p in cells.targets] == [("A",), ("A", "B"), ("C",)]
    assert cells.perturbation_code("B+A") == 1
    with pytest.raises(DataError, match="no cell has the perturbation"):
        cells.perturbation_code("D")


def test_missing_labels_are_unknown_and_unused_categories_are_nothing() -> None:
    column = pd.Categorical(["ctrl", "A", None, "A"], categories=["ctrl", "A", "never", "B+A"])
    cells = Cells.of(screen(column))
    assert cells.perturbations.tolist() == ["A"]
    assert cells.code.tolist() == [-1, 0, -2, 0]


def test_doses_of_drugs() -> None:
    labels = ["DMSO", "JQ1|drug@500nM", "JQ1|drug@0.5uM", "JQ1|drug@1uM"]
    cells = Cells.of(screen(labels))
    assert cells.perturbations.tolist() == ["JQ1|drug@1uM", "JQ1|drug@500nM"]
    assert cells.code.tolist() == [-1, 1, 1, 0]
    written = Cells.of(
        screen(["DMSO", "JQ1", "JQ1", "JQ1"], dose=["0", "0.5", "500nM", "1"]),
        FieldsConfig(perturbation_mode=Mode.DRUG),
    )
    assert written.perturbations.tolist() == cells.perturbations.tolist()
    assert written.code.tolist() == cells.code.tolist()
    assert [p.amount for p in written.targets] == [1.0, 0.5]
    with pytest.raises(PerturbationError, match="dose"):
        Cells.of(screen(["DMSO", "JQ1"], dose=["0", "much"]), FieldsConfig(perturbation_mode=Mode.DRUG))


def test_modes_from_a_column() -> None:
    cells = Cells.of(screen(["ctrl", "A", "A", "B"], perturbation_type=["CRISPRi", "CRISPRi", "CRISPRa", "KO"]))
    assert cells.perturbations.tolist() == ["A|CRISPRa", "A|CRISPRi", "B"]
    assert [p.mode for p in cells.targets] == [Mode.CRISPRA, Mode.CRISPRI, Mode.KO]
    other = Cells.of(screen(["ctrl", "A"], perturbation_type=["gene", "none"]))  # a screen that means something else
    assert other.fields.mode is None


# --- fields


def test_fields_are_found_by_their_usual_names() -> None:
    columns: dict[str, Any] = {
        "gem_group": list("xyxyxyxy"), "cell_line": ["K562"] * 8, "guide_id": ["g"] * 8, "gene": ["A"] * 8
    }
    fields = Cells.of(screen(**columns)).fields
    assert (fields.perturbation, fields.control) == ("condition", "ctrl")  # "gene" comes first but has no control
    assert (fields.batch, fields.cell_type, fields.guide) == ("gem_group", "cell_line", "guide_id")
    assert set(fields.found) == {"perturbation", "control", "batch", "cell_type", "guide"}
    said = Cells.of(screen(**columns), FieldsConfig(perturbation="condition", control="C", batch="")).fields
    assert (said.control, said.batch) == ("C", None)
    assert set(said.found) == {"cell_type", "guide"}


def test_fields_that_are_not_there_name_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'condition'"):
        Cells.of(screen(), FieldsConfig(perturbation="conditions"))
    with pytest.raises(DataError, match="did you mean 'ctrl'"):
        Cells.of(screen(), FieldsConfig(control="ctr"))
    adata = screen()
    adata.obs.columns = ["label"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="no obs column says which perturbation"):
        Cells.of(adata)
    with pytest.raises(DataError, match="var column of gene names"):
        Cells.of(screen(), FieldsConfig(gene_names="symbol"))
    with pytest.raises(DataError, match="has no layer"):
        Cells.of(screen(), FieldsConfig(layer="counts"))


def test_gene_names_from_a_column_and_repeats() -> None:
    adata = screen()
    adata.var["symbol"] = [*"ABCDEF", "A"]
    with pytest.raises(DataError, match="1 gene names repeat"):
        Cells.of(adata, FieldsConfig(gene_names="symbol"))
    cells = Cells.of(adata, FieldsConfig(gene_names="symbol"), unique_genes=False)
    assert cells.genes.tolist() == [*"ABCDEF", "A"]


def test_no_controls() -> None:
    cells = Cells.of(screen(["A", "B"]))
    assert cells.fields.control is None
    with pytest.raises(DataError, match="no cell is a control"):
        cells.require_controls()


# --- values


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1, 5], ValueKind.COUNTS),
        (np.array([1, 2], dtype=np.int64), ValueKind.COUNTS),
        ([0, 0.7, 3.1], ValueKind.LOG1P),
        ([0.5, 800.0], ValueKind.NORMALISED),
        ([1, -1], ValueKind.UNKNOWN),
        ([1, np.nan], ValueKind.UNKNOWN),
        ([1, np.inf], ValueKind.UNKNOWN),
        ([0, 0], ValueKind.UNKNOWN),
    ],
)
def test_kinds_of_values(values: list, kind: ValueKind) -> None:
    assert value_kind(np.asarray(values)) is kind


# --- matrices


@pytest.fixture(params=["h5ad", "h5ad dense", "zarr", "zarr dense"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ad.AnnData]:
    labels = np.resize(LABELS, 300).tolist()
    adata = screen(labels, dense="dense" in request.param, batch=np.resize(["x", "y", "z"], 300).tolist())
    adata.layers["twice"] = adata.X * 2  # type: ignore[operator]
    if "zarr" in request.param:
        adata.write_zarr(tmp_path / "cells.zarr")
        return tmp_path / "cells.zarr", adata
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad", adata


@pytest.mark.parametrize("in_memory", [True, False])
def test_disk_and_memory_give_the_same(file: tuple[Path, ad.AnnData], in_memory: bool) -> None:
    path, adata = file
    cells, wanted = Cells.open(path, in_memory=in_memory), values_of(adata)
    assert isinstance(cells.matrix, DiskMatrix) is not in_memory
    assert cells.values is ValueKind.COUNTS
    assert cells.code.tolist() == Cells.of(adata).code.tolist()
    rows = np.array([250, 3, 3, 120, 0, 299, 4])
    np.testing.assert_array_equal(cells.take(rows).toarray(), wanted[rows])
    assert cells.take(rows).dtype == np.float32
    np.testing.assert_array_equal(cells.take(cells.is_control).toarray(), wanted[cells.is_control])
    assert cells.take([]).shape == (0, 7)
    twice = Cells.open(path, FieldsConfig(layer="twice"), in_memory=in_memory)
    np.testing.assert_array_equal(twice.take([5, 1]).toarray(), 2 * wanted[[5, 1]])
    with pytest.raises(DataError, match="did you mean 'twice'"):
        Cells.open(path, FieldsConfig(layer="twise"), in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_blocks_cover_the_cells_in_order(file: tuple[Path, ad.AnnData], in_memory: bool) -> None:
    path, adata = file
    cells, wanted = Cells.open(path, in_memory=in_memory), values_of(adata)
    rows, blocks = zip(*cells.blocks(64), strict=True)
    assert [len(part) for part in rows] == [64, 64, 64, 64, 44]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(300))
    np.testing.assert_array_equal(np.concatenate([block.toarray() for block in blocks]), wanted)
    rows, blocks = zip(*cells.blocks(16, rows=cells.code == 0), strict=True)
    np.testing.assert_array_equal(np.concatenate(rows), np.flatnonzero(cells.code == 0))
    np.testing.assert_array_equal(np.concatenate([block.toarray() for block in blocks]), wanted[cells.code == 0])


@pytest.mark.parametrize("in_memory", [True, False])
def test_some_cells(file: tuple[Path, ad.AnnData], in_memory: bool) -> None:
    path, adata = file
    cells, wanted = Cells.open(path, in_memory=in_memory), values_of(adata)
    rows = np.flatnonzero((cells.code == 2) | (cells.code < 0))[::-1]
    some = cells.take_cells(rows)
    assert some.shape == (len(rows), 7)
    assert some.perturbations.tolist() == ["C"]
    assert [p.name for p in some.targets] == ["C"]
    np.testing.assert_array_equal(some.code, np.where(cells.code[rows] == 2, 0, cells.code[rows]))
    np.testing.assert_array_equal(some.batches[some.batch_code], cells.batches[cells.batch_code[rows]])
    np.testing.assert_array_equal(some.take([4, 0]).toarray(), wanted[rows[[4, 0]]])
    np.testing.assert_array_equal(next(some.blocks(10))[1].toarray(), wanted[rows[:10]])
    again = some.take_cells(some.is_control)
    np.testing.assert_array_equal(again.take([1]).toarray(), wanted[rows[some.is_control]][[1]])
    assert again.perturbations.tolist() == []
    assert cells.perturbations.tolist() == ["A", "A+B", "C"]
    copied = some.to_anndata(np.array([2, 1]))
    np.testing.assert_array_equal(values_of(copied), wanted[rows[[2, 1]]])
    assert copied.obs_names.tolist() == adata.obs_names[rows[[2, 1]]].tolist()


def test_a_backed_anndata_stays_on_disk(tmp_path: Path) -> None:
    adata = screen()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    cells = Cells.of(ad.read_h5ad(tmp_path / "cells.h5ad", backed="r"))
    assert isinstance(cells.matrix, DiskMatrix)
    np.testing.assert_array_equal(cells.take([2]).toarray(), values_of(adata)[[2]])


# --- files


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    screen().write_h5ad(path)
    whole = path.read_bytes()
    with pytest.raises(MissingFileError, match=r"did you mean 'cells.h5ad'"):
        Cells.open(tmp_path / "cell.h5ad")
    with pytest.raises(MissingFileError, match=r"no file .*cells.zarr"):
        Cells.open(tmp_path / "cells.zarr")
    with pytest.raises(FileFormatError, match="is not a file of cells"):
        Cells.open(tmp_path / "cells.loom")
    for share in (0.05, 0.5, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FileFormatError, match="cut off"):
            Cells.open(path)
    path.write_bytes(b"obs,var\n" * 100)
    with pytest.raises(FileFormatError, match="is not an h5ad file"):
        Cells.open(path)


def test_files_without_parts(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    for part in ("obs", "X"):
        screen().write_h5ad(path)
        with h5py.File(path, "a") as store:
            del store[part]
        with pytest.raises(FileFormatError, match=f"has no (values )?{part}"):
            Cells.open(path)
    screen().write_h5ad(path)
    with h5py.File(path, "a") as store:
        store["X"].attrs["shape"] = [8, 6]
    with pytest.raises(FileFormatError, match="contradicts itself"):
        Cells.open(path, in_memory=False)


def test_columns_first_is_refused_from_disk(tmp_path: Path) -> None:
    adata = screen()
    adata.X = sp.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(FileFormatError, match="csc_matrix cannot be read cell by cell"):
        Cells.open(tmp_path / "cells.h5ad", in_memory=False)
    np.testing.assert_array_equal(Cells.open(tmp_path / "cells.h5ad").take([1]).toarray(), values_of(adata)[[1]])


def test_no_cells() -> None:
    with pytest.raises(DataError, match="no cells or no genes"):
        Cells.of(screen([]))


@pytest.mark.shared
def test_real_files(shared_data: Path) -> None:
    papalexi = Cells.open(shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad")
    assert (len(papalexi.perturbations), papalexi.is_control.sum(), (papalexi.code == -2).sum()) == (25, 1923, 4537)
    norman = Cells.open(shared_data / "cells" / "perturbench_devel.h5ad", in_memory=False)
    assert norman.values is ValueKind.LOG1P
    assert sum(len(p.targets) == 2 for p in norman.targets) == 15
    assert "5,961 cells x 500 genes" in repr(norman)
