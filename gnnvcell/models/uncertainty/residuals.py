"""Residuals: what a model got wrong on perturbations that it had not seen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError, did_you_mean
from gnnvcell.models.base import EffectPredictor, Prediction


@dataclass(frozen=True, eq=False)
class Residuals:
    """Measured less predicted effects of held-out perturbations.

    Args:
        error: (rows, genes) float32, NaN where not measured.
        perturbations: (rows,) names; a perturbation that was held out in several cell types has several rows.
        genes: (genes,) names.
        support: (rows,) float32, evidence of the graph, as predicted.
        spread: (rows, genes) float32, standard deviation of the error as predicted; None where the model states none.
    """

    error: NDArray[np.float32]
    perturbations: NDArray
    genes: NDArray
    support: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, prediction: Prediction, truth: EffectTable) -> "Residuals":
        """Residuals of a prediction, in the order of its rows.

        Args:
            prediction: of perturbations that are in the table, in one cell type.
            truth: their measured effects in that cell type; genes that only one side has do not count.

        Raises:
            ModelError: labels, a perturbation that was not measured, or no gene in common.
        """
        if truth.kind != "delta":
            raise ModelError(f"labels of kind {truth.kind!r} have no residuals", expected="effects of kind 'delta'")
        place = {str(name): row for row, name in enumerate(truth.perturbations)}
        for name in prediction.perturbations:
            if str(name) not in place:
                raise ModelError(f"{str(name)!r} was not measured", remedy=did_you_mean(str(name), place))
        column = {str(gene): at for at, gene in enumerate(truth.genes)}
        found = np.array([column.get(str(gene), -1) for gene in prediction.genes])
        if (found < 0).all():
            raise ModelError(
                "prediction and truth have no gene in common",
                found=f"{', '.join(map(str, prediction.genes[:3]))} and {', '.join(map(str, truth.genes[:3]))}",
            )
        rows = np.array([place[str(name)] for name in prediction.perturbations], dtype=np.int64)
        measured = truth.measured[np.ix_(rows, found)] & (found >= 0)
        error = np.where(measured, truth.values[np.ix_(rows, found)] - prediction.values, np.float32(np.nan))
        return cls(error, prediction.perturbations, prediction.genes, prediction.support, prediction.spread)

    @classmethod
    def joined(cls, parts: Sequence["Residuals"]) -> "Residuals":
        """The rows of several, over the same genes; with spreads where all have them.

        Raises:
            ModelError: nothing to join, or other genes.
        """
        if not parts or any(not np.array_equal(part.genes, parts[0].genes) for part in parts):
            raise ModelError("residuals of different genes cannot be joined", expected="one or more, of the same genes")
        spreads = [part.spread for part in parts if part.spread is not None]
        return cls(
            np.concatenate([part.error for part in parts]),
            np.concatenate([part.perturbations for part in parts]),
            parts[0].genes,
            np.concatenate([part.support for part in parts]),
            np.concatenate(spreads) if len(spreads) == len(parts) else None,
        )


def residuals_of(
    model: EffectPredictor,
    truth: EffectTable,
    *,
    contexts: Mapping[str, Any] | None = None,
    trained: Collection[str] | None = None,
) -> Residuals:
    """Residuals of a fitted model on perturbations that it did not learn from.

    Args:
        model: anything that predicts effects.
        truth: effects of validation perturbations, in one or more cell types.
        contexts: cell type to what the model's ``predict`` takes as its context, such as control cells; their names
            when left out, and nothing where there is one.
        trained: names of the training perturbations; those that the model names itself (``training_perturbations``)
            when left out.

    Raises:
        ModelError: one of the perturbations was trained on, or as of ``Residuals.of`` and of ``predict``.
    """
    known = getattr(model, "training_perturbations", ()) if trained is None else trained
    seen = sorted(set(truth.perturbations.tolist()) & set(known))
    if seen:
        raise ModelError(
            f"{len(seen)} of these perturbations were trained on, for example {seen[0]!r}",
            expected="perturbations that the model has not seen: its errors on the others are too small",
            remedy="give validation perturbations",
        )
    names = truth.context_names
    given = contexts or {name: name if len(names) > 1 else None for name in names}
    parts = []
    for name in names:
        rows = truth.of_context(name)
        parts.append(Residuals.of(model.predict(rows.perturbations, context=given[name]), rows))
    return Residuals.joined(parts)
