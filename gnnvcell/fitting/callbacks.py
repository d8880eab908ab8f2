"""What happens around steps: random generators, logs, and the line of progress."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from gnnvcell.fitting.checkpoints import at_step_end
from gnnvcell.fitting.module import FittingModule
from gnnvcell.fitting.processes import gathered
from gnnvcell.fitting.randomness import VALIDATION, random_state, seed_everything, set_random_state


class Randomness(Callback):
    """Seeds the generators of each process, saves and restores them, and gives validation its own.

    Args:
        seed: with the rank, of all generators.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._restored: dict[str, Any] | None = None
        self._training: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Save the generators of all processes."""
        checkpoint["random_states"] = gathered(self._training or random_state())

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Take them, for when training begins."""
        states = checkpoint["random_states"]
        # Other processes than before cannot give the same bits; they get generators of their own.
        self._restored = states[trainer.global_rank] if len(states) == trainer.world_size else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Seed, or go on."""
        if self._restored is not None:
            set_random_state(self._restored)
        else:
            seed_everything(self._seed, trainer.global_rank, trainer.global_step)
        self._restored = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Every validation draws the same."""
        self._training = random_state()
        seed_everything(self._seed, trainer.global_rank, VALIDATION)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Training goes on with what it had."""
        if self._training is not None:
            set_random_state(self._training)
        self._training = None


class Logs(Callback):
    """Hands the module's metrics to the loggers, and shows the progress.

    Args:
        every: steps from one line to the next.
        progress: whether to show a bar on stderr.
    """

    def __init__(self, every: int, progress: bool) -> None:
        self._every, self._progress = every, progress
        self._bar: Any = None
        self._shown: dict[str, str] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: FittingModule) -> None:
        """Open the bar where the run is."""
        self._bar = tqdm(
            total=pl_module.total_steps,
            initial=trainer.global_step,
            desc="training",
            unit="step",
            disable=not (self._progress and trainer.is_global_zero),
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: FittingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log where it is due."""
        if not at_step_end(trainer):
            return
        self._bar.update(1)
        if trainer.global_step % self._every and trainer.global_step != pl_module.total_steps:
            return
        metrics = pl_module.training_metrics()
        self._log(trainer, metrics)
        self._show(
            loss=f"{metrics['train/loss']:.4g}",
            cells=f"{metrics['cells_per_second']:,.0f}/s",
            memory=f"{metrics['peak_memory_gib']:.1f} GiB",
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: FittingModule) -> None:
        """Log the scores."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self._log(trainer, scores)
        for logger in trainer.loggers:
            logger.save()
        if "val/loss" in scores:
            self._show(val=f"{scores['val/loss']:.4g}")

    def _log(self, trainer: pl.Trainer, metrics: dict[str, float]) -> None:
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.global_step)

    def _show(self, **texts: str) -> None:
        self._shown.update(texts)
        self._bar.set_postfix(self._shown)

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class FirstValidation(Callback):
    """Validates before the first step."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: FittingModule) -> None:
        """Not in a run that goes on."""
        if trainer.global_step == 0:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True


class LastValidation(Callback):
    """Makes Lightning validate after the last step, wherever that falls."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: FittingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The loop validates when it is told to stop."""
        if trainer.global_step >= pl_module.total_steps and at_step_end(trainer):
            trainer.should_stop = True
