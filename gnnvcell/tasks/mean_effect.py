"""MeanEffect: the average effect of training perturbations, the baseline and the centre of centred scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError
from gnnvcell.tasks.matching import match_genes, targets_of
from gnnvcell.tasks.real_effects import BatchedControls, RealEffects, measure_effects


@dataclass(frozen=True, eq=False)
class MeanEffect:
    """Mean over perturbations of their deltas.

    Args:
        origin: where it comes from, as the end of a sentence.
        by_context: cell type to (genes,) mean delta of training cells from another file.
        rows: (rows,) bool, the real rows to take it from where there is no other file; all where none is given.
        perturbations: targets of training perturbations; scored perturbations should not be among them.
    """

    origin: str
    by_context: Mapping[str, NDArray[np.float64]] | None = None
    rows: NDArray[np.bool_] | None = None
    perturbations: frozenset[frozenset[str]] = frozenset()

    def of_rows(self, real: RealEffects, rows: NDArray, controls: BatchedControls) -> NDArray[np.float64]:
        """(rows, genes), the same in all rows of a cell type; NaN where a row would be the mean of itself alone.

        A cell type that was not trained on gets the mean over those that were. Without training perturbations a row
        counts in its own mean: were it left out, the mean would be far from it of all rows, and rank below chance.

        Args:
            real: real effects.
            rows: (rows,) which of them.
            controls: what real effects are taken against here.
        """
        means = self.by_context
        if means is None:
            taken = np.ones(len(real.contexts), dtype=bool) if self.rows is None else self.rows
            means = _by_context(real.deltas_against(controls)[taken], real.contexts[taken])
        overall = np.mean(list(means.values()), axis=0)
        found = np.array([means.get(str(context), overall) for context in real.contexts[rows]], dtype=np.float64)
        if self.by_context is None and self.rows is None:
            found[[(real.contexts == context).sum() == 1 for context in real.contexts[rows]]] = np.nan
        return found


def of_all() -> MeanEffect:
    """From all perturbations of the real file, for want of training perturbations, as cell-eval's baseline has it."""
    return MeanEffect("the real file's own perturbations, for want of training cells (--train, --split)")


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
    effects = measure_effects(train, columns=columns, what="training", progress=progress)
    targets = frozenset(targets_of(name) for name in effects.perturbations)
    return MeanEffect(
        f"the {len(targets)} training perturbations of the training file",
        by_context=_by_context(effects.deltas, effects.contexts),
        perturbations=targets,
    )


def of_training_rows(real: RealEffects, rows: NDArray) -> MeanEffect:
    """From perturbations of the real file that a split trains on.

    Args:
        real: effects of all perturbations.
        rows: (rows,) bool, those to train on.

    Raises:
        DataError: there is none.
    """
    if not rows.any():
        raise DataError(
            "the real cells have none of the split's training perturbations",
            expected="the file that was split",
            remedy="give the training cells as a file: --train FILE",
        )
    found = frozenset(targets_of(name) for name in real.perturbations[rows])
    return MeanEffect(f"the {len(found)} training perturbations of the split", rows=rows, perturbations=found)


def _by_context(deltas: NDArray, contexts: NDArray) -> dict[str, NDArray[np.float64]]:
    return {str(name): deltas[contexts == name].mean(axis=0) for name in dict.fromkeys(contexts.tolist())}
