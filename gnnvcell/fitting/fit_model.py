"""fit: train a model that knows its own loss."""

import contextlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from gnnvcell.errors import ConfigError, DependencyError, ModelError
from gnnvcell.fitting.callbacks import FirstValidation, LastValidation, Logs, Randomness
from gnnvcell.fitting.checkpoint_file import read_checkpoint
from gnnvcell.fitting.checkpoints import BEST, FOLDER, LAST, Checkpoints, WholeFiles
from gnnvcell.fitting.config import FitConfig
from gnnvcell.fitting.history import History
from gnnvcell.fitting.interruption import Interruption, RunInterrupted
from gnnvcell.fitting.module import FittingModule
from gnnvcell.fitting.processes import is_distributed
from gnnvcell.fitting.randomness import random_apart
from gnnvcell.fitting.stream import Numbered, Pass, Stream
from gnnvcell.fitting.trainable import Compilable, Trainable


@dataclass(frozen=True, eq=False)
class FitResult:
    """What came out of training.

    Args:
        steps: steps of the optimiser, those of earlier sessions of the run among them.
        best_score: lowest value of the monitored score; None without validation.
        best_step: its step; the model has the weights of then.
        stopped_early: whether it ended because the score no longer became better.
        seconds: of this session.
        history: (logged steps, metrics); NaN where a metric was not logged.
        last, best: checkpoints; None where there is no folder or no validation.
    """

    steps: int
    best_score: float | None
    best_step: int | None
    stopped_early: bool
    seconds: float
    history: pd.DataFrame
    last: Path | None
    best: Path | None


