import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.data import Cells, EffectTable, cell_effects
from gnnvcell.data.simulator import ScreenConfig, SimulatorConfig, screen_truth, simulate_screen
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.graphs.build import build

WORLD = SimulatorConfig(genes=120, modules=6, targets=30, control_cells=200, cells_per_target=30)
CONFIG = ScreenConfig(world=WORLD, cell_types=2, doubles=12, silent=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate_screen(tmp_path_factory.mktemp("screen") / "s", CONFIG, progress=False)


def test_cells_have_the_design_and_show_the_truth(folder) -> None:
    cells = Cells.open(folder / "cells.h5ad")
    assert len(cells) == CONFIG.cells == 2 * (200 + 42 * 30)
    assert cells.contexts.tolist() == ["type1", "type2"]
    assert sum("+" in name for name in cells.perturbations) == 12
    truth = EffectTable.load(folder / "truth" / "effects.h5ad")
    found = cell_effects(cells, keep_targets=True)
    place = {key: row for row, key in enumerate(zip(truth.perturbations, truth.contexts, strict=True))}
    order = [place[key] for key in zip(found.perturbations, found.contexts, strict=True)]
    expressed = np.stack([found.control[c] > 0.3 for c in found.contexts])
    assert np.corrcoef(found.values[expressed], truth.values[order][expressed])[0, 1] > 0.6
    build(folder / "recipe.toml", progress=False)  # the knowledge files stand beside the cells


def test_targets_that_are_off_do_nothing_and_doubles_are_what_they_are_called() -> None:
    truth = screen_truth(CONFIG)
    effects, genes = truth.effects, truth.wiring.genes.tolist()
    for c, name in enumerate(("type1", "type2")):
        table = effects.of_context(name)
        row = dict(zip(table.perturbations.tolist(), table.values, strict=True))
        off = [p for p in row if "+" not in p and not truth.expressed[c, genes.index(p)]]
        assert off
        assert not np.concatenate([row[p] for p in off]).any()
        for double, kind in truth.interactions.items():
            a, b = double.split("+")
            others = ~np.isin(genes, [a, b])
            parts = np.stack([row[a], row[b]])[:, others]
            larger = np.where(np.abs(parts[0]) >= np.abs(parts[1]), *parts)
            wanted = {"additive": parts.sum(axis=0), "synergy": 1.5 * parts.sum(axis=0), "buffering": larger}[kind]
            np.testing.assert_allclose(row[double][others], wanted, atol=1e-6)
    assert set(truth.interactions.values()) == {"additive", "synergy", "buffering"}
    first, second = (effects.of_context(name).values for name in ("type1", "type2"))
    assert not np.allclose(first, second)


def test_same_configuration_same_bits_and_command(folder, tmp_path, capsys) -> None:
    settings = [
        "cell_types=2", "doubles=12", "silent=0.3", "world.genes=120", "world.modules=6", "world.targets=30",
        "world.control_cells=200", "world.cells_per_target=30",
    ]  # fmt: skip
    assert main(["data", "simulate", "--out", str(tmp_path / "t"), "--quiet", "--set", *settings]) == 0
    assert "2,920 cells x 120 genes, 2 cell types" in capsys.readouterr().out
    first, again = (Cells.open(path / "cells.h5ad") for path in (folder, tmp_path / "t"))
    rows = np.arange(0, len(first), 7)
    assert (first.take(rows).toarray() == again.take(rows).toarray()).all()
    pd.testing.assert_frame_equal(first.obs, again.obs)


def test_bad_input_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="doubles do not fit"):
        screen_truth(ScreenConfig(world=WORLD, doubles=10_000))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="not a simulated screen"):
        simulate_screen(tmp_path / "mine", CONFIG, progress=False)
    assert (tmp_path / "mine" / "thesis.txt").exists()
