"""Training of any model that knows its own loss, with Lightning, which is imported when it is needed."""

from typing import TYPE_CHECKING, Any

from gnnvcell.fitting.config import FitConfig
from gnnvcell.fitting.optimizer import OptimizerConfig, decay_groups, lr_factor, make_optimizer, schedule
from gnnvcell.fitting.trainable import Trainable

if TYPE_CHECKING:
    from gnnvcell.fitting.fit import FitResult, fit

__all__ = [
    "FitConfig",
    "FitResult",
    "OptimizerConfig",
    "Trainable",
    "decay_groups",
    "fit",
    "lr_factor",
    "make_optimizer",
    "schedule",
]


def __getattr__(name: str) -> Any:
    if name in ("FitResult", "fit"):
        from importlib import import_module

        module = import_module("gnnvcell.fitting.fit")
        # The package's attribute of this name would else be the submodule.
        globals()["fit"], globals()["FitResult"] = module.fit, module.FitResult
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
