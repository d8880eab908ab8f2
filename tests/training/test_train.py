import json

import numpy as np
import pandas as pd
import pytest
import torch

from gnnvcell.errors import ConfigError, GnnvcellError, GnnvcellWarning
from gnnvcell.fitting import read_checkpoint
from gnnvcell.models.cell_model import CellModel
from gnnvcell.models.state_transition import StateTransition
from gnnvcell.training import TrainConfig, train

from .conftest import QUICK_FIT, QUICK_MODEL


def config(files, **changes) -> TrainConfig:
    values = {"data": {"split": str(files / "split.toml")}, "model": QUICK_MODEL, "fit": QUICK_FIT}
    return TrainConfig.parse({**values, **changes})


def same_predictions(first: CellModel, second: CellModel) -> bool:
    one, other = (model.predict(["P0", "P6"], context="a").values for model in (first, second))
    return np.array_equal(one, other)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(config(files), folder, progress=False)


def test_a_run_leaves_settings_logs_and_a_model_that_predicts_the_same(run) -> None:
    settings = json.loads((run.folder / "run.json").read_text())["settings"]
    assert settings["model"]["hidden_dim"] == 8
    assert settings["model"]["set_size"] == 8
    assert settings["fit"]["optimizer"]["weight_decay"] == 0.01
    assert pd.read_csv(run.folder / "metrics.csv")["val/loss"].notna().sum() == 2
    assert run.fit.steps == 6
    loaded = StateTransition.load(run.folder)
    assert same_predictions(run.model, loaded)
    assert "the model is in" in str(run)


def test_the_folder_is_kept_to_its_run(files, run) -> None:
    with pytest.raises(ConfigError, match="holds a run already"):
        train(config(files), run.folder, progress=False)
    changed = config(files, model={**QUICK_MODEL, "hidden_dim": 16})
    with pytest.raises(ConfigError, match=r"expected: model.hidden_dim = 8\n  found: model.hidden_dim = 16"):
        train(changed, run.folder, resume=True, progress=False)
    elsewhere = config(files, fit={**QUICK_FIT, "checkpoint_every": 2})
    again = train(elsewhere, run.folder, resume=True, progress=False)
    assert same_predictions(again.model, run.model)
    other = run.folder.parent / "other"
    other.mkdir()
    (other / "note.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty, and holds no run"):
        train(config(files), other, resume=True, progress=False)


def test_a_run_that_failed_before_its_first_step_leaves_the_folder_free(files, tmp_path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(GnnvcellError, match="no file"):
        train(config(files, data={"cells": str(tmp_path / "absent.h5ad")}), folder, progress=False)
    assert (folder / "run.json").exists()
    train(config(files), folder, progress=False)
    assert "split" in json.loads((folder / "run.json").read_text())["settings"]["data"]


def test_targets_without_features_are_counted_and_named(files, tmp_path) -> None:
    esm = config(files, model={**QUICK_MODEL, "encoders": ["esm"]}, features={"esm": str(files / "esm.pt")})
    with pytest.warns(GnnvcellWarning, match="1 of 5 targets have no features in .*esm.pt, .* learned vector: P0"):
        result = train(esm, tmp_path / "run", progress=False)
    assert np.isfinite(result.model.predict(["P0", "P7"], context="a").values).all()


def test_begins_with_weights_of_another_run(files, run, tmp_path) -> None:
    still = {**QUICK_FIT, "max_steps": 1, "val_every": 1, "optimizer": {"lr": 1e-12}}
    source = run.folder / "checkpoints" / "best.ckpt"
    result = train(config(files, fit=still, init_from=str(source)), tmp_path / "run", progress=False)
    assert result.transfer is not None
    weights = read_checkpoint(source)["state_dict"]
    own = result.model.network.state_dict()
    name = next(name for name in own if name.startswith("transformer") and own[name].dim() == 2)
    torch.testing.assert_close(own[name], weights[f"model.{name}"])
    assert name in result.transfer.taken


@pytest.mark.parametrize(
    "tuning", [{"adapters": {"layers": ["transformer.*"], "rank": 2}}, {"freeze": ["transformer"]}, {}]
)
def test_a_trained_model_is_tuned_to_a_new_context(files, run, tmp_path, tuning) -> None:
    values = {
        "data": {"cells": str(files / "three.h5ad")},
        "fit": {**QUICK_FIT, "optimizer": {"lr": 0.01}},
        "tuning": {"run": str(run.folder), **tuning},
    }
    tuned = train(TrainConfig.parse(values), tmp_path / "run", progress=False).model
    before, after = run.model.network.state_dict(), tuned.network.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    inner = {name for name in changed if name.startswith("transformer")}
    assert changed
    assert bool(inner) == ("freeze" not in tuning)
    assert (changed == inner) == ("adapters" in tuning)
    loaded = StateTransition.load(tmp_path / "run")
    assert same_predictions(loaded, tuned)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"hidden": 3}}, "did you mean 'hidden_dim'"),
        ({"model": {"name": "state_transitoin"}}, "did you mean 'state_transition'"),
        ({"model": {"preset": "tinny"}}, "did you mean 'tiny'"),
        ({"source_dir": "x"}, "no graph is given"),
        ({"model": {**QUICK_MODEL, "encoders": ["graph"]}}, "needs a gene graph"),
    ],
)
def test_bad_settings_of_a_run(files, tmp_path, changes, message) -> None:
    with pytest.raises(Exception, match=message):
        train(config(files, **changes), tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"training": {}}}, r"stand under \[fit\]"),
        ({"tuning": {"run": "r"}, "model": {"layers": 2}}, "brings its own model"),
        ({"model": {}, "tuning": {"run": "r", "adapters": {}, "freeze": ["a"]}}, "adapters or freeze"),
        ({"fit": {"max_step": 3}}, "did you mean 'max_steps'"),
    ],
)
def test_settings_that_do_not_fit(files, changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        config(files, **changes)


def test_a_whole_cell_type_may_be_held_out_for_validation(files, tmp_path) -> None:
    split = tmp_path / "zeroshot.toml"
    split.write_text(
        f'[datasets]\none = "{files}/one.h5ad"\ntwo = "{files}/two.h5ad"\n'
        '[training]\none = "train"\n[zeroshot]\n"two.b" = "val"\n'
    )
    result = train(config(files, data={"split": str(split)}), tmp_path / "run", progress=False)
    assert result.fit.best_score is not None
