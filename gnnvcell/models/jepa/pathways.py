"""The gene sets that a pathway layer begins with: of a GMT file, or of the pathways of the gene graph."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cell_sets import GeneSetMembership, gene_set_membership
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph

FEWEST_GENES, MOST_GENES = 3, 500  # of a set, among the model's genes
MOST_SETS = 1024  # as of bio-JEPA v0.2


def pathways_of(
    genes: NDArray, *, gene_sets: str | Path | None = None, graph: GeneGraph | None = None
) -> GeneSetMembership:
    """The sets of 3 to 500 of the model's genes; of more than 1,024 sets the largest.

    Args:
        genes: (genes,) names.
        gene_sets: GMT file.
        graph: a gene graph with pathways, where there is no file.

    Raises:
        ModelError: there is neither, or the graph has no pathways of these genes.
        FileFormatError, DataError: as of ``gene_set_membership``.
    """
    if gene_sets is not None:
        found = gene_set_membership(gene_sets, genes, min_genes=FEWEST_GENES, max_genes=MOST_GENES)
        return _largest(found)
    found = None if graph is None else _of_graph(genes, graph)
    if found is None:
        raise ModelError(
            "the model has a pathway layer, and there are no gene sets of its genes",
            expected="a GMT file, or a gene graph with pathways (Reactome)",
            found="neither" if graph is None else ", ".join(graph.relations),
            remedy="give gene_sets=, add the source to the graph, or set pathways = false",
        )
    return _largest(found)


def _of_graph(genes: NDArray, graph: GeneGraph) -> GeneSetMembership | None:
    """Genes of pathways, over all relations from genes to pathways; None where no set has enough of them."""
    rows = graph.vocab.lookup([str(gene) for gene in genes])
    known = rows >= 0
    parts = [
        sp.csr_array(graph.adjacency(relation, weighted=False))
        for source, relation, destination in graph.etypes
        if source == keys.GENE and destination == keys.PATHWAY
    ]
    if not parts:
        return None
    matrix: Any = sp.csr_array(sum(parts[1:], start=parts[0]))
    members: Any = sp.lil_array((len(genes), matrix.shape[1]), dtype=bool)
    members[known] = matrix[rows[known]] != 0
    members = sp.csc_array(members)
    size = np.diff(members.indptr)
    fits = (size >= FEWEST_GENES) & (size <= MOST_GENES)
    if not fits.any():
        return None
    chosen = sp.csr_array(members[:, np.flatnonzero(fits)])
    covered = float((np.diff(chosen.indptr) > 0).mean())
    return GeneSetMembership(genes, graph.names(keys.PATHWAY)[fits], chosen, covered, int((~fits).sum()))


def _largest(found: GeneSetMembership) -> GeneSetMembership:
    if len(found.sets) <= MOST_SETS:
        return found
    size = np.diff(sp.csc_array(found.matrix).indptr)
    chosen = np.sort(np.argsort(-size, kind="stable")[:MOST_SETS])
    matrix = sp.csr_array(found.matrix[:, chosen])
    covered = float((np.diff(matrix.indptr) > 0).mean())
    left_out = found.left_out + len(found.sets) - len(chosen)
    return GeneSetMembership(found.genes, found.sets[chosen], matrix, covered, left_out)
