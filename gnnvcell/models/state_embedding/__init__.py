"""State embedding (SE): a transformer over the genes of a cell, whose gene tokens know the gene graph."""

import importlib
from typing import TYPE_CHECKING, Any

from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.network import StateEmbedding

if TYPE_CHECKING:
    from gnnvcell.models.state_embedding.embedding import embed_cells, embed_file
    from gnnvcell.models.state_embedding.lightning_model import StateEmbeddingModel
    from gnnvcell.models.state_embedding.nearest import handed_on, nearest_cells
    from gnnvcell.models.state_embedding.perturbing import perturbation_effects
    from gnnvcell.models.state_embedding.pretraining import PretrainingConfig, pretrain
    from gnnvcell.models.state_embedding.storage import load, save

_LAZY = {
    "PretrainingConfig": "pretraining",
    "StateEmbeddingModel": "lightning_model",
    "embed_cells": "embedding",
    "embed_file": "embedding",
    "handed_on": "nearest",
    "load": "storage",
    "nearest_cells": "nearest",
    "perturbation_effects": "perturbing",
    "pretrain": "pretraining",
    "save": "storage",
}

__all__ = [
    "PretrainingConfig",
    "StateEmbedding",
    "StateEmbeddingConfig",
    "StateEmbeddingModel",
    "embed_cells",
    "embed_file",
    "handed_on",
    "load",
    "nearest_cells",
    "perturbation_effects",
    "pretrain",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"gnnvcell.models.state_embedding.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'gnnvcell.models.state_embedding' has no attribute {name!r}")
