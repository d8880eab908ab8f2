import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.models.state_transition import StateTransition

CONFIG = """
[data]
split = "{folder}/split.toml"

[model]
encoders = ["onehot"]
hidden_dim = 8
layers = 1
heads = 2
set_size = 8
sets_per_batch = 4

[fit]
max_steps = 6
val_every = 3
validate_first = false
loggers = ["csv"]
"""


@pytest.fixture
def settings(files, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(folder=files))
    return str(path)


def test_train(settings, tmp_path, capsys) -> None:
    overrides = ["fit.max_steps=4", "model.hidden_dim=4"]
    assert main(["train", settings, *overrides, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "ended after 4 steps" in out
    assert f"the model is in {tmp_path / 'run' / 'model'}" in out
    assert StateTransition.load(tmp_path / "run").config.hidden_dim == 4


def test_bad_input(settings, tmp_path, capsys) -> None:
    assert main(["train", settings, "fit.max_step=4", "--out", str(tmp_path / "run")]) == 2
    assert "did you mean 'max_steps'" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "confg.toml"), "--out", str(tmp_path / "run")]) == 2
    assert "did you mean 'config.toml'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_command_goes_on_to_the_same_bits(settings, tmp_path) -> None:
    command = [sys.executable, "-m", "gnnvcell.cli.main", "train", settings, "fit.devices=2"]
    command += ["fit.accelerator=cpu", "fit.max_steps=40", "fit.val_every=10", "fit.validate_first=true"]
    command += ["model.dropout=0.1", "--quiet", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run([*command, str(whole)], env=environment, check=True, timeout=300, capture_output=True)
    running = subprocess.Popen([*command, str(parts)], env=environment, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    while not (parts / "checkpoints" / "last.ckpt").exists() and time.monotonic() - began < 240:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    errors = running.communicate(timeout=240)[1]
    assert (running.returncode, "interrupted" in errors) in ((130, True), (0, False)), errors
    done = subprocess.run(
        [*command, str(parts), "--resume"], env=environment, timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    models = [StateTransition.load(folder) for folder in (whole, parts)]
    for name, value in models[0].network.state_dict().items():
        assert np.array_equal(value.numpy(), models[1].network.state_dict()[name].numpy()), name


@pytest.mark.slow
def test_two_processes_train_the_model_as_one_does(settings, tmp_path) -> None:
    tables = []
    for processes in (1, 2):
        run = tmp_path / str(processes)
        command = [sys.executable, "-m", "gnnvcell.cli.main", "train", settings, "--quiet", "--out", str(run)]
        command += [f"fit.devices={processes}", f"model.sets_per_batch={4 // processes}", "fit.accelerator=cpu"]
        # Nothing is drawn at random, and a gradient that is zero but for rounding is not scaled up to a step.
        command += ["fit.max_steps=20", "fit.val_every=5", "fit.log_every=1", "fit.optimizer.eps=1e-3"]
        command += ["model.hide_targets=0.0"]
        done = subprocess.run(command, timeout=300, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "the model is in" in done.stdout
        tables.append(pd.read_csv(run / "metrics.csv"))
    for name in ("train/loss", "val/loss"):
        pd.testing.assert_series_equal(tables[0][name], tables[1][name], rtol=1e-4)


def test_settings_may_stand_behind_the_flags(settings, tmp_path, capsys) -> None:
    command = ["train", settings, "fit.max_steps=2", "--out", str(tmp_path / "run"), "--quiet", "fit.val_every=2"]
    assert main([*command, "model.hidden_dim=4"]) == 0
    assert "step 2\n" in capsys.readouterr().out
    assert StateTransition.load(tmp_path / "run").config.hidden_dim == 4
    with pytest.raises(SystemExit):
        main([*command, "--no-such-flag"])
    assert "unrecognized arguments: --no-such-flag" in capsys.readouterr().err
