"""Named models of perturbation effects: configuration, ``fit``, ``predict``. Importing the package registers all."""

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
from gnnvcell.models.gene_mean import GeneMean, GeneMeanConfig
from gnnvcell.models.knn import Knn, KnnConfig
from gnnvcell.models.logistic import Logistic, LogisticConfig
from gnnvcell.models.perturbation_blind import PerturbationBlind, PerturbationBlindConfig
from gnnvcell.models.propagation import Propagation, PropagationConfig
from gnnvcell.models.ridge import Ridge, RidgeConfig
from gnnvcell.models.smoother import Smoother, SmootherConfig
from gnnvcell.models.source_propagation import SourcePropagation, SourcePropagationConfig

__all__ = [
    "MODELS",
    "Additive",
    "CellMean",
    "ContextMean",
    "EffectModel",
    "GeneMean",
    "GeneMeanConfig",
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
    "Prediction",
    "Propagation",
    "PropagationConfig",
    "RandomForest",
    "Ridge",
    "RidgeConfig",
    "SameTargetTransfer",
    "Smoother",
    "SmootherConfig",
    "SourcePropagation",
    "SourcePropagationConfig",
]
