"""``gnnvcell screen target | combo | safety`` from files to files."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import BAD_INPUT, main
from gnnvcell.data.effects import EffectTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.screens.programmes import stress_programmes

TARGETS = [f"T{at}" for at in range(12)]
P53 = next(one for one in stress_programmes() if one.name == "p53_targets").genes[:20]
READ = [*P53, *(f"R{at}" for at in range(59)), "CTRL"]  # a gene whose symbol reads as a control's label


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve targets in two modules of six, of which the first switches p53 targets on; cells of two states."""
    path = tmp_path_factory.mktemp("screen")
    rng = np.random.default_rng(0)
    first = np.where(np.isin(READ, P53), 1.0, 0.0)
    second = np.where(np.arange(len(READ)) >= 50, -1.0, 0.0)
    values = np.stack([first if at < 6 else second for at in range(12)]) + 0.1 * rng.normal(size=(12, len(READ)))
    table = EffectTable(values, np.ones(values.shape, bool), TARGETS, READ, kind="delta", context="sim")
    table.save(path / "effects.h5ad")
    pairs = np.array([(a, b) for a in range(12) for b in range(a + 1, 12) if (a < 6) == (b < 6)])
    names, weight = np.array([*TARGETS, *READ]), np.ones(len(pairs), np.float32)
    edges = EdgeTable(("gene", "string", "gene"), pairs[:, 0], pairs[:, 1], weight, names, names, directed=False)
    GeneGraph.from_tables([edges], GeneVocab.from_symbols([*TARGETS, *READ], renamings=False)).save(path / "graph")
    state = np.repeat(["ill", "well"], 40)
    cells = rng.poisson(2.0, (80, len(READ))) + 1
    cells[40:, : len(P53)] *= 4
    obs = pd.DataFrame({"state": state}, index=pd.Index([f"c{at}" for at in range(80)]))
    var = pd.DataFrame(index=pd.Index(READ))
    ad.AnnData(cells.astype(np.float32), obs=obs, var=var).write_h5ad(path / "cells.h5ad")
    return path


def screen(folder: Path, verb: str, *arguments: str, model: str = "ridge") -> int:
    given = ["--data", str(folder / "effects.h5ad"), "--graph", str(folder / "graph"), "--quiet"]
    return main(["screen", verb, model, *given, *arguments])


def groups(folder: Path, source: str = "ill", goal: str = "well", column: str = "state") -> list[str]:
    return ["--cells", str(folder / "cells.h5ad"), "--column", column, "--from", source, "--to", goal]


