"""Predict the expression changes of perturbations that were never measured; their truth stays in here."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import DataError
from gnnvcell.metrics import (
    amplitude_ratio,
    mae_delta,
    mse_delta,
    normalised_retrieval,
    pearson_delta,
    perturbation_discrimination,
    targets_left_out,
)
from gnnvcell.tasks.held_out import HeldOut, NamedPrediction, TaskInputs


@dataclass(frozen=True, eq=False)
class EffectScores:
    """Scores of one prediction.

    Args:
        metrics: name to mean over perturbations where the score is defined; ``amplitude_ratio`` is a median.
        per_perturbation: index perturbation; one column per metric, ``effect_size`` (Euclidean length of the true
            delta) and ``support``.
    """

    metrics: dict[str, float]
    per_perturbation: pd.DataFrame


class UnseenEffect:
    """The unseen-perturbation task on a table of deltas.

    The model gets the training rows and the names of the held-out perturbations. A perturbation's own targets are left
    out of every score: any model gets them right. Scores, by perturbation and as their mean: ``pearson_delta``,
    ``centred_pearson_delta`` (both sides less the mean training delta), ``mse_delta``, ``mae_delta``, ``pds_cosine``,
    ``pds_l1``, ``normalised_retrieval`` and ``amplitude_ratio``, which stands beside them because ranks by L1 reward
    inflated predictions.

    Args:
        table: deltas of all perturbations with their split.
        held_out: the split to predict.
        train: the splits to learn from.

    Raises:
        DataError: a split is empty, the same perturbation is on both sides, or the table holds labels.

    Example:
        >>> task = UnseenEffect(EffectTable.load("deltas.h5ad"))  # doctest: +SKIP
        >>> model.fit(task.inputs().train, graph)  # doctest: +SKIP
        >>> task.evaluate(model.predict(task.inputs().perturbations)).metrics["pearson_delta"]  # doctest: +SKIP
    """

    def __init__(self, table: EffectTable, *, held_out: str = "test", train: tuple[str, ...] = ("train",)) -> None:
        if table.kind != "delta":
            raise DataError(
                "this task scores deltas", expected="kind 'delta'", found=table.kind, remedy="use UnseenPerturbation"
            )
        self._parts = HeldOut(table, held_out=held_out, train=train)

    @property
    def context(self) -> str:
        """Cell line or cell type of the effects."""
        return self._parts.train.context

    def inputs(self) -> TaskInputs:
        """Training effects and the names to predict."""
        return self._parts.inputs

    def evaluate(self, prediction: NamedPrediction) -> EffectScores:
        """Score a prediction of every held-out perturbation.

        Raises:
            DataError: a held-out perturbation or a readout gene is missing from the prediction, or a value is NaN.
        """
        values, support = self._parts.aligned(prediction)
        truth, train = self._parts.truth, self._parts.train
        deltas = np.where(truth.measured, truth.values, np.nan).astype(np.float64)
        scored = truth.measured & targets_left_out(truth.perturbations, truth.genes)
        count = np.maximum(train.measured.sum(axis=0), 1)
        centre = np.where(train.measured, train.values, 0.0).sum(axis=0) / count
        table = pd.DataFrame(
            {
                "pearson_delta": pearson_delta(values, deltas, scored),
                "centred_pearson_delta": pearson_delta(values, deltas, scored, centre=centre),
                "mse_delta": mse_delta(values, deltas, scored),
                "mae_delta": mae_delta(values, deltas, scored),
                "pds_cosine": perturbation_discrimination(values, deltas, scored),
                "pds_l1": perturbation_discrimination(values, deltas, scored, distance="l1"),
                "normalised_retrieval": normalised_retrieval(values, deltas, scored),
                "amplitude_ratio": amplitude_ratio(values, deltas, scored),
            },
            index=pd.Index(truth.perturbations, name="perturbation"),
        )
        metrics = {str(name): float(column.mean()) for name, column in table.items()}
        metrics["amplitude_ratio"] = float(table["amplitude_ratio"].median())
        table["effect_size"] = np.sqrt(np.where(scored, np.nan_to_num(deltas) ** 2, 0.0).sum(axis=1))
        table["support"] = support
        return EffectScores(metrics, table)
