"""What every task on an effect table does: keep the truth, give out inputs, line predictions up by name."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.perturbation import Perturbation


@runtime_checkable
class NamedPrediction(Protocol):
    """What a task can score: values with the names of their rows and columns."""

    @property
    def values(self) -> NDArray[np.float32]:
        """(perturbations, genes) scores."""
        ...

    @property
    def perturbations(self) -> NDArray:
        """(perturbations,) names."""
        ...

    @property
    def genes(self) -> NDArray:
        """(genes,) names."""
        ...

    @property
    def support(self) -> NDArray[np.float32]:
        """(perturbations,) graph evidence, >= 0."""
        ...


@dataclass(frozen=True, eq=False)
class TaskInputs:
    """All that a model may see.

    Args:
        train: measured effects of the training perturbations, over every readout gene.
        perturbations: (held-out,) names to predict.
        context: the cell type to predict in, with the expression of its control cells; None: that of training.
    """

    train: EffectTable
    perturbations: NDArray
    context: Context | None = None


class HeldOut:
    """Training and held-out rows of an effect table.

    Args:
        table: effects of all perturbations with their split.
        held_out: the split to predict.
        train: the splits to learn from.

    Raises:
        DataError: a split is empty, or the same perturbation is on both sides.
    """

    def __init__(self, table: EffectTable, *, held_out: str, train: tuple[str, ...]) -> None:
        if held_out in train:
            raise DataError(f"the split {held_out!r} cannot be both learned from and held out")
        self.truth = table.of_split(held_out)
        self.train = table.of_split(*train)
        _check_no_shared_targets(self.train, self.truth)

    @property
    def inputs(self) -> TaskInputs:
        """Training effects and the names to predict."""
        return TaskInputs(self.train, self.truth.perturbations)

    def aligned(self, prediction: NamedPrediction) -> tuple[NDArray[np.float64], NDArray]:
        """(held-out, genes) values and (held-out,) support of a prediction, in the truth's order.

        Raises:
            DataError: a held-out perturbation or a readout gene is missing from the prediction.
        """
        rows = positions(prediction.perturbations, self.truth.perturbations, "perturbation")
        columns = positions(prediction.genes, self.truth.genes, "gene")
        return prediction.values[np.ix_(rows, columns)].astype(np.float64), np.asarray(prediction.support)[rows]


def positions(have: NDArray, want: NDArray, what: str) -> NDArray[np.int64]:
    """(wanted,) where the names that are wanted are among those that a prediction has.

    Raises:
        DataError: some are not (with the name nearest to the first).
    """
    position = {str(name): i for i, name in enumerate(have)}
    missing = [str(name) for name in want if str(name) not in position]
    if missing:
        raise DataError(
            f"the prediction lacks {len(missing)} of {len(want)} {what}s, {missing[0]!r} first",
            expected=f"every {what} of the task's inputs",
            remedy=did_you_mean(missing[0], position),
        )
    return np.array([position[str(name)] for name in want], dtype=np.int64)


def _check_no_shared_targets(train: EffectTable, truth: EffectTable) -> None:
    """Two spellings of one combination (A+B, B+A, A+B|KO) are one perturbation."""

    def canonical(names: NDArray) -> dict[frozenset[str], str]:
        return {frozenset(Perturbation.parse(str(name)).targets): str(name) for name in names}

    seen, held_out = canonical(train.perturbations), canonical(truth.perturbations)
    shared = sorted(held_out[targets] for targets in seen.keys() & held_out.keys())
    if shared:
        raise DataError(
            f"{len(shared)} perturbations are both learned from and held out",
            found=shared[0],
            remedy="split by perturbation",
        )
