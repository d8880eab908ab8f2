import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from gnnvcell.errors import ConfigError, DependencyError, FileFormatError, ModelError
from gnnvcell.fitting import FitConfig, OptimizerConfig, fit
from gnnvcell.fitting.checkpoint_file import read_checkpoint
from gnnvcell.fitting.fit_model import total_steps

from .models import Net, batches, same, weights

QUICK = dict(max_steps=12, val_every=5, log_every=4, loggers=("csv",), optimizer=OptimizerConfig(lr=0.05))


def quick(**changes) -> FitConfig:
    return FitConfig(**{**QUICK, **changes})


class Interrupting:
    """A loader that sends a signal to this process when it has given so many batches."""

    def __init__(self, loader, after: int, number: int = signal.SIGINT) -> None:
        self.loader, self.after, self.number, self.given = loader, after, number, 0

    def __iter__(self):
        for batch in self.loader:
            self.given += 1
            if self.given == self.after:
                os.kill(os.getpid(), self.number)
            yield batch


def test_learns_and_reports(tmp_path) -> None:
    model = Net(dropout=0)
    train, val = batches(6), batches(2, seed=1)
    before = torch.stack([model.loss(batch)["loss"] for batch in val]).mean().item()
    result = fit(model, train, val, config=quick(max_steps=60), out_dir=tmp_path / "run", progress=False)
    after = torch.stack([model.loss(batch)["loss"] for batch in val]).mean().item()
    assert result.steps == 60
    assert result.best_score == pytest.approx(after, rel=1e-5)
    assert after < 0.1 * before
    assert not result.stopped_early
    table = pd.read_csv(tmp_path / "run" / "metrics.csv")
    pd.testing.assert_frame_equal(table, result.history, check_dtype=False)
    assert {"train/loss", "train/root", "val/loss", "val/root", "lr", "cells_per_second"} <= set(table)
    assert table["step"].tolist() == sorted({0, *range(4, 61, 4), *range(5, 61, 5)})
    assert result.best is not None
    assert set(read_checkpoint(result.best)["state_dict"]) == {f"model.{name}" for name in model.state_dict()}


def test_the_training_log_is_the_mean_of_its_steps() -> None:
    model, train = Net(dropout=0), batches(4)
    still = quick(max_steps=4, optimizer=OptimizerConfig(lr=1e-12, warmup=0))
    result = fit(model, train, config=still, progress=False)
    expected = np.mean([model.loss(batch)["loss"].item() for batch in train])
    assert result.history["train/loss"].iloc[-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"accumulate": 3},
        {"ema": 0.8},
        {"accumulate": 2, "ema": 0.8, "checkpoint_every": 2},
        {"precision": "bf16-mixed"},
    ],
    ids=["plain", "accumulate", "ema", "accumulate-ema", "bf16"],
)
@pytest.mark.parametrize("after", [4, 9])
def test_resumed_runs_end_with_the_same_bits(tmp_path, settings, after) -> None:
    config, train, val = quick(**settings), batches(7), batches(2, seed=1)
    whole = Net()
    expected = fit(whole, train, val, config=config, out_dir=tmp_path / "whole", progress=False)
    last = read_checkpoint(tmp_path / "whole" / "checkpoints" / "last.ckpt")
    parts = Net()
    out = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        fit(parts, Interrupting(train, after), val, config=config, out_dir=out, progress=False)
    torch.rand(5)
    parts = Net(seed=5)
    done = fit(parts, train, val, config=config, out_dir=out, resume=True, progress=False)
    assert same(weights(parts), weights(whole))
    assert (done.best_score, done.best_step, done.steps) == (expected.best_score, expected.best_step, 12)
    again = read_checkpoint(out / "checkpoints" / "last.ckpt")
    assert same(again["state_dict"], last["state_dict"])
    assert same(again.get("current_model_state", {}), last.get("current_model_state", {}))
    columns = ["step", "val/loss", "lr"]  # the mean of training losses that was cut in two differs
    pd.testing.assert_frame_equal(done.history[columns], expected.history[columns])


