"""Losses between sets of cells, and the loss that keeps neighbours of the gene graph together.

Every set loss takes predicted (batch, cells, d) and observed (batch, others, d) cells with masks of what is real, and
gives one number per set.
"""

from gnnvcell.nn.losses.distances import euclidean_distances
from gnnvcell.nn.losses.energy import energy_distance
from gnnvcell.nn.losses.graph_consistency import Consistency, GraphConsistency, GraphConsistencyConfig
from gnnvcell.nn.losses.mmd import KERNELS, mmd
from gnnvcell.nn.losses.pointwise import mse, mse_of_means
from gnnvcell.nn.losses.set_loss import SetLoss, SetLossConfig, set_loss
from gnnvcell.nn.losses.sinkhorn import sinkhorn_divergence
from gnnvcell.nn.losses.wasserstein import sliced_wasserstein, wasserstein_1d

__all__ = [
    "KERNELS",
    "Consistency",
    "GraphConsistency",
    "GraphConsistencyConfig",
    "SetLoss",
    "SetLossConfig",
    "energy_distance",
    "euclidean_distances",
    "mmd",
    "mse",
    "mse_of_means",
    "set_loss",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "wasserstein_1d",
]
