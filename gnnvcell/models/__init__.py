"""Named models of perturbation effects: configuration, ``fit``, ``predict``. Importing the package registers all."""

from gnnvcell.models.base import MODELS, EffectModel, Prediction
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
    "EffectModel",
    "GeneMean",
    "GeneMeanConfig",
    "Knn",
    "KnnConfig",
    "Logistic",
    "LogisticConfig",
    "PerturbationBlind",
    "PerturbationBlindConfig",
    "Prediction",
    "Propagation",
    "PropagationConfig",
    "Ridge",
    "RidgeConfig",
    "Smoother",
    "SmootherConfig",
    "SourcePropagation",
    "SourcePropagationConfig",
]
