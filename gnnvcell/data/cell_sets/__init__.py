"""Sets of cells of one perturbation, with control cells of the same cell type and batch: what set models learn from."""

from gnnvcell.data.cell_sets.config import CellSetConfig
from gnnvcell.data.cell_sets.in_memory import CellSets
from gnnvcell.data.cell_sets.loader import SetLoader
from gnnvcell.data.cell_sets.membership import GeneSetMembership, gene_set_membership
from gnnvcell.data.cell_sets.shards import Shards
from gnnvcell.data.cell_sets.streamed import StreamedCellSets, open_stream

__all__ = [
    "CellSetConfig",
    "CellSets",
    "GeneSetMembership",
    "SetLoader",
    "Shards",
    "StreamedCellSets",
    "gene_set_membership",
    "open_stream",
]
