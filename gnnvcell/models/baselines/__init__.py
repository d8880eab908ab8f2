"""What every model must beat: means, sums of singles, and regressions on graph embeddings. One file each."""

from gnnvcell.models.baselines.additive import Additive, AdditiveConfig, LargerSingle
from gnnvcell.models.baselines.context_mean import ContextMean, ContextMeanConfig
from gnnvcell.models.baselines.knn_embedding import KnnEmbedding, KnnEmbeddingConfig
from gnnvcell.models.baselines.latent_additive import LatentAdditive, LatentAdditiveConfig
from gnnvcell.models.baselines.linear_gwp import LinearGWP, LinearGWPConfig
from gnnvcell.models.baselines.no_change import NoChange, NoChangeConfig
from gnnvcell.models.baselines.pair_rules import PairRules, PairRulesConfig
from gnnvcell.models.baselines.perturbation_mean import CellMean, PerturbationMean, PerturbationMeanConfig
from gnnvcell.models.baselines.random_forest import RandomForest, RandomForestConfig
from gnnvcell.models.baselines.same_target_transfer import SameTargetTransfer, SameTargetTransferConfig

__all__ = [
    "Additive",
    "AdditiveConfig",
    "CellMean",
    "ContextMean",
    "ContextMeanConfig",
    "KnnEmbedding",
    "KnnEmbeddingConfig",
    "LargerSingle",
    "LatentAdditive",
    "LatentAdditiveConfig",
    "LinearGWP",
    "LinearGWPConfig",
    "NoChange",
    "NoChangeConfig",
    "PairRules",
    "PairRulesConfig",
    "PerturbationMean",
    "PerturbationMeanConfig",
    "RandomForest",
    "RandomForestConfig",
    "SameTargetTransfer",
    "SameTargetTransferConfig",
]
