import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from gnnvcell import keys
from gnnvcell.cli.main import main
from gnnvcell.data import Cells, FieldsConfig
from gnnvcell.data.knockdown_filter import KnockdownConfig
from gnnvcell.data.preprocess import PreprocessConfig, preprocess, preprocess_anndata
from gnnvcell.errors import ConfigError, DataError, FileFormatError

GENES = 300
TARGETS = ["G7", "G8", "G9"]


def screen(seed: int = 0, cells: int = 400) -> ad.AnnData:
    """Controls, G7 and G8 knocked down to a tenth in all and in four of five cells, G9 not at all; two batches."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(["non-targeting", *TARGETS], cells // 4))
    rates = rng.gamma(0.5, 4.0, GENES) + 0.05
    rates[7:10] = 40.0
    cell_rates = rates * rng.gamma(5.0, 0.2, (cells, 1))
    cell_rates[labels == "G7", 7] *= 0.1
    works = rng.random(cells) < 0.8
    cell_rates[(labels == "G8") & works, 8] *= 0.02
    counts = rng.negative_binomial(2.0, 2.0 / (2.0 + cell_rates)).astype(np.float64)
    obs = pd.DataFrame({"target_gene": pd.Categorical(labels), "batch": pd.Categorical(rng.choice(["x", "y"], cells))})
    obs.index = [f"cell{i}" for i in range(cells)]
    var = pd.DataFrame({"length": np.arange(GENES)}, index=pd.Index([f"G{i}" for i in range(GENES)]))
    return ad.AnnData(sp.csr_matrix(counts), obs=obs, var=var)


def dense(matrix: Any) -> np.ndarray:
    return matrix.toarray()


def by_scanpy(adata: ad.AnnData, target_sum: float | None, flavour: str, n_top: int) -> ad.AnnData:
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_top, flavor=flavour)  # type: ignore[arg-type]
    return adata


@pytest.mark.parametrize("flavour", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("target_sum", [1e4, "median"])
def test_the_same_as_scanpy(flavour: str, target_sum: float | str) -> None:
    wanted = by_scanpy(screen(), None if target_sum == "median" else 1e4, flavour, 50)
    config = PreprocessConfig.parse({"target_sum": target_sum, "hvg": 50, "flavour": flavour})
    made, done = preprocess_anndata(screen(), config)
    np.testing.assert_allclose(dense(made.X), dense(wanted.X), rtol=1e-6, atol=1e-7)
    for column in (keys.MEANS, keys.DISPERSIONS, keys.DISPERSIONS_NORM):
        np.testing.assert_allclose(made.var[column], wanted.var[column], rtol=1e-6, atol=1e-6, err_msg=column)
    np.testing.assert_array_equal(made.var["highly_variable"], wanted.var["highly_variable"])
    assert list(made.uns["hvg_names"]) == wanted.var_names[wanted.var["highly_variable"]].tolist()
    np.testing.assert_array_equal(made.obsm["X_hvg"], dense(made.X)[:, wanted.var["highly_variable"].to_numpy()])
    sums = np.asarray(screen().X.sum(axis=1)).ravel()  # type: ignore[union-attr]
    np.testing.assert_allclose(made.obs["log_total_counts"], np.log1p(sums), rtol=1e-6)
    assert done.cells == (400, 400)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_file_is_the_same_as_in_memory(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PreprocessConfig(hvg=30, keep_counts=True, top_genes=100, keep_targets=True, knockdown=KnockdownConfig())
    wanted, done = preprocess_anndata(screen(), config)
    source, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    screen().write_zarr(source) if suffix == ".zarr" else screen().write_h5ad(source)
    monkeypatch.setattr("gnnvcell.data.preprocess.BLOCK", 37)
    monkeypatch.setattr("gnnvcell.data.cell_file.SMALL", 0)  # from disk
    again = preprocess(source, out, config, progress=False)
    found = ad.read_zarr(out) if suffix == ".zarr" else ad.read_h5ad(out)
    np.testing.assert_allclose(dense(found.X), dense(wanted.X))
    np.testing.assert_array_equal(dense(found.layers["counts"]), dense(wanted.layers["counts"]))
    np.testing.assert_allclose(found.obsm["X_hvg"], wanted.obsm["X_hvg"])
    pd.testing.assert_frame_equal(pd.DataFrame(found.obs), pd.DataFrame(wanted.obs))
    pd.testing.assert_frame_equal(pd.DataFrame(found.var), pd.DataFrame(wanted.var))
    assert list(found.uns["hvg_names"]) == list(wanted.uns["hvg_names"])
    assert again.uns["preprocess"] == done.uns["preprocess"]
    assert found.uns["preprocess"]["cells_after"] == found.n_obs
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name, "out.knockdown.csv"}
    # What was written opens again, and its layer of counts too.
    assert Cells.open(out).values == "log1p"
    assert Cells.open(out, FieldsConfig(layer="counts")).values == "counts"


def test_targets_are_kept_and_highly_variable() -> None:
    made, done = preprocess_anndata(screen(), PreprocessConfig(hvg=5, top_genes=10, keep_targets=True))
    assert set(TARGETS) <= set(made.var_names)
    assert np.asarray(made.var["highly_variable"])[np.isin(made.var_names, TARGETS)].all()
    assert done.choice.targets == TARGETS
    assert made.obsm["X_hvg"].shape[1] == made.var["highly_variable"].sum()


def test_most_expressed_genes() -> None:
    made, _ = preprocess_anndata(screen(), PreprocessConfig(hvg=0, top_genes=10))
    counts = dense(screen().X)
    scaled = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    assert set(made.var_names) == {f"G{i}" for i in np.argsort(-scaled)[:10]}
    assert "X_hvg" not in made.obsm


def test_genes_by_name_are_scaled_by_all_counts() -> None:
    made, done = preprocess_anndata(screen(), PreprocessConfig(hvg=0, genes=("G5", "G2", "ZZZ")))
    assert made.var_names.tolist() == ["G2", "G5"]
    assert done.choice.absent == ["ZZZ"]
    whole, _ = preprocess_anndata(screen(), PreprocessConfig(hvg=0))
    np.testing.assert_array_equal(dense(made.X), dense(whole[:, ["G2", "G5"]].X))
    with pytest.raises(DataError, match="none of the 1 genes asked for is in the file"):
        preprocess_anndata(screen(), PreprocessConfig(genes=("g5",)))


def test_knockdown_filter() -> None:
    config = PreprocessConfig(hvg=0, knockdown=KnockdownConfig(residual=0.4))
    made, done = preprocess_anndata(screen(), config)
    assert done.filtered is not None
    outcome = dict(zip(done.filtered.table["perturbation"], done.filtered.table["outcome"], strict=True))
    assert outcome == {"G7": "kept", "G8": "kept", "G9": "target not knocked down"}
    sizes = made.obs["target_gene"].value_counts()
    assert sizes["non-targeting"] == 100
    assert "G9" not in sizes
    assert 60 <= sizes["G8"] <= 90
    # By hand: G8's cells against controls of the same batches, in counts per 10,000.
    adata = screen()
    counts = dense(adata.X)
    scaled = 1e4 * counts[:, 8] / counts.sum(axis=1)
    label, batch = adata.obs["target_gene"].to_numpy(), adata.obs["batch"].to_numpy()
    means = {b: scaled[(label == "non-targeting") & (batch == b)].mean() for b in "xy"}
    matched = np.mean([means[b] for b in batch[label == "G8"]])
    assert sizes["G8"] == (scaled[label == "G8"] / matched <= 0.5).sum()
    assert done.uns["preprocess"]["perturbations kept"] == 2


def test_knockdown_filter_wants_cells_left_and_something_to_judge() -> None:
    few = PreprocessConfig(hvg=0, knockdown=KnockdownConfig(residual=0.4, min_cells=95))
    made, done = preprocess_anndata(screen(), few)
    assert done.filtered is not None
    assert "too few cells left" in done.filtered.table["outcome"].tolist()
    assert set(made.obs["target_gene"]) == {"non-targeting", "G7"}
    with pytest.raises(DataError, match="no perturbed cell passes"):
        preprocess_anndata(screen(), PreprocessConfig(knockdown=KnockdownConfig(residual=0.0)))
    activated = FieldsConfig.parse({"perturbation_mode": "CRISPRa"})
    with pytest.raises(DataError, match="no perturbation can be judged"):
        preprocess_anndata(screen(), PreprocessConfig(knockdown=KnockdownConfig()), fields=activated)
    bare = screen()
    bare.obs["batch"] = np.where(bare.obs["target_gene"] == "non-targeting", "x", bare.obs["batch"].astype(str))
    with pytest.raises(DataError, match="perturbed cells and no control cells"):
        preprocess_anndata(bare, PreprocessConfig(knockdown=KnockdownConfig()))
    preprocess_anndata(bare, PreprocessConfig(hvg=0))  # only the filter needs controls


def test_perturbations_that_cannot_be_judged_are_kept_unless_told_otherwise() -> None:
    adata = screen()
    adata.var_names = [name if name != "G8" else "Z" for name in adata.var_names]
    for drop, outcome in ((False, "kept, cannot be judged"), (True, "cannot be judged")):
        config = PreprocessConfig(hvg=0, knockdown=KnockdownConfig(residual=0.4, drop_unjudged=drop))
        made, done = preprocess_anndata(adata, config)
        assert done.filtered is not None
        row = done.filtered.table.set_index("perturbation").loc["G8"]
        assert (row["outcome"], row["cells_kept"]) == (outcome, 0 if drop else 100)
        assert ("G8" in set(made.obs["target_gene"])) is not drop


def test_logarithms_where_counts_are_needed() -> None:
    logged, _ = preprocess_anndata(screen(), PreprocessConfig(hvg=0))
    with pytest.raises(DataError, match="counts are needed"):
        preprocess_anndata(logged)
    wanted = by_scanpy(screen(), 1e4, "seurat", 20)
    made, _ = preprocess_anndata(logged, PreprocessConfig(hvg=20, normalise=False))
    np.testing.assert_allclose(made.var["dispersions_norm"], wanted.var["dispersions_norm"], rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match="do not hold log1p values"):
        preprocess_anndata(screen(), PreprocessConfig(normalise=False))
    with pytest.raises(DataError, match="no counts to keep"):
        preprocess_anndata(logged, PreprocessConfig(normalise=False, keep_counts=True))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.5])
def test_broken_values_leave_no_file(tmp_path: Path, value: float) -> None:
    adata = screen(cells=2000)
    adata.X[1, 3] = value  # type: ignore[index]
    adata.write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(DataError):
        preprocess(tmp_path / "in.h5ad", tmp_path / "out.h5ad", PreprocessConfig(hvg=0), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


def test_empty_cells_stay_empty_and_floats_are_counts() -> None:
    adata = screen()
    adata.X[5] = 0  # type: ignore[index]
    made, _ = preprocess_anndata(adata, PreprocessConfig(hvg=10, target_sum="median"))
    assert made.X[5].sum() == 0  # type: ignore[index]
    assert np.isfinite(made.X.data).all()  # type: ignore[union-attr]


def test_paths_and_names_that_cannot_be(tmp_path: Path) -> None:
    screen().write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(ConfigError, match="replace its own source"):
        preprocess(tmp_path / "in.h5ad", tmp_path / "in.h5ad", progress=False)
    with pytest.raises(ConfigError, match="cannot be written"):
        preprocess(tmp_path / "in.h5ad", tmp_path / "out.csv", progress=False)
    with pytest.raises(ConfigError, match="flavour"):
        PreprocessConfig.parse({"flavour": "seurat_v3"})
    with pytest.raises(ConfigError, match="target_sum"):
        PreprocessConfig.parse({"target_sum": -1})
    whole = (tmp_path / "in.h5ad").read_bytes()
    (tmp_path / "half.h5ad").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="cut off"):
        preprocess(tmp_path / "half.h5ad", tmp_path / "out.h5ad", progress=False)


def _on_a_full_disk(folder: str, suffix: str, answer: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        preprocess(f"{folder}/in.h5ad", f"{folder}/out{suffix}", PreprocessConfig(hvg=0), progress=False)
        answer.put("written")
    except OSError as error:
        answer.put(f"OSError: {error}")


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    screen().write_h5ad(tmp_path / "in.h5ad")
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    child = context.Process(target=_on_a_full_disk, args=(os.fspath(tmp_path), suffix, answer))
    child.start()
    said = answer.get(timeout=60)
    child.join()
    assert said.startswith("OSError")
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen().write_h5ad(tmp_path / "in.h5ad")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gnnvcell.data.preprocess._annotations", interrupted)
    for suffix in (".h5ad", ".zarr"):
        with pytest.raises(KeyboardInterrupt):
            preprocess(tmp_path / "in.h5ad", tmp_path / f"out{suffix}", PreprocessConfig(hvg=0), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(tmp_path / "in.h5ad"), str(tmp_path / "out.h5ad")
    screen().write_h5ad(source)
    (tmp_path / "genes.txt").write_text("\n".join(f"G{i}" for i in range(50)))
    flags = ["--genes", str(tmp_path / "genes.txt"), "--hvg", "10", "--target-sum", "median", "--keep-targets"]
    assert main(["data", "preprocess", source, "--out", out, *flags, "--knockdown", "--residual", "0.4"]) == 0
    text = capsys.readouterr().out
    assert "genes  50 of 300" in text
    assert "perturbations target not knocked down  1" in text
    assert ad.read_h5ad(out).n_vars == 50
    assert main(["data", "preprocess", source, "--out", out, "--residual", "0.4"]) == 2
    assert "--residual means nothing without the filter" in capsys.readouterr().err
    assert main(["data", "preprocess", out, "--out", source]) == 2
    assert "counts are needed" in capsys.readouterr().err


@pytest.mark.shared
def test_papalexi(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad"
    preprocess(source, tmp_path / "out.h5ad", PreprocessConfig(hvg=50), progress=False)
    wanted, found = by_scanpy(ad.read_h5ad(source), 1e4, "seurat", 50), ad.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_allclose(found.X.data, wanted.X.data, rtol=1e-5)  # type: ignore[union-attr]
    np.testing.assert_array_equal(found.var["highly_variable"], wanted.var["highly_variable"])
    np.testing.assert_allclose(found.var["dispersions_norm"], wanted.var["dispersions_norm"], rtol=1e-5, atol=1e-5)