def fit(
    model: nn.Module,
    train_loader: Any,
    val_loader: Any = None,
    *,
    config: FitConfig | None = None,
    out_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> FitResult:
    """Train a model; afterwards it has the weights of its best validation, or the last ones without validation.

    The folder of a run: ``checkpoints/last.ckpt`` and ``best.ckpt``, ``metrics.csv``, ``tensorboard/``. A run that was
    interrupted and is resumed ends with the bits of one that was not, on the same machine and with as many processes.
    Several processes are started by Lightning, which runs the script again in each (or by torchrun or SLURM). The
    global random generators are left as they were.

    Args:
        model: with ``loss(batch)`` (``Trainable``).
        train_loader: batches of a pass (``Stream`` says what else it may offer). Gone through as often as needed.
        val_loader: batches that are the same in every pass, and no part of training.
        config: settings.
        out_dir: folder of the run; None writes nothing.
        resume: go on from ``last.ckpt``.
        progress: show a bar on stderr.

    Raises:
        ConfigError: early stopping without validation, compilation of a model that names no part for it, a folder that
            holds another run, a run resumed with other settings, or a loader that several processes do not share.
        ModelError: the model has no loss, no parameter to train, or its loss is no longer finite.
        DataError: the training loader gives no batch.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the run was saved first, if it has a folder.

    Example:
        >>> class Line(torch.nn.Linear):
        ...     def loss(self, batch):
        ...         return {"loss": (self(batch["x"]) - batch["y"]).square().mean()}
        >>> batches = [{"x": torch.ones(4, 2), "y": torch.zeros(4, 1)}]
        >>> fit(Line(2, 1), batches, config=FitConfig(max_steps=3), progress=False).steps
        3
    """
    config, folder = config or FitConfig(), Path(out_dir) if out_dir is not None else None
    _check(model, train_loader, val_loader, config)
    saved = _saved(folder, config, resume)
    total = total_steps(train_loader, config)
    checkpoints = Checkpoints(folder / FOLDER if folder else None, config)
    history = History(folder / "metrics.csv" if folder and "csv" in config.loggers else None, _step(saved))
    module = FittingModule(model, config, total)
    began, was_training = time.monotonic(), model.training
    steps, stopped = _step(saved) or 0, _stopped_early(saved, config)
    if steps >= total or stopped:
        checkpoints.load_state_dict(_state_of(saved, Checkpoints))
    else:
        with _quiet(), random_apart(), _determinism_as_before(), _compiled(model, config):
            trainer = _trainer(config, folder, total, val_loader is not None, checkpoints, history, progress)
            stream = Stream(train_loader, total * config.accumulate, config.seed)
            resumed_from = folder / FOLDER / LAST if folder and resume else None
            _run(trainer, module, stream, val_loader, resumed_from)
        steps, stopped = trainer.global_step, _early_stop_of(trainer)
    _take_best(module, checkpoints)
    model.train(was_training)
    scored = checkpoints.best_step >= 0
    return FitResult(
        steps=steps,
        best_score=checkpoints.best_score if scored else None,
        best_step=checkpoints.best_step if scored else None,
        stopped_early=stopped,
        seconds=time.monotonic() - began,
        history=history.table(),
        last=folder / FOLDER / LAST if folder else None,
        best=folder / FOLDER / BEST if folder and scored else None,
    )


def total_steps(train_loader: Any, config: FitConfig) -> int:
    """Steps of the optimiser in a run.

    Raises:
        ConfigError: ``max_epochs`` for a loader that does not know its length.
    """
    if config.max_epochs is None:
        return config.max_steps
    if isinstance(train_loader, Numbered):
        batches = train_loader.batches_of(config.max_epochs, _processes(config))
    elif hasattr(train_loader, "__len__"):
        batches = len(train_loader) * config.max_epochs
    else:
        raise ConfigError(
            "max_epochs needs a loader that knows how many batches it has",
            found=type(train_loader).__name__,
            remedy="give max_steps instead",
        )
    return min(config.max_steps, max(1, math.ceil(batches / config.accumulate)))


def _processes(config: FitConfig) -> int:
    """Number of processes that train together."""
    devices = config.devices
    if devices == "auto":
        gpu = config.accelerator != "cpu" and torch.cuda.is_available()
        devices = torch.cuda.device_count() if gpu else 1
    return devices * config.num_nodes


def _check(model: nn.Module, train_loader: Any, val_loader: Any, config: FitConfig) -> None:
    if not isinstance(model, Trainable):
        raise ModelError(f"{type(model).__name__} has no method loss(batch)", remedy="see gnnvcell.fitting.Trainable")
    if val_loader is None and config.patience is not None:
        raise ConfigError(
            "stopping early needs validation data",
            found="no validation loader",
            remedy="hold out a validation part, or set patience to None",
        )
    if config.compile and not isinstance(model, Compilable):
        raise ConfigError(f"{type(model).__name__} names no part to compile", remedy="set compile to false")
    if config.strategy == "fsdp" and config.ema is not None:
        raise ConfigError("weights that are shared out (fsdp) cannot be averaged", remedy="set ema to None")
    alone = isinstance(train_loader, DataLoader) and not isinstance(train_loader.dataset, IterableDataset)
    if _processes(config) > 1 and alone and not isinstance(train_loader.sampler, DistributedSampler):
        raise ConfigError(
            f"{_processes(config)} processes would all read the same batches",
            expected="a loader that shares its samples out among them",
            remedy="use CellSets.loader, or a DataLoader with a DistributedSampler",
        )


def _saved(folder: Path | None, config: FitConfig, resume: bool) -> dict[str, Any] | None:
    """The checkpoint that is gone on from, once it is clear that the folder may be used."""
    if folder is None:
        if resume or config.strategy == "fsdp":
            raise ConfigError("there is no folder to keep the run in", remedy="give out_dir")
        return None
    last = folder / FOLDER / LAST
    if not resume:
        if last.exists() and not _is_child():
            raise ConfigError(f"{folder} holds a run already", remedy="resume it, or give another folder")
        return None
    saved = read_checkpoint(last)
    was, now = _state_of(saved, Checkpoints)["outcome"], config.outcome()
    changed = [name for name in now if was.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise ConfigError(
            f"the run in {folder} was begun with other settings",
            expected=f"{name} = {was.get(name)}",
            found=f"{name} = {now[name]}",
            remedy="resume with the same settings, or begin another run",
        )
    return saved


def _is_child() -> bool:
    """Whether this process was started by another one of the same run, which may have begun to write."""
    import os

    return int(os.environ.get("LOCAL_RANK", 0)) > 0


def _state_of(saved: dict[str, Any] | None, kind: type[Callback]) -> dict[str, Any]:
    """The state of a callback in a checkpoint."""
    states = (saved or {}).get("callbacks", {})
    return next((state for key, state in states.items() if key.startswith(kind.__name__)), {})


def _step(saved: dict[str, Any] | None) -> int | None:
    return None if saved is None else int(saved["global_step"])


def _stopped_early(saved: dict[str, Any] | None, config: FitConfig) -> bool:
    waited = _state_of(saved, EarlyStopping).get("wait_count", 0)
    return config.patience is not None and waited >= config.patience


def _early_stop_of(trainer: pl.Trainer) -> bool:
    stopping = trainer.early_stopping_callback
    return stopping is not None and stopping.wait_count >= stopping.patience


def _trainer(
    config: FitConfig,
    folder: Path | None,
    total: int,
    validates: bool,
    checkpoints: Checkpoints,
    history: History,
    progress: bool,
) -> pl.Trainer:
    plugins: list[Any] = [WholeFiles()]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # Interruption saves; the job script resumes
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=_strategy(config),
        precision=config.precision,
        plugins=plugins,
        max_steps=total,
        max_epochs=-1,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip,
        val_check_interval=config.val_every * config.accumulate if validates else None,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=_callbacks(config, validates, checkpoints, progress),
        logger=[history, *_loggers(config, folder)],
        deterministic=config.deterministic,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _callbacks(config: FitConfig, validates: bool, checkpoints: Checkpoints, progress: bool) -> list[Callback]:
    """In the order in which they act: what changes the state of a run before what saves it."""
    callbacks: list[Callback] = [Randomness(config.seed)]
    if config.ema is not None:
        # Buffers are taken over as they are: averages of whole numbers would be wrong.
        callbacks.append(EMAWeightAveraging(decay=config.ema, use_buffers=False))
    if validates:
        callbacks.append(LastValidation())
    callbacks.append(Logs(config.log_every, progress))
    if config.patience is not None:
        callbacks.append(EarlyStopping(config.monitor, patience=config.patience, mode="min"))
    callbacks += [checkpoints, Interruption(checkpoints)]
    if validates and config.validate_first:
        callbacks.append(FirstValidation())  # when all others are ready
    return callbacks


def _strategy(config: FitConfig) -> Any:
    timeout = timedelta(seconds=config.timeout)
    if config.strategy == "fsdp":
        from functools import partial

        from lightning.pytorch.strategies import FSDPStrategy
        from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

        policy = partial(size_based_auto_wrap_policy, min_num_params=1_000_000)
        return FSDPStrategy(auto_wrap_policy=policy, state_dict_type="full", timeout=timeout)
    if config.strategy == "ddp" or _processes(config) > 1:
        from lightning.pytorch.strategies import DDPStrategy

        return DDPStrategy(timeout=timeout, gradient_as_bucket_view=True)
    return "auto"


def _loggers(config: FitConfig, folder: Path | None) -> list[Any]:
    loggers: list[Any] = []
    if folder is not None and "tensorboard" in config.loggers:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    if config.wandb_project is not None:
        try:
            import wandb  # noqa: F401  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise DependencyError(
                "logging to Weights & Biases needs wandb", remedy="pip install 'gnnvcell[wandb]'"
            ) from error
        from lightning.pytorch.loggers import WandbLogger

        loggers.append(WandbLogger(project=config.wandb_project, save_dir=folder or "."))
    return loggers


def _run(trainer: pl.Trainer, module: FittingModule, stream: Stream, val_loader: Any, resumed: Path | None) -> None:
    validation = Pass(val_loader) if val_loader is not None else None
    had_group = is_distributed()
    try:
        trainer.fit(module, stream, validation, ckpt_path=resumed, weights_only=True)
    except RunInterrupted as stop:
        if trainer.is_global_zero:
            print(stop, file=sys.stderr)
        raise KeyboardInterrupt from None
    finally:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Logs | Interruption):
                callback.close()
        if is_distributed() and not had_group:
            torch.distributed.destroy_process_group()


def _take_best(module: FittingModule, checkpoints: Checkpoints) -> None:
    """Give the model the weights of its best validation."""
    if checkpoints.best_step < 0:
        return
    weights = checkpoints.best_weights
    if checkpoints.folder is not None:
        weights = read_checkpoint(checkpoints.folder / BEST)["state_dict"]
    module.load_state_dict(weights or {})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's banners, and its warnings about what is meant to be so."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _compiled(model: nn.Module, config: FitConfig) -> Iterator[None]:
    """With the model's parts compiled in place, so that the names of weights stay, and as they were afterwards."""
    parts = list(model.compiled_parts()) if config.compile and isinstance(model, Compilable) else []
    for part in parts:
        part.compile()
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None  # what Module.compile sets; torch has no way to take it back


@contextlib.contextmanager
def _determinism_as_before() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
