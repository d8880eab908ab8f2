"""Message-passing kernels over an immutable adjacency. No layers here: those are in ``gnnvcell.nn``."""

from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.sddmm import edge_scores
from gnnvcell.ops.spmm import aggregate

__all__ = ["Adjacency", "aggregate", "edge_scores"]