def test_sigterm_stops_cleanly_too(tmp_path, capsys) -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored in background jobs
    with pytest.raises(KeyboardInterrupt):
        fit(Net(), Interrupting(batches(9), 5, signal.SIGTERM), config=quick(), out_dir=tmp_path, progress=False)
    assert "stopped after step" in capsys.readouterr().err
    assert 4 <= read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] <= 6
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    train, val = batches(3), batches(1, seed=1)
    first, again = Net(), Net(seed=3)
    fit(first, train, val, config=quick(), out_dir=tmp_path, progress=False)
    result = fit(again, train, val, config=quick(), out_dir=tmp_path, resume=True, progress=False)
    assert same(weights(first), weights(again))
    assert result.steps == 12
    assert len(result.history)


def test_ema_weights_are_validated_and_kept(tmp_path) -> None:
    train, val = batches(3), batches(1, seed=1)
    model = Net(dropout=0)
    start = weights(model)
    config = quick(ema=0.9, max_steps=2, val_every=2, clip=None, optimizer=OptimizerConfig(lr=0.1, schedule="constant"))
    fit(model, train, val, config=config, out_dir=tmp_path, progress=False)
    saved = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    name = "layers.0.weight"
    assert torch.equal(model.state_dict()[name], saved["state_dict"][f"model.{name}"])
    # The first update takes the weights over; the second mixes: e = 0.9 w1 + 0.1 w2.
    raw = saved["current_model_state"][f"model.{name}"]
    moved = (model.state_dict()[name] - start[name]).abs().mean()
    assert moved < (raw - start[name]).abs().mean()
    assert model.state_dict()["rows"].tolist() == [7, 3]


def test_training_that_makes_a_model_worse_leaves_it_as_it_was() -> None:
    train = [{"x": one["x"], "y": torch.full_like(one["y"], 5.0)} for one in batches(3)]
    val = [{"x": torch.zeros(2, 3), "y": torch.zeros(2, 1)}]

    class Still(Net):
        def forward(self, x):
            return super().forward(x) * 0 + self.shift

        def __init__(self):
            super().__init__(dropout=0)
            self.shift = nn.Parameter(torch.zeros(1))

    model = Still()
    result = fit(model, train, val, config=quick(), progress=False)
    assert (result.best_step, result.best_score, float(model.shift)) == (0, 0.0, 0.0)
    model = Still()
    fit(model, train, val, config=quick(validate_first=False), progress=False)
    assert float(model.shift) > 0


def test_stops_early_and_takes_the_best(tmp_path) -> None:
    class Worse(Net):
        def loss(self, batch):
            values = super().loss(batch)
            return values if self.training else {"loss": torch.tensor(self.score())}

        def score(self) -> float:
            self.calls = getattr(self, "calls", 0) + 1
            return [4.0, 3.0, 1.0, 2.0, 2.5, 1.5][self.calls - 1]

    config = quick(max_steps=100, val_every=2, patience=3)
    result = fit(Worse(), batches(3), batches(1), config=config, out_dir=tmp_path, progress=False)
    assert (result.steps, result.best_step, result.best_score, result.stopped_early) == (10, 4, 1.0, True)
    resumed = fit(Worse(), batches(3), batches(1), config=config, out_dir=tmp_path, resume=True, progress=False)
    assert (resumed.steps, resumed.stopped_early) == (10, True)


def test_validating_more_often_changes_nothing(tmp_path) -> None:
    ends = []
    for every in (2, 12):
        out = tmp_path / str(every)
        fit(Net(), batches(5), Drawing(), config=quick(val_every=every), out_dir=out, progress=False)
        ends.append(read_checkpoint(out / "checkpoints" / "last.ckpt")["state_dict"])
    assert same(*ends)


class Drawing:
    """Validation data that draw random numbers."""

    def __iter__(self):
        torch.rand(3)
        np.random.rand()  # noqa: NPY002
        return iter(batches(1))


def test_the_global_generators_are_left_alone() -> None:
    train = batches(2)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fit(Net(), train, config=quick(max_steps=2), progress=False)
    assert torch.equal(torch.rand(1), expected)


def test_epochs_bound_steps() -> None:
    assert total_steps([1, 2, 3], quick(max_epochs=2, accumulate=4)) == 2
    assert total_steps([1, 2, 3], quick(max_epochs=200)) == 12
    with pytest.raises(ConfigError, match="knows how many batches"):
        total_steps(iter([1]), quick(max_epochs=2))


def test_old_checkpoints_are_removed(tmp_path) -> None:
    fit(Net(), batches(3), config=quick(checkpoint_every=2, keep=2), out_dir=tmp_path, progress=False)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "last.ckpt",
        "step=000000010.ckpt",
        "step=000000012.ckpt",
    ]


