"""Jepa: fit in stages, predict, save, load, and what it refuses."""

from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, FileFormatError, ModelError
from gnnvcell.models import CELL_MODELS, find_model
from gnnvcell.models.cell_model import ChangesCells
from gnnvcell.models.jepa import Jepa, JepaConfig
from gnnvcell.models.loading import load

from .conftest import GENES, QUICK, STAGE, STAGES, screen

NAMES = ["G1", "G5", "G2+G1", "NOWHERE"]


@pytest.fixture(scope="module", params=["v0.2", "v0.3", "graph"])
def fitted(request, new, cells) -> Jepa:
    return new(request.param).fit(cells)


def test_predicts_any_perturbation_with_names(fitted):
    found = fitted.predict(NAMES)
    assert found.values.shape == (4, len(GENES))
    assert found.genes.tolist() == GENES
    assert found.context == "a"
    assert np.abs(found.values).sum() > 0
    assert (found.spread is not None) == fitted.config.probabilistic
    assert fitted.history == "stages: pretrain, action, decode"
    assert fitted.training_perturbations < set(GENES[:10])


def test_rows_do_not_depend_on_each_other(fitted):
    together = fitted.predict(NAMES).values
    np.testing.assert_allclose(fitted.predict(NAMES[::-1]).values[::-1], together, atol=1e-5)
    np.testing.assert_allclose(fitted.predict(NAMES[:1]).values, together[:1], atol=1e-5)
    np.testing.assert_allclose(fitted.predict(["G1+G2"]).values, together[2:3], atol=1e-5)


def test_saved_and_loaded_predicts_the_same_bits(fitted, tmp_path):
    again = load(fitted.save(tmp_path / "model"))
    assert isinstance(again, Jepa)
    found, before = again.predict(NAMES), fitted.predict(NAMES)
    assert (found.values == before.values).all()
    assert (found.support == before.support).all()
    assert again.config == fitted.config
    assert again.history == fitted.history
    assert (again.change_cells(screen()[:5], NAMES[:1] * 5) == fitted.change_cells(screen()[:5], NAMES[:1] * 5)).all()


def test_cells_become_what_the_mean_says(fitted, cells, tmp_path):
    """Before values below 0 are cut off, the mean change of the cells is the predicted change."""
    control = cells.take_cells(cells.is_control)
    changed = fitted.change_cells(control, ["G1"] * len(control))
    before = Cells.open(fitted.predict_cells(tmp_path / "cells.h5ad", ["G1"], cells=100))
    written = before.take(before.code == 0).toarray()
    assert issubclass(type(fitted), ChangesCells)
    assert (changed >= 0).all()
    np.testing.assert_allclose(np.sort(written.sum(axis=1)), np.sort(changed.sum(axis=1)), rtol=1e-4)
    values = before.take(before.is_control).toarray()
    if not (changed == 0).any() and not fitted.config.pool_cells:
        found = fitted.predict(["G1"]).values[0]
        np.testing.assert_allclose(changed.mean(axis=0) - values.mean(axis=0), found, atol=1e-4)
    table = ad.read_h5ad(tmp_path / "cells.h5ad").uns[keys.PREDICTION]
    assert table[keys.TARGET_GENE].tolist() == ["G1"]


def test_actions_can_be_steered(fitted):
    actions = fitted.actions_of(NAMES[:2]).clone().requires_grad_()
    effects = fitted.effects_of_actions(actions)
    effects.square().sum().backward()
    assert effects.shape == (2, len(GENES))
    assert actions.grad is not None
    assert torch.isfinite(actions.grad).all()
    if fitted.config.pool_cells:
        np.testing.assert_allclose(effects.detach().numpy(), fitted.predict(NAMES[:2]).values, atol=1e-3)


def test_same_seed_same_bits(new, cells):
    first, second = (new("graph").fit(cells, seed=3).predict(NAMES).values for _ in range(2))
    assert (first == second).all()
    assert not (new("graph").fit(cells, seed=4).predict(NAMES).values == first).all()


def test_new_cell_types_by_their_control_cells(new, cells):
    model = new("graph").fit(cells)
    assert model.predict(["G1"], context=screen(contexts=("b",), seed=5)).context == "b"
    with pytest.raises(ModelError, match="not trained in the context 'c'"):
        model.predict(["G1"], context="c")


def test_the_most_expressed_genes_and_the_targets(new):
    data = screen(targets=4)
    values: Any = data.X
    values[:, 10] += 40
    model = new("graph", genes=2).fit(data)
    assert set(model.predict(["G1"]).genes) >= {"G0", "G1", "G2", "G3", "G10"}
    assert len(model.predict(["G1"]).genes) < len(GENES)


def test_controls_say_what_they_are(new, cells):
    untrained = new("graph", skip=("pretrain", "action", "decode")).fit(cells)
    assert untrained.results == {}
    assert untrained.history == "stages: none (a control; skipped on purpose: pretrain, action, decode)"
    assert np.isfinite(untrained.predict(NAMES).values).all()
    shuffled = new("graph", shuffle_labels=True).fit(cells)
    assert "trained on shuffled labels" in shuffled.history
    assert not (shuffled.predict(NAMES).values == new("graph").fit(cells).predict(NAMES).values).all()


def test_monitors_are_in_the_history(fitted):
    for stage, result in fitted.results.items():
        assert result.history["train/latent_std"].notna().any(), stage
    spread = fitted.results["action"].history["train/injected_spread"].dropna()
    # v0.3 looks at one token: every gene gets the same vector.
    assert (spread < 1e-3).all() if fitted.config.action_inputs == ("cross",) else (spread > 1e-2).all()


def test_what_is_refused(new, graph, cells, gene_sets):
    with pytest.raises(ModelError, match="the model was not fitted"):
        new("graph").predict(["G1"])
    with pytest.raises(ModelError, match="needs a gene graph"):
        Jepa(JepaConfig.preset("graph", **QUICK, **STAGES)).fit(cells)
    with pytest.raises(ModelError, match="'esm' is to be read"):
        Jepa(JepaConfig.preset("v0.3", **QUICK, **STAGES)).fit(cells)
    with pytest.raises(ModelError, match=r"no gene sets(.|\n)*GMT file"):
        Jepa(JepaConfig.preset("v0.2", **QUICK, **STAGES), graph=graph).fit(cells)
    with pytest.raises(ModelError, match="too few perturbations"):
        new("graph").fit(cells.take_cells(cells.is_control | (cells.code == 0)))
    with pytest.raises(ConfigError, match="stopping early needs validation"):
        new("graph", validation=0.0, pretrain={**STAGE, "patience": 2}).fit(cells)
    with pytest.raises(ConfigError, match="did you mean 'graph'"):
        JepaConfig.preset("graf")


def test_damaged_folders_are_refused(new, cells, tmp_path):
    path = new("v0.2").fit(cells).save(tmp_path / "model")
    (path / "pathways.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="changed or damaged"):
        Jepa.load(path)
    with pytest.raises(FileFormatError, match="no model is at"):
        Jepa.load(tmp_path / "nowhere")


def test_registered_as_a_model_of_cells():
    assert CELL_MODELS.get("jepa") is Jepa
    assert find_model("jepa") is Jepa
