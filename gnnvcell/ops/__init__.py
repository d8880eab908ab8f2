"""Message-passing kernels over an immutable adjacency. No layers here: those are in ``gnnvcell.nn``."""

from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.attention import dot_aggregate, gatv2_aggregate
from gnnvcell.ops.context import gated_aggregate
from gnnvcell.ops.diffusion import diffuse
from gnnvcell.ops.dispatch import format_table, use
from gnnvcell.ops.relational import RelationStack, basis_aggregate, block_aggregate, relation_aggregate
from gnnvcell.ops.sddmm import edge_scores
from gnnvcell.ops.softmax import edge_softmax
from gnnvcell.ops.spmm import aggregate

__all__ = [
    "Adjacency",
    "RelationStack",
    "aggregate",
    "basis_aggregate",
    "block_aggregate",
    "diffuse",
    "dot_aggregate",
    "edge_scores",
    "edge_softmax",
    "format_table",
    "gated_aggregate",
    "gatv2_aggregate",
    "relation_aggregate",
    "use",
]
