"""Named models of perturbation effects: configuration, ``fit``, ``predict``. Importing the package registers all."""

import importlib
from typing import TYPE_CHECKING, Any

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.models._edge_variances import VarianceConfig
from gnnvcell.models._learning import ReadoutConfig
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines import (
    Additive,
    CellMean,
    ContextMean,
    KnnEmbedding,
    LargerSingle,
    LatentAdditive,
    LinearGWP,
    NoChange,
    PerturbationMean,
    RandomForest,
    SameTargetTransfer,
)
from gnnvcell.models.cell_model import CELL_MODELS, CellModel
from gnnvcell.models.gene_mean import GeneMean, GeneMeanConfig
from gnnvcell.models.jepa import Jepa, JepaConfig
from gnnvcell.models.knn import Knn, KnnConfig
from gnnvcell.models.logistic import Logistic, LogisticConfig
from gnnvcell.models.perturbation_blind import PerturbationBlind, PerturbationBlindConfig
from gnnvcell.models.propagation import Propagation, PropagationConfig
from gnnvcell.models.ridge import Ridge, RidgeConfig
from gnnvcell.models.smoother import Smoother, SmootherConfig
from gnnvcell.models.source_propagation import SourcePropagation, SourcePropagationConfig
from gnnvcell.models.state_embedding import StateEmbedding, StateEmbeddingConfig
from gnnvcell.models.state_transition import StateTransition, StateTransitionConfig
from gnnvcell.models.uncertainty.calibrated import CalibratedModel, calibrate, cross_calibrate
from gnnvcell.models.uncertainty.conformal import Calibration, ConformalConfig, Intervals
from gnnvcell.models.uncertainty.ensemble import Ensemble, EnsembleConfig
from gnnvcell.models.uncertainty.predicted_effects import PredictedEffects, predicted_effects

if TYPE_CHECKING:
    from gnnvcell.models.state_embedding.lightning_model import StateEmbeddingModel

__all__ = [
    "CELL_MODELS",
    "MODELS",
    "Additive",
    "CalibratedModel",
    "Calibration",
    "CellMean",
    "CellModel",
    "ConformalConfig",
    "ContextMean",
    "EffectModel",
    "Ensemble",
    "EnsembleConfig",
    "GeneMean",
    "GeneMeanConfig",
    "Intervals",
    "Jepa",
    "JepaConfig",
    "Knn",
    "KnnConfig",
    "KnnEmbedding",
    "LargerSingle",
    "LatentAdditive",
    "LinearGWP",
    "Logistic",
    "LogisticConfig",
    "NoChange",
    "PerturbationBlind",
    "PerturbationBlindConfig",
    "PerturbationMean",
    "PredictedEffects",
    "Prediction",
    "Propagation",
    "PropagationConfig",
    "RandomForest",
    "ReadoutConfig",
    "Ridge",
    "RidgeConfig",
    "SameTargetTransfer",
    "Smoother",
    "SmootherConfig",
    "SourcePropagation",
    "SourcePropagationConfig",
    "StateEmbedding",
    "StateEmbeddingConfig",
    "StateEmbeddingModel",
    "StateTransition",
    "StateTransitionConfig",
    "VarianceConfig",
    "calibrate",
    "cross_calibrate",
    "find_model",
    "predicted_effects",
]


def find_model(name: str) -> type[EffectModel] | type[CellModel]:
    """A model of effects or of cells by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in CELL_MODELS:
        return CELL_MODELS.get(name)
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}", remedy=did_you_mean(name, [*MODELS, *CELL_MODELS]))
    return MODELS.get(name)


def __getattr__(name: str) -> Any:
    if name == "StateEmbeddingModel":  # a LightningModule, and Lightning takes seconds to import
        return importlib.import_module("gnnvcell.models.state_embedding.lightning_model").StateEmbeddingModel
    raise AttributeError(f"module 'gnnvcell.models' has no attribute {name!r}")
