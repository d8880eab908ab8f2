"""FitConfig: how a model is trained."""

from typing import Literal

from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.fitting.optimizer import OptimizerConfig

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]

# Settings that say where and how a run is carried out, not what comes out of it: a run may be resumed with others.
OF_THE_MACHINE = frozenset(
    {"accelerator", "devices", "num_nodes", "strategy", "timeout", "checkpoint_every", "keep", "loggers", "log_every"}
    | {"wandb_project", "compile"}
)


class FitConfig(Config):
    """Settings of training.

    Args:
        optimizer: settings of the optimiser.
        max_steps: steps of the optimiser.
        max_epochs: passes over the training loader after which training ends, where that comes before ``max_steps``.
        val_every: steps from one validation to the next; the last step is validated too.
        validate_first: validate before the first step too: training that makes a model worse then leaves it as it was.
        patience: validations without a better score after which training stops; None never stops early.
        monitor: name of the score, "val/..."; lower is better. Its best weights are kept.
        clip: largest norm of the gradient; None leaves it as it is.
        accumulate: batches whose gradients make one step.
        precision: of the arithmetic.
        compile: compile the parts that the model names (``Compilable``) with ``torch.compile``.
        ema: decay of an exponential moving average of the weights, which is then validated and kept; None for none.
        accelerator: "auto" takes the GPU where there is one.
        devices: processes on each machine, or "auto".
        num_nodes: machines.
        strategy: how several processes share the work: "ddp", or "fsdp", which also shares out the weights.
        timeout: seconds after which a process gives up waiting for the others.
        checkpoint_every: steps from one ``last.ckpt`` to the next; None writes it at validations only.
        keep: number of checkpoints kept besides ``last.ckpt`` and ``best.ckpt``: the newest of ``checkpoint_every``.
        loggers: "csv" writes metrics.csv, "tensorboard" its event files.
        log_every: steps from one line of the training log to the next, which is the mean over these steps.
        wandb_project: project of Weights & Biases to log to; None for none.
        seed: of everything random in training and validation.
        deterministic: whether operations without a deterministic form are refused.
    """

    optimizer: OptimizerConfig = OptimizerConfig()
    max_steps: int = Field(default=10_000, ge=1)
    max_epochs: int | None = Field(default=None, ge=1)
    val_every: int = Field(default=500, ge=1)
    validate_first: bool = True
    patience: int | None = Field(default=None, ge=1)
    monitor: str = Field(default="val/loss", pattern="^val/.+")
    clip: float | None = Field(default=1.0, gt=0)
    accumulate: int = Field(default=1, ge=1)
    precision: Precision = "32-true"
    compile: bool = False
    ema: float | None = Field(default=None, gt=0, lt=1)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = Field(default=1, ge=1)
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    timeout: float = Field(default=1800.0, gt=0)
    checkpoint_every: int | None = Field(default=None, ge=1)
    keep: int = Field(default=0, ge=0)
    loggers: tuple[Literal["csv", "tensorboard"], ...] = ("csv", "tensorboard")
    log_every: int = Field(default=20, ge=1)
    wandb_project: str | None = None
    seed: int = Field(default=0, ge=0)
    deterministic: bool = False

    def outcome(self) -> dict:
        """The settings that decide what comes out, as plain values: those that a resumed run must share."""
        return self.model_dump(mode="json", exclude=set(OF_THE_MACHINE))
