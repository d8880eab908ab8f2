"""How many measured perturbations the graph links to each perturbation: what a graph model has to go on."""

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.relations import is_gene_gene, links, require_gene_relations, specific_terms
from gnnvcell.models.targets import target_matrix
from gnnvcell.perturbation import Perturbation


def measured_neighbours(
    graph: GeneGraph, perturbations: Sequence[str] | NDArray, measured: Iterable[str]
) -> NDArray[np.int64]:
    """Number of measured perturbations with a target next to a target of each perturbation, in any gene-gene relation.

    In a graph that links no genes to genes, those are next to each other that share a term of at most
    ``relations.SPECIFIC_TERM_GENES`` genes. A perturbation is not its own neighbour, even where it was measured; one
    target in common makes no neighbour.

    Args:
        graph: the gene graph.
        perturbations: names; "A+B" has two targets.
        measured: names of the measured perturbations.

    Returns:
        (perturbations,) counts; 0 where no target is in the graph.

    Raises:
        ModelError: the graph has no relation of genes.
        PerturbationError: a name cannot be parsed.
    """
    measured = [str(name) for name in dict.fromkeys(measured)]
    asked, known = target_matrix(graph, perturbations), target_matrix(graph, measured)
    targets = np.unique(asked.indices)
    reached = sp.csr_matrix(asked[:, targets] @ _next_to_each_other(graph, targets) @ known.T)
    counts = np.diff(reached.indptr).astype(np.int64)
    own = {frozenset(Perturbation.parse(name).targets): column for column, name in enumerate(measured)}
    for row, name in enumerate(perturbations):
        column = own.get(frozenset(Perturbation.parse(str(name)).targets))
        counts[row] -= column is not None and reached[row, column] != 0
    return counts


def _next_to_each_other(graph: GeneGraph, genes: NDArray) -> sp.csr_matrix:
    """(genes, all genes) other than 0 where one is next to another."""
    relations = require_gene_relations(graph, "counting neighbours")
    between = [relation for relation in relations if is_gene_gene(graph, relation)]
    near = sp.csr_matrix((len(genes), graph.num_genes))
    for relation in between:
        near = near + (links(graph, relation)[genes] != 0)
    if between:
        return near
    for relation in relations:
        terms = sp.csr_matrix(specific_terms(graph.adjacency(relation)) != 0, dtype=np.float32)
        near = near + terms[genes] @ terms.T
    shared = near.tocoo()
    other = shared.col != genes[shared.row]
    return sp.csr_matrix((shared.data[other], (shared.row[other], shared.col[other])), shape=near.shape)


def support_of(graph: GeneGraph | None, perturbations: NDArray, measured: Sequence[str]) -> NDArray[np.float32]:
    """(perturbations,) measured perturbations beside each in the graph, itself too; without a graph itself alone."""
    seen = np.isin(perturbations, measured)
    if graph is None:
        return seen.astype(np.float32)
    return (measured_neighbours(graph, perturbations, measured) + seen).astype(np.float32)
