"""MeanEffect: the average effect of training perturbations, the baseline and the centre of centred scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError
from gnnvcell.tasks.delta_scores import leave_one_out_mean
from gnnvcell.tasks.matching import match_genes, targets_of
from gnnvcell.tasks.real_effects import RealEffects, measure_effects


@dataclass(frozen=True, eq=False)
class MeanEffect:
    """Mean over perturbations of their deltas.

    Args:
        by_context: cell type to (genes,) mean delta; empty where every row takes the mean of the others.
        origin: where it comes from, as the end of a sentence.
        perturbations: targets of what it was averaged over; scored perturbations should not be among them.
    """

    by_context: Mapping[str, NDArray[np.float64]]
    origin: str
    perturbations: frozenset[frozenset[str]] = frozenset()

    def of_rows(self, real: RealEffects, rows: NDArray) -> NDArray[np.float64]:
        """(rows, genes) for rows of real effects.

        A cell type that was not trained on gets the mean over those that were. Without training perturbations it is the
        mean of the row's cell type over all other perturbations.
        """
        if not self.by_context:
            return leave_one_out_mean(real.deltas, real.contexts)[rows]
        overall = np.mean(list(self.by_context.values()), axis=0)
        return np.stack([self.by_context.get(str(context), overall) for context in real.contexts[rows]])


def others() -> MeanEffect:
    """The mean of the other perturbations of the real file, for want of training perturbations."""
    return MeanEffect({}, "the other perturbations of the real file, for want of training cells (--train, --split)")


def of_training_cells(train: Cells, genes: NDArray, *, progress: bool = True) -> MeanEffect:
    """From a file of training cells.

    Args:
        train: training cells with their controls.
        genes: (genes,) names of the real cells.
        progress: a bar on stderr.

    Raises:
        DataError: no controls, or a gene of the real cells is missing.
    """
    columns, _ = match_genes(train.genes, genes, whose="the training file")
    effects = measure_effects(train, what="training", progress=progress)
    return _averaged(effects, np.arange(len(effects.perturbations)), columns, "of the training file")


def of_training_names(real: RealEffects, names: frozenset[frozenset[str]]) -> MeanEffect:
    """From perturbations of the real file that a split trains on.

    Args:
        real: effects of all perturbations.
        names: targets of the training perturbations.

    Raises:
        DataError: none of them has cells.
    """
    rows = np.array([targets_of(name) in names for name in real.perturbations], dtype=bool)
    if not rows.any():
        raise DataError(
            "the real cells have none of the split's training perturbations",
            expected="the file that was split",
            remedy="give the training cells as a file: --train FILE",
        )
    return _averaged(real, np.flatnonzero(rows), np.arange(real.deltas.shape[1]), "of the split")


def _averaged(effects: RealEffects, rows: NDArray, columns: NDArray, of_what: str) -> MeanEffect:
    contexts = effects.contexts[rows]
    means = {
        str(context): effects.deltas[rows[contexts == context]][:, columns].mean(axis=0)
        for context in dict.fromkeys(contexts.tolist())
    }
    targets = frozenset(targets_of(name) for name in effects.perturbations[rows])
    return MeanEffect(means, f"the {len(targets)} training perturbations {of_what}", targets)
