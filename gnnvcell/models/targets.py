"""From the names of perturbations to the genes of the graph."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.perturbation import Perturbation


def target_matrix(graph: GeneGraph, perturbations: Sequence[str] | NDArray) -> sp.csr_matrix:
    """Which genes each perturbation hits.

    Args:
        graph: the gene graph.
        perturbations: names; "A+B" has two targets.

    Returns:
        (perturbations, genes) float32 matrix; a row holds 1 / n at each of the n targets that the graph has, and is
        empty where it has none.

    Raises:
        PerturbationError: a name cannot be parsed.
    """
    targets = [Perturbation.parse(str(name)).targets for name in perturbations]
    rows = np.repeat(np.arange(len(targets)), [len(names) for names in targets])
    genes = graph.vocab.lookup([name for names in targets for name in names])
    rows, genes = rows[genes >= 0], genes[genes >= 0]
    known = np.bincount(rows, minlength=len(targets))
    weight = (1.0 / known[rows]).astype(np.float32)
    return sp.csr_matrix((weight, (rows, genes)), shape=(len(targets), graph.num_genes))
