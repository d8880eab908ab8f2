"""Gene graphs in models of the cell: a graph-neural-network library on DGL.

Knowledge files become one typed gene graph (a DGL heterograph); message passing over it predicts what a perturbation
does to a cell. Sub-packages load on first use, so that ``import gnnvcell`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY_MODULES = (
    "bench",
    "config",
    "data",
    "errors",
    "features",
    "fitting",
    "genes",
    "graphs",
    "metrics",
    "models",
    "nn",
    "ops",
    "perturbation",
    "tasks",
    "training",
)
__all__ = ["StateEmbeddingModel", "__version__", "load", *_LAZY_MODULES]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"gnnvcell.{name}")
    if name == "load":
        return importlib.import_module("gnnvcell.models.loading").load
    if name == "StateEmbeddingModel":
        return importlib.import_module("gnnvcell.models").StateEmbeddingModel
    raise AttributeError(f"module 'gnnvcell' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
