"""Training runs from settings to a model in a folder: ``gnnvcell train``, and the scripts that people know."""

import importlib
from typing import TYPE_CHECKING, Any

from gnnvcell.training.config import DataConfig, FeatureFile, TrainConfig, TuningConfig

if TYPE_CHECKING:
    from gnnvcell.training.training_run import TrainResult, train
    from gnnvcell.training.tuning import tune

__all__ = ["DataConfig", "FeatureFile", "TrainConfig", "TrainResult", "TuningConfig", "train", "tune"]


_MODULES = {"TrainResult": "training_run", "train": "training_run", "tune": "tuning"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"gnnvcell.training.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
