"""Losses between sets of cells, and the loss that keeps neighbours of the gene graph together.

Every set loss takes predicted (batch, cells, d) and observed (batch, others, d) cells with masks of what is real, and
gives one number per set.
"""

from gnnvcell.nn.losses.distances import euclidean_distances
from gnnvcell.nn.losses.energy import energy_distance
from gnnvcell.nn.losses.set_loss import SetLossConfig, set_loss

__all__ = ["SetLossConfig", "energy_distance", "euclidean_distances", "set_loss"]
