"""Interruption: Ctrl-C and SIGTERM end a run where a step is complete, and leave it saved."""

import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from gnnvcell.fitting.checkpoints import Checkpoints, at_step_end, validates_now


class RunInterrupted(Exception):  # noqa: N818 - not an error, but what ends the loop
    """Training was stopped from outside, after ``step`` steps; what there was is saved."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.step = step


class Interruption(Callback):
    """Waits for the end of a step, saves, and stops; a second signal stops at once.

    Where several processes train together, a signal to any of them stops all at the same step.

    Args:
        checkpoints: what saves the run.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints, self._wanted = checkpoints, False
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Listen."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in self.SIGNALS}

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True
        self.close()

    def close(self) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop here, unless gradients or a validation are still due."""
        if at_step_end(trainer) and not validates_now(trainer) and self._wanted_by_any(trainer):
            self._stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Stop after the validation."""
        if self._wanted_by_any(trainer):
            self._stop(trainer)

    def _wanted_by_any(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return self._wanted
        return trainer.strategy.reduce_boolean_decision(self._wanted, all=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        self._checkpoints.save_last(trainer)
        raise RunInterrupted(trainer.global_step)
