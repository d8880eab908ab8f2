import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnvcell.bench.cells import ALL, CEILING, NO_GRAPH, compare_on_cells, format_cells, summarise_cells
from gnnvcell.bench.published import MEAN_CELL, compare_published, format_published
from gnnvcell.bench.run_cells import CellBenchConfig, run_cell_bench
from gnnvcell.cli.main import main
from gnnvcell.data import Cells
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.graphs.build import build
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import CELL_MODELS, MODELS
from gnnvcell.tasks.held_out_cells import SCORES, HeldOutCells
from gnnvcell.tasks.held_out_groups import in_folds, leave_one_out


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small simulated screen, ``cells.h5ad``, and its ``graph``."""
    config = SimulatorConfig(genes=60, modules=3, targets=8, control_cells=60, cells_per_target=20, batches=2)
    path = simulate(config).write(tmp_path_factory.mktemp("world") / "w")
    build(path / "recipe.toml").save(path.parent / "graph")
    return path.parent


@pytest.fixture(scope="module")
def task(folder) -> HeldOutCells:
    cells = Cells.open(folder / "w" / "cells.h5ad")
    return HeldOutCells(cells, leave_one_out(cells.perturbations), splits=2)


@pytest.fixture(scope="module")
def graphs(folder) -> dict[str, GeneGraph]:
    return {"sim": GeneGraph.load(folder / "graph")}


@pytest.fixture
def fits(monkeypatch) -> list[int]:
    """The seeds that knn was fitted with."""
    seeds: list[int] = []
    knn = MODELS.get("knn")
    fit = knn.fit
    monkeypatch.setattr(knn, "fit", lambda self, *data, seed=0: seeds.append(seed) or fit(self, *data, seed=seed))
    return seeds


def test_one_row_for_each_run_and_held_out_perturbation(task, graphs) -> None:
    scores = compare_on_cells(task, graphs, models=["gene_mean", "knn"], controls=["rewired"], progress=False)
    counts = scores.groupby(["model", "graph", "control", "split"]).size()
    arms = (("gene_mean", NO_GRAPH, "real"), ("knn", "sim", "real"), ("knn", "sim", "rewired"))
    assert counts.to_dict() == {(*arm, split): 8 for arm in arms for split in (0, 1)}
    assert {*SCORES, "perturbation", "seconds"} <= set(scores.columns)
    assert sorted(scores["perturbation"].unique()) == sorted(task.cells.perturbations)


def test_models_of_cells_get_cells_on_the_scale_of_the_task(folder, graphs, monkeypatch) -> None:
    cells = Cells.open(folder / "w" / "cells.h5ad")
    task = HeldOutCells(cells, in_folds(cells.perturbations, 4)[:1], splits=1, target_sum=2000.0)
    kind = CELL_MODELS.get("state_transition")
    fit, given = kind.fit, []

    def noted(self, train, *rest, **options):
        given.append((train, self.config.target_sum, self.config.encoders))
        return fit(self, train, *rest, **options)

    monkeypatch.setattr(kind, "fit", noted)
    quick = {"hidden_dim": 8, "layers": 1, "heads": 2, "set_size": 10, "training": {"max_steps": 2, "patience": None}}
    scores = compare_on_cells(
        task,
        graphs,
        models=["knn", "a=state_transition", "b=state_transition"],
        controls=["permuted"],
        configs={"a": {**quick, "encoders": ["onehot"]}, "b": quick},
        progress=False,
    )
    runs = scores.groupby(["model", "graph", "control"]).size()
    assert set(runs.index) == {
        ("a", NO_GRAPH, "real"), ("b", "sim", "permuted"), ("b", "sim", "real"), ("knn", "sim", "permuted"),
        ("knn", "sim", "real"),
    }  # fmt: skip
    assert [(target, encoders) for _, target, encoders in given] == [
        (2000.0, ("onehot",)), (2000.0, ("graph",)), (2000.0, ("graph",)),
    ]  # fmt: skip
    assert not set(given[0][0].perturbations) & set(task.groups[0].test)
    assert int(given[0][0].is_control.sum()) == int(cells.is_control.sum()) // 2
    with pytest.raises(ConfigError, match="two models are called 'knn'"):
        compare_on_cells(task, graphs, models=["knn", "knn"], progress=False)


def test_a_second_call_repeats_nothing(task, graphs, tmp_path, fits) -> None:
    def run(**changes) -> pd.DataFrame:
        options: dict = {"models": ["knn"], "data_digest": "d", "out_dir": tmp_path, "progress": False, **changes}
        return compare_on_cells(task, graphs, **options)

    first = run()
    assert sorted(fits) == [0] * 16 + [1] * 16  # 8 groups, 2 draws, real and rewired
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4
    pd.testing.assert_frame_equal(run(), first)
    assert len(fits) == 32
    next((tmp_path / "runs").glob("*.json")).unlink()
    run()
    assert len(fits) == 40
    for changes in ({"data_digest": "other"}, {"configs": {"knn": {"k": 3}}}):
        before = len(fits)
        run(**changes)
        assert len(fits) == before + 32, changes


def test_summary_by_hand() -> None:
    scores = pd.DataFrame({"perturbation": list("ABAB"), "split": [0, 0, 1, 1], "pearson_delta": [0.2, 0.4, 0.4, 0.8]})
    scores = scores.assign(**dict.fromkeys(SCORES[1:], 0.1)).assign(mse_delta=0.002)
    scores = scores.assign(model="knn", graph="g", control="real", seconds=2.0)
    ceiling = scores.drop(columns=["model", "graph", "control", "seconds"]).assign(pearson_delta=0.9)
    summary = summarise_cells(scores, {"strong": ["B"]}, ceiling)
    table = summary.set_index(["model", "stratum"])
    assert table.loc[("knn", "strong"), "pearson_delta"] == pytest.approx(0.6)
    assert table.loc[("knn", ALL), "pearson_delta"] == pytest.approx(0.45)
    assert table.loc[("knn", ALL), "pearson_delta_sd"] == pytest.approx(np.std([0.3, 0.6], ddof=1))
    assert table.loc[(CEILING, ALL), "pearson_delta"] == pytest.approx(0.9)
    assert table.loc[("knn", ALL), "seconds"] == 2
    text = format_cells(summary)
    assert "| knn | g | real | 0.60 / 0.10 / 2.0" in text
    assert text.count("\n") == 3


def test_published_table_by_hand() -> None:
    scores = pd.DataFrame({"perturbation": list("AB"), "split": 0, "pairs": [1, 3], "pair_mse": [0.2, 0.4]})
    scores = scores.assign(pair_pearson_top20=0.9, pair_shift=0.5, r2_all=[0.5, 1.0], r2_top50=[-1.0, 0.0])
    scores = scores.assign(centred_pearson_delta=0.25, mse_delta=0.002, mse_of_no_change=0.003)
    scores = scores.assign(centred_retrieval=0.5, centred_pds_cosine=0.75, model="m", graph="g", control="real")
    mean = scores.drop(columns=["model", "graph", "control", "centred_pearson_delta", "mse_delta", "mse_of_no_change"])
    table = compare_published(scores, mean.drop(columns=["centred_retrieval", "centred_pds_cosine"]))
    lines = format_published(table).splitlines()
    figures = "0.350 | 0.90 | 0.75 / 0.75 | -0.50 / -0.50 | 0.500"
    assert lines[2] == f"| {MEAN_CELL} | - | real | {figures} | - | - | - | - / - |"
    assert lines[3] == f"| m | g | real | {figures} | 0.25 | 0.50 | 0.75 | 2.0 / 3.0 |"


def test_nothing_to_compare_and_unknown_names(task, graphs, tmp_path) -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare_on_cells(task, graphs, models=[], progress=False)
    with pytest.raises(ConfigError, match=r"unknown model 'kn'(.|\n)*knn"):
        compare_on_cells(task, graphs, models=["kn"], progress=False)
    with pytest.raises(ConfigError, match=r"unknown control(.|\n)*rewired"):
        compare_on_cells(task, graphs, models=["knn"], controls=["rewire"], progress=False)
    with pytest.raises(ConfigError, match=r"there is none(.|\n)*data_digest="):
        compare_on_cells(task, graphs, models=["knn"], out_dir=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": CellBenchConfig(min_cells=21)}, "no perturbation has 21 cells"),
        ({"config": CellBenchConfig(min_cells=5, context="sin")}, r"no cell is of the cell type 'sin'(.|\n)*sim"),
        ({"config": CellBenchConfig(min_cells=5, protocol="doubles")}, r"no combination has 2 targets(.|\n)*8 singles"),
        ({"config": CellBenchConfig(min_cells=5, protocol="context")}, r"to hold out is missing(.|\n)*sim"),
        ({"config": CellBenchConfig(min_cells=5, protocol="context", context="sim")}, "to hold out, or none to learn"),
        ({"groups": {"mine": ["NOWHERE"]}}, "the group 'mine' names 'NOWHERE'"),
        ({"overrides": ["knm.k=3"]}, "the override of 'knm'"),
    ],
)
def test_bad_settings_are_refused(folder, tmp_path, changes, message) -> None:
    options = {"config": CellBenchConfig(min_cells=5, splits=1), **changes}
    with pytest.raises((ConfigError, DataError), match=message):
        run_cell_bench(
            folder / "w" / "cells.h5ad", [folder / "graph"], models=["gene_mean"], out_dir=tmp_path, progress=False,
            **options,
        )  # fmt: skip


def test_from_the_command_line(folder, tmp_path, capsys, fits) -> None:
    out = tmp_path / "out"
    names = sorted(Cells.open(folder / "w" / "cells.h5ad").perturbations.tolist())
    given = ["bench", "cells", folder / "w" / "cells.h5ad", "--graph", folder / "graph", "--models", "gene_mean", "knn"]
    given += ["--splits", "2", "--min-cells", "10", "--groups", f"mine={names[0]},{names[1]}", "--out", out, "--quiet"]
    assert main([*map(str, given)]) == 0
    assert len(fits) == 32
    said = capsys.readouterr().out
    assert f"mine: {names[0]}, {names[1]}" in said
    table = (out / "table.md").read_text()
    assert table.strip() in said
    for text in ("| gene_mean | - | real |", "| knn | graph | real |", "| knn | graph | rewired |", CEILING, MEAN_CELL):
        assert text in table
    published = pd.read_csv(out / "published.csv").set_index(["model", "control"])
    assert published.loc[(MEAN_CELL, "real"), "pair_pearson_top20"] > 0.5
    assert np.isnan(published.loc[(MEAN_CELL, "real"), "centred_pearson_delta"])
    assert len(pd.read_csv(out / "scores.csv")) == 3 * 2 * 8
    assert {ALL, "mine"} <= set(pd.read_csv(out / "summary.csv")["stratum"])
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["config"]["splits"] == 2
    assert provenance["strata"]["mine"] == names[:2]
    # One draw more does that draw alone; the first two come from the folder.
    given[given.index("--splits") + 1] = "3"
    assert main([*map(str, given)]) == 0
    assert len(fits) == 48
    # Other data settings are other runs.
    assert main([*map(str, [*given, "--seed", "1"])]) == 0
    assert len(fits) == 96


def test_errors_on_the_command_line(folder, tmp_path, capsys) -> None:
    given = ["bench", "cells", folder / "w" / "cells.h5ad", "--graph", folder / "graph", "--out", tmp_path, "--quiet"]
    for more, message in (
        (["--models", "knm", "--min-cells", "10"], "unknown model 'knm'"),
        (["--models", "knn", "--min-cells", "10", "--groups", "mine"], "cannot read the group 'mine'"),
        (["--models", "knn", "--min-cells", "10", "--control", "ctl"], "control"),
        (["--models", "knn", "--protocol", "leave-two-out"], "leave-one-out"),
    ):
        assert main([*map(str, [*given, *more])]) != 0
        assert message in capsys.readouterr().err
