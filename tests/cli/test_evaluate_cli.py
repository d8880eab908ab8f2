import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.cli.main import main

GENES = [f"G{i}" for i in range(100)]
NAMES = ["G0", "G1", "G2", "G3", "G4"]


def screen(seed: int, names: list[str] = NAMES) -> ad.AnnData:
    """Counts of a small screen in two batches; a perturbation moves the same genes under every seed."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).gamma(2.0, 3.0, len(GENES))
    labels = np.repeat(["non-targeting", *names], [60, *[30] * len(names)])
    effect = np.zeros((len(labels), len(GENES)))
    for place, name in enumerate(NAMES):
        shift = np.random.default_rng(place).normal(0, 2, len(GENES)) * (np.arange(len(GENES)) % 5 == place)
        effect[labels == name] = shift - 3.0 * (np.array(GENES) == name)
    counts = rng.poisson(base * np.exp(effect) * rng.gamma(5.0, 0.2, (len(labels), 1)))
    obs = pd.DataFrame({"target_gene": labels, "batch": np.where(np.arange(len(labels)) % 2, "b0", "b1")})
    obs.index = [f"cell{i}" for i in range(len(labels))]
    return ad.AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(GENES)))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    """Prediction, real cells, folder for results."""
    screen(0).write_h5ad(tmp_path / "real.h5ad")
    screen(1).write_h5ad(tmp_path / "pred.h5ad")
    return str(tmp_path / "pred.h5ad"), str(tmp_path / "real.h5ad"), str(tmp_path / "out")


def test_evaluate_writes_and_prints_everything(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pred, real, out = files
    assert main(["evaluate", pred, real, "--out", out, "--splits", "2"]) == 0
    printed = capsys.readouterr().out
    assert "centred_pearson_delta" in printed
    assert "evaluate.html" in printed
    names = {str(path.relative_to(out)) for path in Path(out).rglob("*") if path.is_file()}
    assert {"evaluate.html", "scores.json", "ours/scores.csv", "ours/per_perturbation.csv"} <= names
    assert {"ours/by_effect_size.csv", "plots/strongest.png", "plots/all-effects.svg"} <= names
    assert any(name.startswith("cache/de-") for name in names)
    scores = pd.read_csv(Path(out) / "ours" / "scores.csv", index_col="metric")
    assert scores.loc["centred_pearson_delta", "prediction"] > 0.8


def test_json_is_printed_alone_and_quiet_prints_nothing(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pred, real, out = files
    options = ["--out", out, "--splits", "0", "--no-de", "--no-page", "--quiet"]
    assert main(["evaluate", pred, real, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ours"]["metrics"]["pearson_delta"] > 0.8
    assert "overlap_at_N" not in found["ours"]["metrics"]
    assert found["ours"]["ceilings"] == {}
    assert main(["evaluate", pred, real, *options]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_support_comes_from_a_file_or_the_prediction(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, real, out = files
    options = ["--out", out, "--splits", "0", "--no-de", "--no-page", "--quiet", "--json"]
    (tmp_path / "support.csv").write_text("perturbation,support\n" + "".join(f"{n},{i}\n" for i, n in enumerate(NAMES)))
    assert main(["evaluate", pred, real, *options, "--support", str(tmp_path / "support.csv")]) == 0
    assert json.loads(capsys.readouterr().out)["ours"]["by_support"][0]["from"] == 0
    cells = ad.read_h5ad(pred)
    cells.obs["support"] = [0.5 * NAMES.index(name) if name in NAMES else np.nan for name in cells.obs["target_gene"]]
    cells.write_h5ad(tmp_path / "with.h5ad")
    assert main(["evaluate", str(tmp_path / "with.h5ad"), real, *options]) == 0
    assert json.loads(capsys.readouterr().out)["ours"]["by_support"][-1]["to"] == 2
    nameless, wordy = "name,support\nG0,1\n", "perturbation,support\nG0,x\n"
    for text, problem in ((nameless, "no column perturbation"), (wordy, "no number")):
        (tmp_path / "bad.csv").write_text(text)
        assert main(["evaluate", pred, real, *options, "--support", str(tmp_path / "bad.csv")]) == 2
        assert problem in capsys.readouterr().err


def test_support_is_counted_in_a_graph(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gnnvcell.genes import GeneVocab
    from gnnvcell.graphs.edges import EdgeTable
    from gnnvcell.graphs.gene_graph import GeneGraph

    pred, real, out = files
    names, ends = np.array(GENES), (np.array([0, 0, 0]), np.array([1, 2, 50]))
    table = EdgeTable(("gene", "string", "gene"), *ends, np.ones(3, np.float32), names, names, directed=False)
    GeneGraph.from_tables([table], GeneVocab.from_symbols(GENES, renamings=False)).save(tmp_path / "graph")
    options = ["--out", out, "--splits", "0", "--no-de", "--no-page", "--quiet", "--graph", str(tmp_path / "graph")]
    assert main(["evaluate", pred, real, *options]) == 0
    table = pd.read_csv(Path(out) / "ours" / "per_perturbation.csv", index_col="name")
    assert table["support"].to_dict() == {"G0": 2, "G1": 1, "G2": 1, "G3": 0, "G4": 0}
    assert main(["evaluate", pred, real, *options, "--support", "x.csv"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_training_cells_and_other_names_in_the_prediction(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, real, out = files
    other = screen(1, NAMES[:3])
    other.obs["who"] = [name.replace("non-targeting", "NT") for name in other.obs["target_gene"]]
    del other.obs["target_gene"]  # type: ignore[reportIndexIssue]
    other.write_h5ad(tmp_path / "other.h5ad")
    screen(2, NAMES[3:]).write_h5ad(tmp_path / "train.h5ad")
    options = ["--pred-perturbation", "who", "--pred-control", "NT", "--train", str(tmp_path / "train.h5ad")]
    assert main(["evaluate", str(tmp_path / "other.h5ad"), real, "--out", out, "--no-page", *options]) == 0
    printed = capsys.readouterr().out
    assert "2 training perturbations of the training file" in printed
    assert "2 perturbations of the real cells are not predicted: G3, G4" in printed
    assert main(["evaluate", real, real, "--out", out, *options[4:], "--split", "x.toml"]) == 2
    assert "--train and --split exclude each other" in capsys.readouterr().err


def test_a_split_says_what_is_scored(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pred, real, out = files
    split = Path(out).parent / "split.toml"
    lists = '[fewshot."mine."]\nval = ["G2"]\ntest = ["G0", "G1"]\n'
    split.write_text(f'[datasets]\nmine = "{real}"\n[training]\nmine = "train"\n{lists}')
    options = ["--out", out, "--splits", "0", "--no-page", "--quiet", "--json", "--split", str(split)]
    assert main(["evaluate", pred, real, *options]) == 0
    notes = json.loads(capsys.readouterr().out)["ours"]["notes"]
    assert any("2 training perturbations of the split" in note for note in notes)
    assert len(pd.read_csv(Path(out) / "ours" / "per_perturbation.csv")) == 2
    assert main(["evaluate", pred, real, *options, "--part", "val"]) == 0
    capsys.readouterr()
    split.write_text(split.read_text().replace('"G2"', '"G9"'))
    assert main(["evaluate", pred, real, *options]) == 2
    assert "G9" in capsys.readouterr().err


def test_bad_files_are_messages(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, real, out = files
    assert main(["evaluate", str(tmp_path / "prd.h5ad"), real, "--out", out]) == 2
    assert "did you mean 'pred.h5ad'" in capsys.readouterr().err
    whole = Path(pred).read_bytes()
    (tmp_path / "half.h5ad").write_bytes(whole[: len(whole) // 2])
    assert main(["evaluate", str(tmp_path / "half.h5ad"), real, "--out", out]) == 2
    error = capsys.readouterr().err
    assert "half.h5ad" in error
    assert "Traceback" not in error
    screen(1, ["G8", "G9"]).write_h5ad(tmp_path / "others.h5ad")
    assert main(["evaluate", str(tmp_path / "others.h5ad"), real, "--out", out]) == 2
    assert "no perturbation in common" in capsys.readouterr().err
    repeated = screen(1)
    repeated.var_names = ["G0", *GENES[:-1]]
    repeated.write_h5ad(tmp_path / "repeated.h5ad")
    assert main(["evaluate", str(tmp_path / "repeated.h5ad"), real, "--out", out]) == 2
    assert "G0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", pred, real, "--out", out, "--scorer", "vcc2027"])
    assert main(["evaluate", pred, real, "--out", out, "--profile", "most"]) == 2
    assert "profile" in capsys.readouterr().err
    assert not Path(out).exists() or not (Path(out) / "evaluate.html").exists()


def test_official_scorers_stand_beside_ours(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cell_eval", reason="pip install 'gnnvcell[eval]'")
    pytest.importorskip("cell_eval2", reason="pip install 'gnnvcell[eval]'")
    pred, real, out = files
    scorers = ["ours", "vcc2025", "vcc2026"]
    assert main(["evaluate", pred, real, "--out", out, "--splits", "2", "--quiet", "--json", "--scorer", *scorers]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert list(found) == scorers
    assert captured.err == ""
    assert found["vcc2025"][0]["version"] == "cell-eval 0.8.2"
    assert found["vcc2026"][0]["average_score"] is not None
    for name in ("vcc2025/agg_results.csv", "vcc2026/agg_results.csv", "vcc2025/scorer.log", "vcc2026/scores.csv"):
        assert (Path(out) / name).exists()
    page = (Path(out) / "evaluate.html").read_text()
    assert "Virtual Cell Challenge 2026" in page


def test_pack_makes_the_archive(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cell_eval", reason="pip install 'gnnvcell[eval]'")
    (tmp_path / "genes.csv").write_text("\n".join(GENES) + "\n")
    target = tmp_path / "x.vcc"
    assert main(["pack", files[0], "--genes", str(tmp_path / "genes.csv"), "--out", str(target)]) == 0
    assert "210 cells (60 controls) x 100 genes" in capsys.readouterr().out
    assert target.stat().st_size > 1000
    assert main(["pack", files[0], "--genes", str(tmp_path / "none.csv"), "--out", str(target)]) == 2