def test_target_from_ill_to_well(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--gallery", *TARGETS, "nobody", "--doubles", "4", "--centred", "--out", str(out)]
    assert screen(folder, "target", *groups(folder), *options) == 0
    said = capsys.readouterr().out
    assert "ill -> well" in said
    assert "not ranked, without support: nobody" in said
    table = pd.read_csv(out / "table.csv")
    assert set(table["perturbation"].head(3).str.split("+").explode()) <= set(TARGETS[:6])
    assert (table["kind"] == "double").sum() == 4
    assert pd.read_csv(out / "abstained.csv")["perturbation"].tolist() == ["nobody"]
    about = json.loads((out / "provenance.json").read_text())
    assert about["command"].startswith("gnnvcell")
    assert about["shared_genes"] == len(READ)
    assert (out / "target.png").stat().st_size > 5000
    assert (out / "target.svg").is_file()
    assert not Path(f"{out}.parts").exists()


def test_target_for_a_signature_over_the_whole_graph(folder: Path, tmp_path: Path, capsys) -> None:
    names = tmp_path / "up.txt"
    names.write_text("\n".join(P53))
    assert screen(folder, "target", "--up", str(names), "--down", "R1", "R2", "--top", "6", model="knn") == 0
    said = capsys.readouterr().out
    assert "left out, because the name means a control: CTRL" in said
    assert {line.split()[1] for line in said.splitlines() if line.strip()[:1].isdigit()} == set(TARGETS[:6])
    assert "remaining" not in said  # a signature has no sizes


def test_target_from_two_files(folder: Path, tmp_path: Path, capsys) -> None:
    cells = ad.read_h5ad(folder / "cells.h5ad")
    for name in ("ill", "well"):
        cells[cells.obs["state"] == name].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    files = ["--from-cells", str(tmp_path / "ill.h5ad"), "--to-cells", str(tmp_path / "well.h5ad")]
    assert screen(folder, "target", *files, "--gallery", *TARGETS, "--measure", "distance", "--centred") == 0
    assert "remaining" in capsys.readouterr().out


def test_combo(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert screen(folder, "combo", "--perturbations", *TARGETS[:4], "--out", str(out)) == 0
    assert "6 pairs; typically" in capsys.readouterr().out
    assert len(pd.read_csv(out / "table.csv")) == 6
    assert (out / "combo.png").is_file()
    assert screen(folder, "combo", "--perturbations", "T0", "--genome") == 0
    assert f"{len(TARGETS) + len(READ) - 2} pairs" in capsys.readouterr().out


def test_safety(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    goal = ["--up", "R55", "R56", "R57"]
    assert screen(folder, "safety", "--variants", *TARGETS, *goal, "--draws", "200", "--out", str(out)) == 0
    assert "too few genes of unfolded_protein_response" in capsys.readouterr().out
    table = pd.read_csv(out / "table.csv")
    assert set(table["perturbation"].tail(6)) == set(TARGETS[:6])
    assert set(table["worst"].tail(6)) == {"p53_targets"}
    assert np.isfinite(table["wanted"].to_numpy()).all()
    assert (out / "programmes.csv").is_file()
    assert (out / "safety.png").is_file()


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("target", [], "there is no goal"),
        ("target", ["--up", "A", "--from-cells", "x.h5ad"], "not clear what the goal is"),
        ("target", ["--cells", "x.h5ad", "--from", "a", "--to", "b"], "groups in part"),
        ("target", ["--up", "A", "B", "C"], "share 0 genes"),
        ("target", ["--up", *P53, "--measure", "cosin"], "bad value for 'measure'"),
        ("target", ["--up", *P53, "--measure", "distance"], "no distance to a signature"),
        ("target", ["--up", *P53, "--gallery", "nobody"], "no support for any of the 1 candidates"),
        ("target", ["--up", *P53, "--gallery", "T1|CRISPRz"], "unknown mode 'CRISPRz'"),
        ("combo", ["--perturbations", "T1"], "no pair of different targets"),
        ("combo", ["--perturbations", "T1", "--genome", "--partners", "T2"], "partners are named"),
        ("combo", ["--perturbations", "T1", "JQ1|drug"], "have no name as one perturbation"),
        ("combo", ["--perturbations", "T1", "T2", "--rank-by", "size"], "bad value for 'rank_by'"),
        ("safety", ["--variants", "T1", "--amounts", "1uM"], "has an amount and no mode"),
        ("safety", ["--variants", "T1", "--least-genes", "50"], "none of 11 gene sets"),
        ("safety", ["--variants", "T1", "--programmes", "none.gmt"], "no file none.gmt"),
    ],
)
def test_bad_input(folder: Path, capsys, verb: str, arguments: list[str], message: str) -> None:
    assert screen(folder, verb, *arguments) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_groups_that_are_not_there(folder: Path, capsys) -> None:
    assert screen(folder, "target", *groups(folder, goal="wel")) == BAD_INPUT
    assert "did you mean 'well'?" in capsys.readouterr().err
    assert screen(folder, "target", *groups(folder, column="stat")) == BAD_INPUT
    assert "did you mean 'state'?" in capsys.readouterr().err


def test_an_empty_list(folder: Path, tmp_path: Path, capsys) -> None:
    names = tmp_path / "names.txt"
    names.write_text("# none yet\n")
    assert screen(folder, "target", "--up", *P53, "--gallery", str(names)) == BAD_INPUT
    assert "has no names in it" in capsys.readouterr().err
