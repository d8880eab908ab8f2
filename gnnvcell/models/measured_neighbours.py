"""How many measured perturbations the graph links to each perturbation: what a graph model has to go on."""

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.relations import gene_relations, is_gene_gene, links
from gnnvcell.models.targets import target_matrix
from gnnvcell.perturbation import Perturbation


def measured_neighbours(
    graph: GeneGraph, perturbations: Sequence[str] | NDArray, measured: Iterable[str]
) -> NDArray[np.int64]:
    """Number of measured perturbations with a target next to a target of each perturbation, in any gene-gene relation.

    A perturbation is not its own neighbour, even where it was measured; one target in common makes no neighbour.

    Args:
        graph: the gene graph.
        perturbations: names; "A+B" has two targets.
        measured: names of the measured perturbations.

    Returns:
        (perturbations,) counts; 0 where no target is in the graph.

    Raises:
        ModelError: the graph has no gene-gene relation.
        PerturbationError: a name cannot be parsed.
    """
    relations = [relation for relation in gene_relations(graph) if is_gene_gene(graph, relation)]
    if not relations:
        raise ModelError("the graph links no genes to genes", found=str(graph), remedy="build one with such a source")
    measured = [str(name) for name in dict.fromkeys(measured)]
    adjacency = sp.csr_matrix((graph.num_genes, graph.num_genes))
    for relation in relations:
        adjacency = adjacency + (links(graph, relation) != 0)
    asked, known = target_matrix(graph, perturbations), target_matrix(graph, measured)
    reached = sp.csr_matrix(asked @ adjacency @ known.T)
    counts = np.diff(reached.indptr).astype(np.int64)
    own = {frozenset(Perturbation.parse(name).targets): column for column, name in enumerate(measured)}
    for row, name in enumerate(perturbations):
        column = own.get(frozenset(Perturbation.parse(str(name)).targets))
        counts[row] -= column is not None and reached[row, column] != 0
    return counts


def support_of(graph: GeneGraph | None, perturbations: NDArray, measured: Sequence[str]) -> NDArray[np.float32]:
    """(perturbations,) measured perturbations beside each in the graph, itself too; without a graph itself alone."""
    seen = np.isin(perturbations, measured)
    if graph is None:
        return seen.astype(np.float32)
    return (measured_neighbours(graph, perturbations, measured) + seen).astype(np.float32)