def test_tensorboard_is_written(tmp_path) -> None:
    fit(Net(), batches(3), config=quick(loggers=("tensorboard",)), out_dir=tmp_path, progress=False)
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert not (tmp_path / "metrics.csv").exists()


class Diverging(Net):
    def loss(self, batch):
        return {"loss": super().loss(batch)["loss"] * float("nan")}


COMPILED = """
import torch
from torch import nn
from gnnvcell.fitting import FitConfig, fit

class Inner(nn.Linear):
    def forward(self, x):
        return super().forward(x).tanh()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = Inner(2, 4), nn.Linear(4, 1)
    def loss(self, batch):
        return {"loss": (self.outer(self.inner(batch["x"])) - batch["y"]).square().mean()}
    def compiled_parts(self):
        return [self.inner]

torch.set_num_threads(1)
seen = []
def backend(graph, inputs):
    seen.append(graph)
    return graph.forward
compile_with = torch.compile
torch.compile = lambda part, **options: compile_with(part, backend=backend, **options)
batches = [{"x": torch.rand(4, 2), "y": torch.rand(4, 1)} for _ in range(3)]
eager, compiled = Net(), Net()
settings = dict(max_steps=6, val_every=3, ema=0.5, loggers=())
fit(eager, batches, batches, config=FitConfig(**settings), progress=False)
assert not seen
fit(compiled, batches, batches, config=FitConfig(**settings, compile=True), progress=False)
assert seen
assert compiled.inner._compiled_call_impl is None
for name, value in eager.state_dict().items():
    torch.testing.assert_close(compiled.state_dict()[name], value)
"""


def test_compiled_parts_train_alike_and_are_as_before_afterwards() -> None:
    """In a process of its own: the compiler does not get along with shapes that are checked at run time."""
    ran = subprocess.run([sys.executable, "-c", COMPILED], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_bad_use(tmp_path) -> None:
    train = batches(2)
    with pytest.raises(ConfigError, match="stopping early needs validation data"):
        fit(Net(), train, config=quick(patience=2), progress=False)
    with pytest.raises(ModelError, match=r"Linear has no method loss\(batch\)"):
        fit(nn.Linear(2, 2), train, config=quick(), progress=False)
    with pytest.raises(ModelError, match="the loss is nan at step 4"):
        fit(Diverging(), train, config=quick(), progress=False)
    with pytest.raises(ConfigError, match="cannot be averaged"):
        fit(Net(), train, config=quick(strategy="fsdp", ema=0.9), progress=False)
    with pytest.raises(ConfigError, match="Net names no part to compile"):
        fit(Net(), train, config=quick(compile=True), progress=False)
    with pytest.raises(ConfigError, match="no folder to keep the run in"):
        fit(Net(), train, config=quick(), resume=True, progress=False)
    loader = torch.utils.data.DataLoader([1, 2], batch_size=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="2 processes would all read the same batches"):
        fit(Net(), loader, config=quick(devices=2), progress=False)
    with pytest.raises(ConfigError, match=r"validation gives no 'val/los'\n.*did you mean 'val/loss'"):
        fit(Net(), train, train, config=quick(monitor="val/los"), progress=False)
    with pytest.raises(ConfigError, match=r"bad value for 'monitor'"):
        FitConfig.parse({"monitor": "train/loss"})


def test_a_folder_holds_one_run(tmp_path) -> None:
    train = batches(2)
    fit(Net(), train, config=quick(), out_dir=tmp_path, progress=False)
    with pytest.raises(ConfigError, match="holds a run already"):
        fit(Net(), train, config=quick(), out_dir=tmp_path, progress=False)
    with pytest.raises(ConfigError, match="begun with other settings"):
        fit(Net(), train, config=quick(max_steps=20), out_dir=tmp_path, resume=True, progress=False)


def test_damaged_checkpoint(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(FileFormatError, match="cannot be read as a checkpoint"):
        read_checkpoint(path)


def test_wandb_is_an_extra(tmp_path) -> None:
    pytest.importorskip("lightning")
    if __import__("importlib").util.find_spec("wandb") is not None:
        pytest.skip("wandb is installed")
    with pytest.raises(DependencyError, match=r"gnnvcell\[wandb\]"):
        fit(Net(), batches(2), config=quick(wandb_project="p"), out_dir=tmp_path, progress=False)
