"""FittingModule: the one LightningModule. It calls ``model.loss`` and logs what it returns."""

import math
import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.fitting.config import FitConfig
from gnnvcell.fitting.hooks import FloorWatch, Monitored, StepAware
from gnnvcell.fitting.optimizer import decayed_names, lr_factor, make_optimizer, schedule
from gnnvcell.fitting.transfer import AXES, named_axes


class FittingModule(pl.LightningModule):
    """A model as Lightning wants it.

    Training metrics are means over the steps since they were last logged, summed up on the device, so that no step
    waits for them.

    Args:
        model: an ``nn.Module`` with ``loss(batch)`` (``Trainable``).
        config: settings.
        total_steps: steps of the optimiser in the run.
    """

    def __init__(self, model: nn.Module, config: FitConfig, total_steps: int) -> None:
        super().__init__()
        self.model = model
        self.fit_config, self.total_steps = config, total_steps
        self._decayed = decayed_names(self)
        self._sums: dict[str, Tensor] = {}
        self._batches, self._cells, self._since = 0, 0, time.monotonic()
        self._newest: Mapping[str, Any] = {}  # the last batch, for monitors
        self._watch = FloorWatch(model.monitor_floors if isinstance(model, Monitored) else {})

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        values, self._newest = self._loss(batch), batch
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._batches, self._cells = self._batches + 1, self._cells + number_of_cells(batch)
        return values["loss"]

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Log the losses of a batch, weighted by the number of its samples."""
        values = {f"val/{name}": value for name, value in self._loss(batch).items()}
        samples = len(next(iter(batch.values())))
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=samples, sync_dist=True, logger=False)

    def _loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = self.model.loss(batch)  # type: ignore[operator]
        if "loss" not in values:
            raise ModelError("the model's losses have no 'loss'", found=", ".join(values))
        return values

    def on_train_start(self) -> None:
        """Begin to measure."""
        self._since = time.monotonic()

    def on_validation_start(self) -> None:
        """Stop the clock."""
        self._paused = time.monotonic()

    def on_validation_end(self) -> None:
        """Start it again."""
        self._since += time.monotonic() - self._paused

    def training_metrics(self) -> dict[str, float]:
        """Means since the last call, over all processes; learning rate; cells per second of all; peak memory in GiB.

        Each process must call this.

        Raises:
            ModelError: the loss is not finite.
        """
        seconds = time.monotonic() - self._since
        sums = torch.stack([total.float() for total in self._sums.values()]) / self._batches
        over_all: Any = self.trainer.strategy.reduce(sums, reduce_op="mean")
        means = {f"train/{name}": value for name, value in zip(self._sums, over_all.tolist(), strict=True)}
        rate = self._cells / seconds if seconds > 0 else 0.0
        monitored = self._monitored()
        self._sums, self._batches, self._cells, self._since = {}, 0, 0, time.monotonic()
        if not math.isfinite(means["train/loss"]):
            raise ModelError(
                f"the loss is {means['train/loss']} at step {self.trainer.global_step}",
                remedy="lower fit.optimizer.lr or fit.clip, or use 32-true precision",
            )
        settings = self.fit_config.optimizer
        return {
            **means,
            **{f"train/{name}": value for name, value in monitored.items()},
            "lr": settings.lr * lr_factor(self.trainer.global_step - 1, settings, self.total_steps),
            "cells_per_second": rate * self.trainer.world_size,
            "peak_memory_gib": peak_memory(self.device) / 2**30,
        }

    def _monitored(self) -> dict[str, float]:
        """The model's monitors on the last batch, means over all processes; a warning where one is below its floor."""
        if not isinstance(self.model, Monitored):
            return {}
        with torch.no_grad():
            found = self.model.monitors(self._newest)
        over_all: Any = self.trainer.strategy.reduce(torch.stack([one.float() for one in found.values()]), "mean")
        values = dict(zip(found, over_all.tolist(), strict=True))
        self._watch.look(values, self.trainer.global_step)
        return values

    def optimizer_step(self, *given: Any, **named: Any) -> None:
        """Step, and let the model do what it does after a step."""
        super().optimizer_step(*given, **named)
        if isinstance(self.model, StepAware):
            self.model.after_step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what rows and columns stand for, so that another run can take them over by name."""
        checkpoint[AXES] = named_axes(self.model)

    def configure_optimizers(self) -> Any:
        """AdamW with its schedule, stepped after each step."""
        optimizer = make_optimizer(self, self.fit_config.optimizer, self._decayed)
        plan = schedule(optimizer, self.fit_config.optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plan, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm over all parameters; sharded ones know how to do that themselves."""
        if gradient_clip_val is None:
            return
        sharded: Any = self.trainer.strategy.model
        if hasattr(sharded, "clip_grad_norm_"):
            sharded.clip_grad_norm_(gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)


def number_of_cells(batch: Mapping[str, Tensor]) -> int:
    """Cells of a batch: those of its sets, or its samples where it has none."""
    sets = batch.get(keys.CELL_MASK)
    if sets is None:
        sets = batch.get(keys.PERTURBED_CELLS)
        return len(next(iter(batch.values()))) if sets is None else sets.shape[0] * sets.shape[1]
    return sets.numel()


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: of the GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    # The kernel counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
