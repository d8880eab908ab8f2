"""Stages: at once or one by one, resumed, and out of order."""

import json
import shutil
import signal

import numpy as np
import pytest
import torch

from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.fitting import FitConfig
from gnnvcell.models.jepa.network import JepaNetwork
from gnnvcell.models.jepa.stages import require_stages, settings_of

from .conftest import STAGE

NAMES = ["G1", "G2+G1"]


@pytest.fixture(scope="module")
def at_once(new, cells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "at_once"
    return folder, new("graph").fit(cells, out_dir=folder)


def same(first, second) -> bool:
    return bool((first.predict(NAMES).values == second.predict(NAMES).values).all())


def test_one_by_one_gives_the_bits_of_all_at_once(new, cells, tmp_path, at_once):
    folder, model = at_once
    for stages in (("pretrain",), ("action",), ("decode",)):
        own = new("graph")  # a process of its own
        own.fit(cells, stages=stages, out_dir=tmp_path / "run")
        assert list(own.results) == list(stages)
    assert same(own, model)
    for stage in ("pretrain", "action", "decode"):
        about = json.loads((folder / stage / "stage.json").read_text())
        assert about["steps"] == 4
        assert (folder / stage / "checkpoints" / about["checkpoint"]).is_file()


def test_one_by_one_in_memory(new, cells, at_once):
    model = new("graph").fit(cells, stages=("pretrain",))
    with pytest.raises(ModelError, match=r"cannot predict before the stage 'decode'(.|\n)*stages: pretrain\n"):
        model.predict(NAMES)
    model.fit(cells, stages=("action",))
    model.fit(cells, stages=("decode",))
    assert same(model, at_once[1])


def test_stages_that_are_over_are_passed_over_when_resumed(new, cells, tmp_path, at_once):
    run = tmp_path / "run"
    shutil.copytree(at_once[0], run)
    for gone in ("decode/stage.json", "decode/checkpoints/last.ckpt", "decode/checkpoints/best.ckpt"):
        (run / gone).unlink()
    model = new("graph").fit(cells, out_dir=run, resume=True)
    assert list(model.results) == ["decode"]
    assert same(model, at_once[1])
    again = new("graph").fit(cells, out_dir=run, resume=True)
    assert again.results == {}
    assert same(again, model)
    with pytest.raises(ConfigError, match="holds a run already"):
        new("graph").fit(cells, out_dir=run)


def test_stages_out_of_order(new, cells, tmp_path, at_once):
    message = r"stages out of order: 'action'(.|\n)*no teacher checkpoint in (.|\n)*train 'pretrain' first"
    with pytest.raises(ModelError, match=message):
        new("graph").fit(cells, stages=("action",), out_dir=tmp_path / "run")
    with pytest.raises(ModelError, match="no teacher checkpoint in memory"):
        new("graph").fit(cells, stages=("action",))
    shutil.copytree(at_once[0], tmp_path / "half", ignore=lambda folder, names: {"action", "decode"} & set(names))
    with pytest.raises(ModelError, match="no checkpoint of the stage 'action'"):
        new("graph").fit(cells, stages=("decode",), out_dir=tmp_path / "half")
    (tmp_path / "half" / "pretrain" / "stage.json").unlink()
    with pytest.raises(ModelError, match=r"'pretrain' was begun and is not over(.|\n)*--resume"):
        new("graph").fit(cells, stages=("action",), out_dir=tmp_path / "half")


def test_names_and_order_of_stages(new):
    config = new("graph").config
    assert require_stages(None, config) == ["pretrain", "action", "decode"]
    assert require_stages(None, config.model_copy(update={"skip": ("pretrain",)})) == ["action", "decode"]
    with pytest.raises(ConfigError, match=r"stages out of order\n  expected: pretrain, action, decode"):
        require_stages(("action", "pretrain"), config)
    with pytest.raises(ConfigError, match="did you mean 'pretrain'"):
        require_stages(("pretrian",), config)
    with pytest.raises(ConfigError, match="to be trained and to be skipped"):
        require_stages(("action",), config.model_copy(update={"skip": ("action",)}))


def test_skipped_stages_are_no_gap(new, cells, tmp_path):
    model = new("graph", skip=("pretrain",)).fit(cells, stages=("action", "decode"), out_dir=tmp_path / "run")
    assert model.history == "stages: action, decode (a control; skipped on purpose: pretrain)"
    assert not (tmp_path / "run" / "pretrain").exists()


def test_a_stage_that_is_trained_again_changes_what_it_trains_alone(new, cells):
    model = new("v0.3").fit(cells)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    model.fit(cells, stages=("decode",))
    after = model.network.state_dict()
    assert {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])} == {"decoder"}


def test_what_all_stages_share(new):
    config = new("graph").config
    found = settings_of("action", config, FitConfig(precision="bf16-mixed", devices=2), 7)
    assert (found.precision, found.devices, found.seed, found.max_steps) == ("bf16-mixed", 2, 7, STAGE["max_steps"])
    with pytest.raises(ConfigError, match=r"max_steps is set for all stages(.|\n)*model.pretrain.max_steps"):
        settings_of("action", config, FitConfig(max_steps=5), 7)


def test_a_run_stopped_within_a_stage_goes_on_with_the_same_bits(new, cells, tmp_path, at_once, monkeypatch):
    """The stage is cut off after half of its steps, as by Ctrl-C."""
    run, half = tmp_path / "run", new("graph")
    after, steps = JepaNetwork.after_step, []

    def stop(self) -> None:
        after(self)
        steps.append(self.stage)
        if steps == ["pretrain"] * 4 + ["action"] * 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(JepaNetwork, "after_step", stop)
    with pytest.raises(KeyboardInterrupt):
        half.fit(cells, out_dir=run)
    monkeypatch.undo()
    assert not (run / "action" / "stage.json").exists()
    model = new("graph").fit(cells, out_dir=run, resume=True)
    assert list(model.results) == ["action", "decode"]
    assert model.results["action"].steps == 4
    np.testing.assert_array_equal(model.predict(NAMES).values, at_once[1].predict(NAMES).values)
