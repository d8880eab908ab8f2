"""Training of any model that knows its own loss, with Lightning, which is imported when it is needed."""

import importlib
from typing import TYPE_CHECKING, Any

from gnnvcell.fitting.adapters import AdapterConfig, add_adapters, freeze, merge_adapters
from gnnvcell.fitting.checkpoint_file import read_checkpoint
from gnnvcell.fitting.config import FitConfig
from gnnvcell.fitting.optimizer import OptimizerConfig, decay_groups, lr_factor, make_optimizer, schedule
from gnnvcell.fitting.trainable import Compilable, Trainable
from gnnvcell.fitting.transfer import TransferReport, init_from

if TYPE_CHECKING:
    from gnnvcell.fitting.fit_model import FitResult, fit

__all__ = [
    "AdapterConfig",
    "Compilable",
    "FitConfig",
    "FitResult",
    "OptimizerConfig",
    "Trainable",
    "TransferReport",
    "add_adapters",
    "decay_groups",
    "fit",
    "freeze",
    "init_from",
    "lr_factor",
    "make_optimizer",
    "merge_adapters",
    "read_checkpoint",
    "schedule",
]


def __getattr__(name: str) -> Any:
    if name in ("FitResult", "fit"):
        return getattr(importlib.import_module("gnnvcell.fitting.fit_model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
