import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.cli.main import main
from gnnvcell.data import Cells, FieldsConfig
from gnnvcell.data.check import CheckReport, check_cells
from gnnvcell.genes import GeneVocab


def screen(labels: list[str] | None = None, *, counts: np.ndarray | None = None, seed: int = 0) -> ad.AnnData:
    """Two perturbations of 40 cells and 40 controls over two batches; G1 leaves a fifth of its target."""
    names = labels if labels is not None else np.repeat(["non-targeting", "G0", "G1"], 40).tolist()
    rng = np.random.default_rng(seed)
    values = rng.poisson(20.0, (len(names), 6)).astype(np.float32) if counts is None else counts
    if counts is None:
        values[np.array(names) == "G1", 1] = 4
    obs = pd.DataFrame({"target_gene": names, "batch": np.where(np.arange(len(names)) % 2, "b0", "b1")})
    obs.index = [f"cell{i}" for i in range(len(names))]
    return ad.AnnData(sp.csr_matrix(values), obs=obs, var=pd.DataFrame(index=pd.Index([f"G{i}" for i in range(6)])))


def check(adata: ad.AnnData, fields: FieldsConfig | None = None, vocab: GeneVocab | None = None) -> CheckReport:
    return check_cells(Cells.of(adata, fields, unique_genes=False), vocab, progress=False)


def errors(report: CheckReport) -> str:
    return "\n".join(str(problem) for problem in report.problems if problem.level == "error")


def warned(report: CheckReport) -> str:
    return "\n".join(str(problem) for problem in report.problems if problem.level == "warning")


def test_a_good_file_has_no_problem() -> None:
    report = check(screen())
    assert report.ok
    assert not report.problems
    assert report.facts["controls"]["controls by batch"] == {"b0": 20, "b1": 20}
    assert report.facts["values"]["counts of float type"] is True
    assert report.facts["fields"]["perturbation"] == "target_gene (detected)"
    assert report.facts["knock-down of targets"]["highest residual"]["G1"] < 0.3
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True
    assert "0 errors, 0 warnings" in str(report)


def test_what_was_said_is_not_called_detected() -> None:
    report = check(screen(), FieldsConfig(perturbation="target_gene", batch=""))
    assert report.facts["fields"]["perturbation"] == "target_gene"
    assert report.facts["fields"]["batch"] is None


def test_no_controls_and_a_batch_without_controls() -> None:
    assert "no cell is a control" in errors(check(screen(["G0", "G1"] * 40)))
    adata = screen()
    adata.obs["batch"] = np.where(adata.obs["target_gene"] == "non-targeting", "b0", adata.obs["batch"])
    report = check(adata)
    assert "b1: perturbed cells and no controls" in errors(report)
    assert report.facts["controls"]["without controls"] == ["b1"]


@pytest.mark.parametrize(("value", "text"), [(np.nan, "NaN"), (np.inf, "infinite"), (-3.0, "negative")])
def test_values_that_cannot_be_expression(value: float, text: str) -> None:
    adata = screen()
    adata.X[7, 2] = value  # type: ignore[index]
    report = check(adata)
    assert f"1 values are {text}" in errors(report)


def test_values_that_a_sample_does_not_show_are_found_by_the_whole_pass() -> None:
    values = np.random.default_rng(0).poisson(5.0, (3000, 6)).astype(np.float32)
    values[1, 3] = 0.5  # the 512 sampled cells lie 5 or 6 apart, from the first
    report = check(screen((["non-targeting", "G0", "G1"] * 1000), counts=values))
    assert report.facts["values"]["kind"] == "counts"
    assert "1 values are not whole" in errors(report)


def test_names_that_repeat() -> None:
    adata = screen()
    adata.var_names = ["G0", "G1", "G1", "G3", "G4", "G5"]
    adata.obs_names = ["same", "same", *adata.obs_names[2:]]
    report = check(adata)
    assert "1 gene names repeat" in errors(report)
    assert "1 cell names repeat" in warned(report)


def test_empty_cells_and_genes_few_cells_and_unknown_perturbations() -> None:
    labels = ["non-targeting"] * 40 + ["G0"] * 40 + ["G1"] * 5 + ["unassigned"] * 3
    adata = screen(labels)
    adata.X[3] = 0  # type: ignore[index]
    adata.X[:, 5] = 0  # type: ignore[index]
    report = check(adata)
    assert report.facts["values"]["cells without a value"] == 1
    assert report.facts["values"]["genes without a value"] == 1
    assert report.facts["perturbations"]["cells of unknown perturbation"] == 3
    assert "1 perturbation with fewer than 30 cells: G1" in warned(report)


def test_ensembl_ids_with_versions_and_coverage_by_a_graph() -> None:
    adata = screen()
    adata.var_names = [f"ENSG0000000000{i}.{i + 1}" for i in range(6)]
    vocab = GeneVocab(["G0", "G9"], {"ensembl": [("ENSG00000000000", 0)]})
    report = check(adata, vocab=vocab)
    assert report.facts["genes"]["names"] == "Ensembl ids"
    assert report.facts["genes"]["Ensembl ids with a version"] == 6
    assert "2 of 2 targets are not among the genes: G0, G1" in warned(report)
    assert report.facts["gene graph"]["genes covered"] == pytest.approx(1 / 6)
    assert report.facts["gene graph"]["targets covered"] == pytest.approx(1 / 2)
    assert "the gene graph knows 17 % of the genes" in warned(report)


def test_combinations_modes_and_doses() -> None:
    adata = screen(["ctrl"] * 40 + ["G0+G1"] * 40 + ["JQ1|drug@500nM"] * 40)
    facts = check(adata).facts["perturbations"]
    assert facts["of several targets"] == 1
    assert facts["modes"] == {"not said": 1, "drug": 1}
    assert facts["doses"] == ["500nM"]


def test_values_that_are_neither_counts_nor_logarithms() -> None:
    adata = screen()
    adata.X = adata.X * 1.5  # type: ignore[operator]
    assert "neither counts nor logarithms" in errors(check(adata))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cells.h5ad"
    screen().write_h5ad(path)
    assert main(["data", "check", str(path), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["file"]["cells"] == 120
    screen(["G0", "G1"] * 40).write_h5ad(path)
    assert main(["data", "check", str(path)]) == 1
    assert "error: no cell is a control" in capsys.readouterr().out
    assert main(["data", "check", str(path), "--perturbation", "targt_gene"]) == 2
    assert "did you mean 'target_gene'?" in capsys.readouterr().err
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert main(["data", "check", str(path)]) == 2
    assert "cut off" in capsys.readouterr().err


@pytest.mark.shared
def test_papalexi(shared_data: Path) -> None:
    cells = Cells.open(shared_data / "cells" / "papalexi2021_thp1_eccite.h5ad", unique_genes=False)
    report = check_cells(cells, progress=False)
    assert report.ok
    assert report.facts["perturbations"]["perturbations"] == 25
    assert report.facts["perturbations"]["control cells"] == 1923
    assert report.facts["genes"]["targets among the genes"] == 9
