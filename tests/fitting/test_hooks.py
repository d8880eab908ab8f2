"""What models do beside their loss: after steps, and numbers that are watched."""

import warnings

import pandas as pd
import pytest
import torch

from gnnvcell.errors import GnnvcellWarning
from gnnvcell.fitting import FitConfig, fit
from gnnvcell.fitting.hooks import FloorWatch

BATCHES = [{"x": torch.ones(4, 2), "y": torch.zeros(4, 1)}, {"x": torch.rand(4, 2), "y": torch.zeros(4, 1)}]


class Watched(torch.nn.Linear):
    """Counts its steps, keeps an average of its weights, and shows their length."""

    average: torch.Tensor

    def __init__(self) -> None:
        super().__init__(2, 1)
        self.monitor_floors = {"length": 0.1}
        self.steps = 0
        self.register_buffer("average", self.weight.detach().clone())
        self.weights = []

    def loss(self, batch):
        return {"loss": (self(batch["x"]) - batch["y"]).square().mean()}

    def after_step(self):
        self.steps += 1
        self.weights.append(self.weight.detach().clone())
        self.average.lerp_(self.weight.detach(), 0.5)

    def monitors(self, batch):
        return {"length": self.weight.norm(), "rows": torch.tensor(float(len(batch["x"])))}


def test_after_each_step_with_the_new_weights() -> None:
    torch.manual_seed(0)
    model = Watched()
    average = model.average.clone()
    result = fit(model, BATCHES, config=FitConfig(max_steps=3, accumulate=2, loggers=()), progress=False)
    assert result.steps == model.steps == 3
    for weight in model.weights:
        average = average.lerp(weight, 0.5)
    torch.testing.assert_close(model.average, average)
    assert not torch.equal(model.weights[0], model.weights[1])


def test_monitors_are_in_the_history_and_the_file(tmp_path) -> None:
    config = FitConfig(max_steps=4, log_every=2, loggers=("csv",))
    result = fit(Watched(), BATCHES, config=config, out_dir=tmp_path, progress=False)
    assert result.history["train/rows"].tolist() == [4, 4]
    assert pd.read_csv(tmp_path / "metrics.csv")["train/length"].count() == 2


def test_a_number_below_its_floor_is_warned_of_once() -> None:
    model = Watched()
    torch.nn.init.zeros_(model.weight)
    config = FitConfig(max_steps=4, log_every=1, loggers=())
    with pytest.warns(GnnvcellWarning, match=r"length is .* at step 1, below 0\.1: the latents collapse") as caught:
        fit(model, [{"x": torch.zeros(4, 2), "y": torch.zeros(4, 1)}], config=config, progress=False)
    assert sum("collapse" in str(one.message) for one in caught) == 1


def test_floors() -> None:
    watch = FloorWatch({"a": 1.0, "b": 1.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.look({"a": 1.0, "c": 0.0}, 1)
    with pytest.warns(GnnvcellWarning, match="a is nan"):
        watch.look({"a": float("nan"), "b": 2.0}, 2)
