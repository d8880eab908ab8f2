"""When a run is saved, and how: whole files that load without executing anything."""

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from gnnvcell.errors import ConfigError, ModelError, did_you_mean
from gnnvcell.files import atomic_path
from gnnvcell.fitting.checkpoint_file import read_checkpoint
from gnnvcell.fitting.config import FitConfig

FOLDER, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"


class WholeFiles(TorchCheckpointIO):
    """Checkpoints written whole or not at all, and read as tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; see ``read_checkpoint``."""
        return read_checkpoint(path)


class Checkpoints(Callback):
    """Keeps ``last.ckpt``, ``best.ckpt`` and the newest of the regular checkpoints of a run.

    A run is saved where a step is complete, and after the validation that is due there, so that what is resumed goes on
    as if nothing had happened.

    Args:
        folder: where the files go; None keeps the best weights in memory.
        config: settings.
    """

    def __init__(self, folder: Path | None, config: FitConfig) -> None:
        self.folder, self.config = folder, config
        self.best_score, self.best_step = math.inf, -1
        self.best_weights: dict[str, torch.Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best_score": self.best_score, "best_step": self.best_step, "outcome": self.config.outcome()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a best score."""
        self.best_score, self.best_step = state_dict["best_score"], state_dict["best_step"]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save where it is due, and at the end of a run without validation."""
        if not at_step_end(trainer) or validates_now(trainer):
            return
        every = self.config.checkpoint_every
        if (every and trainer.global_step % every == 0) or trainer.global_step >= pl_module.total_steps:
            self._save_regular(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save the run, and its weights where they are the best so far."""
        score = self._score(trainer)
        if score < self.best_score:
            self.best_score, self.best_step = score, trainer.global_step
            self._save_best(trainer)
        self._save_regular(trainer)

    def _score(self, trainer: pl.Trainer) -> float:
        monitor, found = self.config.monitor, [name for name in trainer.callback_metrics if name.startswith("val/")]
        if monitor not in found:
            raise ConfigError(f"validation gives no {monitor!r}", remedy=did_you_mean(monitor, found))
        score = float(trainer.callback_metrics[monitor])
        if not math.isfinite(score):
            raise ModelError(f"{monitor} is {score} at step {trainer.global_step}", remedy="lower fit.optimizer.lr")
        return score

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write ``last.ckpt``; each process must call this."""
        if self.folder is not None:
            trainer.save_checkpoint(self.folder / LAST)

    def _save_best(self, trainer: pl.Trainer) -> None:
        if self.folder is not None:
            trainer.save_checkpoint(self.folder / BEST)
            return
        dump = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        self.best_weights = {name: value.detach().cpu().clone() for name, value in dump["state_dict"].items()}

    def _save_regular(self, trainer: pl.Trainer) -> None:
        self.save_last(trainer)
        every = self.config.checkpoint_every
        if self.folder is None or not self.config.keep or not every or trainer.global_step % every:
            return
        trainer.save_checkpoint(self.folder / f"step={trainer.global_step:09d}.ckpt")
        if trainer.is_global_zero:
            for old in sorted(self.folder.glob("step=*.ckpt"))[: -self.config.keep]:
                old.unlink()


def at_step_end(trainer: pl.Trainer) -> bool:
    """Whether no gradients wait for the rest of their step."""
    return not trainer.fit_loop.epoch_loop._should_accumulate()


def validates_now(trainer: pl.Trainer) -> bool:
    """Whether a validation follows the batch that has just been trained on."""
    loop = trainer.fit_loop
    return loop._data_fetcher is not None and loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
