from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from gnnvcell.cli.main import main
from gnnvcell.data import Cells, EffectTable, cell_effects
from gnnvcell.data.emission import EmissionConfig, emit_cells, emit_to
from gnnvcell.data.emission.draws import draw_counts, mean_log1p
from gnnvcell.data.emission.templates import counts_of_log1p
from gnnvcell.data.simulator import ScreenConfig, SimulatorConfig, simulate, simulate_screen
from gnnvcell.errors import DataError

SMALL = SimulatorConfig(genes=80, modules=4, targets=10, control_cells=200, cells_per_target=40)


def dense(adata: ad.AnnData) -> np.ndarray:
    matrix: Any = adata.X
    return matrix.toarray()


@pytest.fixture(scope="module")
def world():
    return simulate(SMALL)


@pytest.fixture(scope="module")
def controls(world):
    return Cells.of(world.cells)


@pytest.fixture(scope="module")
def effects(controls):
    return cell_effects(controls, keep_targets=True)


@pytest.fixture(scope="module")
def emitted(effects, controls):
    return emit_cells(effects, controls, EmissionConfig(cells=150), progress=False)


def test_emitted_cells_have_the_predicted_effects(emitted, effects) -> None:
    found = cell_effects(Cells.of(emitted), keep_targets=True, matching="context")
    order = [found.perturbations.tolist().index(name) for name in effects.perturbations]
    off = np.abs(found.values[order] - effects.values)
    assert off.mean() < 0.02  # a molecule more or less in a cell
    for emitted_delta, wanted in zip(found.values[order], effects.values, strict=True):
        assert np.corrcoef(emitted_delta, wanted)[0, 1] > 0.97


def test_emitted_cells_look_like_real_ones(world, emitted, controls) -> None:
    values: Any = emitted.X
    assert values.dtype == np.float32
    assert (values.data == np.floor(values.data)).all()
    for name in controls.perturbations[:4]:
        real = controls.take(np.flatnonzero(controls.code == controls.perturbation_code(name))).toarray()
        made = values[np.flatnonzero(emitted.obs["target_gene"] == name)].toarray()
        assert len(np.unique(made, axis=0)) == len(made)
        assert made.sum(axis=1).mean() == pytest.approx(real.sum(axis=1).mean(), rel=0.15)
        assert (made == 0).mean() == pytest.approx((real == 0).mean(), abs=0.03)
        ratio = np.median(np.log1p(made).var(axis=0) / np.maximum(np.log1p(real).var(axis=0), 1e-9))
        assert 0.7 < ratio < 1.4


def test_no_change_gives_the_controls_mean_and_controls_are_written(effects, controls) -> None:
    none = EffectTable(effects.values * 0, effects.measured, effects.perturbations, effects.genes, kind="delta")
    adata = emit_cells(none, controls, EmissionConfig(cells=120, output="log1p"), progress=False)
    is_control = (adata.obs["target_gene"] == "non-targeting").to_numpy()
    assert is_control.sum() == controls.is_control.sum()
    values: Any = adata.X
    means = [np.asarray(values[rows].mean(axis=0)).ravel() for rows in (is_control, ~is_control)]
    assert np.abs(means[0] - means[1]).mean() < 0.02
    assert set(adata.obs["batch"]) == set(controls.batches)


def test_draws_reach_any_mean_up_and_down() -> None:
    rng = np.random.default_rng(0)
    templates = sp.csr_array(rng.poisson(2.0, (300, 60)).astype(np.float64))
    total = np.asarray(templates.sum(axis=1)).ravel()
    before = mean_log1p(templates, total, 1e3)
    wanted = before.copy()
    wanted[:6] += [-before[0], -0.5, 0.0, 0.3, 0.6, 0.9]
    drawn = draw_counts(templates, total, wanted, np.full(60, 0.2), 1e3, np.random.default_rng(1))
    assert not drawn[:, [0]].sum()
    found = mean_log1p(drawn, np.asarray(drawn.sum(axis=1)).ravel(), 1e3)
    np.testing.assert_allclose(found, wanted, atol=0.06)


