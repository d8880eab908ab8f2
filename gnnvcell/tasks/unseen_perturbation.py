"""Predict labels of perturbations that were never measured; the truth of the held-out ones stays in here."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import DataError
from gnnvcell.metrics import (
    average_precision,
    micro_auroc,
    per_gene_auroc,
    per_gene_auroc_influence,
    per_perturbation_auroc,
)
from gnnvcell.tasks.held_out import HeldOut, NamedPrediction, TaskInputs

# Half-open ranges of support (measured graph evidence) by which scores are reported apart.
SUPPORT_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one prediction.

    Args:
        metrics: name to value. ``per_gene_auroc`` (headline; mean over genes with both labels), ``micro_auroc``,
            ``average_precision``, ``per_perturbation_auroc``, ``genes_scored``.
        per_gene: index gene; columns auroc, positives, negatives.
        per_perturbation: index perturbation; columns auroc, pairs, support, influence (on ``per_gene_auroc``).
        by_support: per-gene AUROC within quartiles of support; columns support_from, support_to, perturbations,
            per_gene_auroc.
        predicted: (pairs,) predicted score of each measured pair, perturbation by perturbation.
    """

    metrics: dict[str, float]
    per_gene: pd.DataFrame
    per_perturbation: pd.DataFrame
    by_support: pd.DataFrame
    predicted: NDArray[np.float64]


class UnseenPerturbation:
    """The unseen-perturbation task on a label table.

    The model gets the training rows and the names of the held-out perturbations. Which (perturbation, gene) pairs were
    measured for the held-out ones stays hidden: on PerturbQA their mere presence predicts DE (.56-.59).

    Args:
        table: labels of all perturbations with their split.
        held_out: the split to predict.
        train: the splits to learn from.

    Raises:
        DataError: a split is empty, the same perturbation is on both sides, or the kind is not a label.

    Example:
        >>> task = UnseenPerturbation(read_labels("k562-de.csv.gz", kind="de", context="k562"))  # doctest: +SKIP
        >>> inputs = task.inputs()  # doctest: +SKIP
        >>> model.fit(inputs.train, graph)  # doctest: +SKIP
        >>> task.evaluate(model.predict(inputs.perturbations)).metrics["per_gene_auroc"]  # doctest: +SKIP
    """

    def __init__(self, table: EffectTable, *, held_out: str = "test", train: tuple[str, ...] = ("train",)) -> None:
        if table.kind == "delta":
            raise DataError(
                "this task scores labels",
                expected="kind 'de' or 'direction'",
                found="kind 'delta'",
                remedy="use UnseenEffect",
            )
        self._parts = HeldOut(table, held_out=held_out, train=train)

    @property
    def context(self) -> str:
        """Cell line of the labels."""
        return self._parts.train.context

    @property
    def kind(self) -> str:
        """What the labels mean: de or direction."""
        return self._parts.train.kind

    def inputs(self) -> TaskInputs:
        """Training effects and the names to predict."""
        return self._parts.inputs

    def evaluate(self, prediction: NamedPrediction) -> Scores:
        """Score a prediction of every held-out perturbation.

        Raises:
            DataError: a held-out perturbation or a readout gene is missing from the prediction, or a value is NaN.
        """
        values, support = self._parts.aligned(prediction)
        truth = self._parts.truth
        labels, measured = truth.values, truth.measured
        by_gene = per_gene_auroc(values, labels, measured)
        by_perturbation = per_perturbation_auroc(values, labels, measured)
        positives = (labels * measured).sum(axis=0).astype(int)
        metrics = {
            "per_gene_auroc": _mean(by_gene),
            "micro_auroc": micro_auroc(values, labels, measured),
            "average_precision": average_precision(values, labels, measured),
            "per_perturbation_auroc": _mean(by_perturbation),
            "genes_scored": float(np.isfinite(by_gene).sum()),
        }
        per_gene = pd.DataFrame(
            {"auroc": by_gene, "positives": positives, "negatives": measured.sum(axis=0) - positives},
            index=pd.Index(truth.genes, name="gene"),
        )
        per_perturbation = pd.DataFrame(
            {
                "auroc": by_perturbation,
                "pairs": measured.sum(axis=1),
                "support": support,
                "influence": per_gene_auroc_influence(values, labels, measured),
            },
            index=pd.Index(truth.perturbations, name="perturbation"),
        )
        by_support = _by_support(values, labels, measured, support)
        return Scores(metrics, per_gene, per_perturbation, by_support, values[measured])


def _by_support(values: NDArray, labels: NDArray, measured: NDArray, support: NDArray) -> pd.DataFrame:
    edges = np.unique(np.quantile(support, SUPPORT_QUANTILES))
    rows = []
    for low, high in pairwise(edges):
        inside = (support >= low) & ((support < high) | (high == edges[-1]))
        score = _mean(per_gene_auroc(values[inside], labels[inside], measured[inside]))
        rows.append((float(low), float(high), int(inside.sum()), score))
    columns = pd.Index(["support_from", "support_to", "perturbations", "per_gene_auroc"])
    return pd.DataFrame(rows, columns=columns)


def _mean(values: NDArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
