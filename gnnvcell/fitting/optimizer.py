"""AdamW with decay for matrices only, and a learning rate that warms up and falls to a floor."""

import math
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from gnnvcell.config import Config
from gnnvcell.errors import ModelError

# Parameters that stand for things (genes, tokens, batches) rather than for a map between features.
TABLE_NAMES = ("embed", "token", "learned", "table")
# FSDP puts this into the names of what it wraps.
WRAPPED = "_fsdp_wrapped_module."


class OptimizerConfig(Config):
    """Settings of the optimiser.

    Args:
        name: the optimiser.
        lr: highest learning rate.
        betas, eps: of AdamW.
        weight_decay: of matrices (``decay_groups``).
        warmup: steps of linear warm-up: a whole number, or a share of all steps where it is below 1.
        schedule: what follows the warm-up.
        floor: learning rate of the last step, as a share of ``lr``; not used by "constant".
    """

    name: Literal["adamw"] = "adamw"
    lr: float = Field(default=3e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.03, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    floor: float = Field(default=0.3, ge=0, le=1)

    @field_validator("betas")
    @classmethod
    def _betas_are_shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("each beta should be at least 0 and below 1")
        return value

    @field_validator("warmup")
    @classmethod
    def _steps_are_whole(cls, value: float) -> float:
        if value >= 1 and value != int(value):
            raise ValueError("a share of steps below 1, or a whole number of steps")
        return value

    def warmup_steps(self, total_steps: int) -> int:
        """Number of warm-up steps among ``total_steps``."""
        return int(self.warmup) if self.warmup >= 1 else round(self.warmup * total_steps)


def decayed_names(module: nn.Module) -> set[str]:
    """Names of the parameters that are decayed: matrices that map features to features.

    Not decayed: biases, norms, embeddings (``nn.Embedding``, and parameters named so), and vectors, which are whatever
    has fewer than two dimensions that are larger than 1.
    """
    names = set()
    for prefix, owner in module.named_modules():
        if isinstance(owner, nn.Embedding) or "Norm" in type(owner).__name__:
            continue
        for name, parameter in owner.named_parameters(recurse=False):
            is_matrix = sum(size > 1 for size in parameter.shape) >= 2
            if is_matrix and not name.endswith("bias") and not any(word in name for word in TABLE_NAMES):
                names.add(f"{prefix}.{name}" if prefix else name)
    return names


def decay_groups(module: nn.Module, weight_decay: float, decayed: set[str] | None = None) -> list[dict[str, Any]]:
    """Groups of parameters for an optimiser: each parameter that takes a gradient, once.

    Args:
        module: whose parameters.
        weight_decay: of those that are decayed.
        decayed: their names; ``decayed_names`` when left out. Sharded parameters have no shape of their own, so their
            names are taken before sharding.

    Raises:
        ModelError: no parameter takes a gradient.
    """
    chosen = decayed_names(module) if decayed is None else decayed
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in module.named_parameters():  # shared ones come once
        if parameter.requires_grad:
            groups[name.replace(WRAPPED, "") in chosen].append(parameter)
    if not any(groups.values()):
        raise ModelError("no parameter of the model takes a gradient", remedy="freeze less of it")
    decays = {True: weight_decay, False: 0.0}
    return [{"params": members, "weight_decay": decays[key]} for key, members in groups.items() if members]


def make_optimizer(module: nn.Module, config: OptimizerConfig, decayed: set[str] | None = None) -> AdamW:
    """The optimiser of a module; arguments and errors as of ``decay_groups``."""
    groups = decay_groups(module, config.weight_decay, decayed)
    # Fused: one pass over each parameter, on a CPU four times as fast as torch's loop over operations.
    optimizer = AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
    # It could take scaled gradients; Lightning then refuses to clip them. Whoever scales them unscales them first.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def lr_factor(step: int, config: OptimizerConfig, total_steps: int) -> float:
    """Share of ``lr`` at a step.

    With w warm-up steps of T, at step t = 0 ... T-1: (t + 1) / w while t < w; afterwards f + (1 - f) (1 + cos(πp)) / 2
    ("cosine"), f + (1 - f) (1 - p) ("linear") or 1 ("constant"), with p = (t - w + 1) / (T - w) and f = ``floor``.
    The last step has p = 1, and so has every step after it.
    """
    warmup = config.warmup_steps(total_steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup + 1) / max(1, total_steps - warmup))
    left = (1 + math.cos(math.pi * progress)) / 2 if config.schedule == "cosine" else 1 - progress
    return config.floor + (1 - config.floor) * left


def schedule(optimizer: torch.optim.Optimizer, config: OptimizerConfig, total_steps: int) -> LambdaLR:
    """The schedule of an optimiser over ``total_steps``, stepped once after each step of the optimiser."""
    return LambdaLR(optimizer, lambda step: lr_factor(step, config, total_steps))