def test_counts_come_back_from_log1p_values() -> None:
    counts = np.random.default_rng(0).poisson(1.5, (20, 30)).astype(np.float64)
    counts[:, 0] = 1
    logged = sp.csr_array(np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4))
    np.testing.assert_array_equal(counts_of_log1p(logged).toarray(), counts)
    with pytest.raises(DataError, match="turned back into counts"):
        counts_of_log1p(sp.csr_array(np.random.default_rng(0).random((20, 30))))


def test_same_seed_same_bits_in_memory_and_on_disk(tmp_path, effects, controls, emitted) -> None:
    few = effects.take([0, 1])
    config = EmissionConfig(cells=30, seed=5)
    first = dense(emit_cells(few, controls, config, progress=False))
    emit_to(tmp_path / "x.h5ad", few, controls, config, progress=False)
    read = Cells.open(tmp_path / "x.h5ad")
    assert (read.take(np.arange(len(read))).toarray() == first).all()
    assert set(read.obs["target_gene"]) == {"non-targeting", *few.perturbations.tolist()}
    other = dense(emit_cells(few, controls, EmissionConfig(cells=30, seed=6), progress=False))
    assert (other != first).any()


def test_command(tmp_path, effects, world, capsys) -> None:
    effects.take([0, 1, 2]).save(tmp_path / "e.h5ad")
    world.cells.write_h5ad(tmp_path / "c.h5ad")
    out = tmp_path / "p.h5ad"
    assert main(["data", "emit", str(tmp_path / "e.h5ad"), str(tmp_path / "c.h5ad"), "--out", str(out), "--quiet"]) == 0
    assert "3 perturbations x 100 cells" in capsys.readouterr().out
    assert len(Cells.open(out)) == 500


def test_bad_input_is_refused(effects, controls, world) -> None:
    def table(values, genes=effects.genes, kind="delta"):
        return EffectTable(values, np.ones_like(values, bool), effects.perturbations, genes, kind=kind)

    with pytest.raises(DataError, match="natural log units"):
        emit_cells(table(effects.values + 100), controls)
    with pytest.raises(DataError, match="no gene in common"):
        emit_cells(table(effects.values, [f"X{i}" for i in range(len(effects.genes))]), controls)
    with pytest.raises(DataError, match="kind 'de'"):
        emit_cells(table((effects.values > 0).astype(float), kind="de"), controls)
    perturbed = controls.take_cells(controls.code >= 0)
    with pytest.raises(DataError, match="no cell is a control"):
        emit_cells(effects, perturbed)
    scaled = world.cells.copy()
    scaled.X = dense(scaled) - 1.0
    with pytest.raises(DataError, match="templates of counts"):
        emit_cells(effects, Cells.of(scaled))


@pytest.mark.slow
def test_genes_without_a_prediction_keep_the_controls_mean(effects, controls) -> None:
    few = EffectTable(
        effects.values[:1, :5], np.ones((1, 5), bool), effects.perturbations[:1], effects.genes[:5], kind="delta"
    )
    adata = emit_cells(few, controls, EmissionConfig(cells=200), progress=False)
    assert adata.uns["emission"]["genes_without_prediction"] == len(effects.genes) - 5
    found = cell_effects(Cells.of(adata), keep_targets=True, matching="context")
    assert np.abs(found.values[0, 5:]).mean() < 0.02


def test_effects_of_several_cell_types_are_made_from_their_own_controls(tmp_path) -> None:
    world = SimulatorConfig(genes=80, modules=4, targets=6, control_cells=150, cells_per_target=20)
    simulate_screen(tmp_path / "s", ScreenConfig(world=world, cell_types=2, silent=0.4), progress=False)
    cells = Cells.open(tmp_path / "s" / "cells.h5ad")
    effects = cell_effects(cells, keep_targets=True)
    made = Cells.of(emit_cells(effects, cells, EmissionConfig(cells=60), progress=False))
    assert made.contexts.tolist() == ["type1", "type2"]
    found = cell_effects(made, keep_targets=True, matching="context")
    for name in made.contexts:
        np.testing.assert_allclose(found.control[name], effects.control[name], atol=1e-5)
        for a, b in zip(found.of_context(name).values, effects.of_context(name).values, strict=True):
            assert np.corrcoef(a, b)[0, 1] > 0.9
    one = effects.take([0])
    elsewhere = EffectTable(one.values, one.measured, one.perturbations, one.genes, kind="delta", context="type9")
    with pytest.raises(DataError, match="'type9'"):
        emit_cells(elsewhere, cells)
