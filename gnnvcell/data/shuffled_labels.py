"""Cells whose perturbations were dealt out anew: what a model learns from labels that say nothing."""

import copy

import numpy as np

from gnnvcell.data.cells import Cells


def with_shuffled_labels(cells: Cells, *, seed: int) -> Cells:
    """The same cells, with the perturbations of perturbed cells permuted among them within each cell type.

    Controls stay controls, and every perturbation keeps its number of cells; ``obs`` keeps the labels of the file.

    Args:
        cells: a screen.
        seed: of the permutation.
    """
    rng, code = np.random.default_rng([seed, 5]), cells.code.copy()
    for context in range(len(cells.contexts)):
        rows = np.flatnonzero((code >= 0) & (cells.context_code == context))
        code[rows] = rng.permutation(code[rows])
    shuffled = copy.copy(cells)
    shuffled.code = code
    return shuffled
