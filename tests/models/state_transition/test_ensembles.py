"""Ensembles of models of cells: by seed and by draw, interrupted and resumed, on disk."""

import inspect
import json
import shutil

import numpy as np
import pytest

import gnnvcell
from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError
from gnnvcell.models.state_transition import StateTransition
from gnnvcell.models.uncertainty.ensemble import Ensemble, EnsembleConfig

from .conftest import QUICK

NAMES = ["P1", "P2+P4"]


def config(**settings) -> EnsembleConfig:
    own = {**QUICK, "encoders": ["graph"], **settings.pop("settings", {})}
    return EnsembleConfig.parse({"model": "state_transition", "settings": own, "members": 2, **settings})


@pytest.fixture(scope="module")
def ensemble(cells: Cells, graph) -> Ensemble:
    return Ensemble(config()).fit(cells, graph, seed=1)


def test_spread_of_members_by_seed(ensemble: Ensemble) -> None:
    found = ensemble.predict(NAMES)
    assert found.spread is not None
    assert (found.spread > 0).any()
    parts = np.stack([member.predict(NAMES).values for member in ensemble.members])
    np.testing.assert_allclose(found.spread, parts.std(axis=0, ddof=1), atol=1e-6)
    assert ensemble.target_sum == 1e4


def test_a_draw_keeps_the_controls(cells: Cells, graph) -> None:
    drawn = Ensemble(config(vary="perturbations", share=0.5)).fit(cells, graph)
    members: list = drawn.members
    seen = [member.training_perturbations for member in members]
    assert seen[0] != seen[1]
    assert all(len(names) <= len(cells.perturbations) / 2 for names in seen)
    assert drawn.variance_factor == 1.0


def test_on_disk(ensemble: Ensemble, tmp_path) -> None:
    ensemble.save(tmp_path / "e")
    again, found = gnnvcell.load(tmp_path / "e").predict(NAMES), ensemble.predict(NAMES)
    assert (again.values == found.values).all()
    assert (again.spread == found.spread).all()


def test_interrupted_and_resumed_it_is_the_same(ensemble: Ensemble, cells: Cells, graph, tmp_path, monkeypatch) -> None:
    fit, calls = StateTransition.fit, []

    def interrupted(self, *args, **kwargs):
        calls.append(kwargs["seed"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    interrupted.__signature__ = inspect.signature(fit)  # type: ignore[attr-defined]
    monkeypatch.setattr(StateTransition, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Ensemble(config()).fit(cells, graph, seed=1, out_dir=tmp_path / "e")
    with pytest.raises(ConfigError, match="holds an ensemble already"):
        Ensemble(config()).fit(cells, graph, seed=1, out_dir=tmp_path / "e")
    resumed = Ensemble(config()).fit(cells, graph, seed=1, out_dir=tmp_path / "e", resume=True)
    assert calls == [1, 2, 2]  # the first member was read
    assert (resumed.predict(NAMES).values == ensemble.predict(NAMES).values).all()


def test_a_folder_of_something_else(cells: Cells, graph, tmp_path) -> None:
    folder = tmp_path / "e"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no ensemble"):
        Ensemble(config()).fit(cells, graph, out_dir=folder)
    (folder / "ensemble.json").write_text(json.dumps({**config().model_dump(mode="json"), "seed": 4}))
    with pytest.raises(ConfigError, match=r"other settings\n  expected: seed = 4\n  found: seed = 0"):
        Ensemble(config()).fit(cells, graph, out_dir=folder, resume=True)


def test_a_member_that_was_interrupted_goes_on(ensemble: Ensemble, cells: Cells, graph, tmp_path) -> None:
    folder = tmp_path / "e"
    Ensemble(config()).fit(cells, graph, seed=1, out_dir=folder)
    shutil.rmtree(folder / "member-1" / "model")  # as if it had stopped before its end
    resumed = Ensemble(config()).fit(cells, graph, seed=1, out_dir=folder, resume=True)
    assert (resumed.predict(NAMES).values == ensemble.predict(NAMES).values).all()
