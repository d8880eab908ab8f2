"""Predict labels of perturbations that were never measured; the truth of the held-out ones stays in here."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.metrics import average_precision, micro_auroc, per_gene_auroc, per_perturbation_auroc

# Half-open ranges of support (measured graph evidence) by which scores are reported apart.
SUPPORT_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


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
    """

    train: EffectTable
    perturbations: NDArray


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one prediction.

    Args:
        metrics: name to value. ``per_gene_auroc`` (headline; mean over genes with both labels), ``micro_auroc``,
            ``average_precision``, ``per_perturbation_auroc``, ``genes_scored``.
        per_gene: index gene; columns auroc, positives, negatives.
        per_perturbation: index perturbation; columns auroc, pairs, support.
        by_support: per-gene AUROC within quartiles of support; columns support_from, support_to, perturbations,
            per_gene_auroc.
    """

    metrics: dict[str, float]
    per_gene: pd.DataFrame
    per_perturbation: pd.DataFrame
    by_support: pd.DataFrame


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
            raise DataError("this task scores labels", expected="kind 'de' or 'direction'", found="kind 'delta'")
        if held_out in train:
            raise DataError(f"the split {held_out!r} cannot be both learned from and held out")
        self._truth = table.of_split(held_out)
        self._train = table.of_split(*train)
        _check_no_shared_targets(self._train, self._truth)

    @property
    def context(self) -> str:
        """Cell line of the labels."""
        return self._train.context

    @property
    def kind(self) -> str:
        """What the labels mean: de or direction."""
        return self._train.kind

    def inputs(self) -> TaskInputs:
        """Training effects and the names to predict."""
        return TaskInputs(self._train, self._truth.perturbations)

    def evaluate(self, prediction: NamedPrediction) -> Scores:
        """Score a prediction of every held-out perturbation.

        Raises:
            DataError: a held-out perturbation or a readout gene is missing from the prediction, or a value is NaN.
        """
        rows = _positions(prediction.perturbations, self._truth.perturbations, "perturbation")
        columns = _positions(prediction.genes, self._truth.genes, "gene")
        values = prediction.values[np.ix_(rows, columns)].astype(np.float64)
        support = np.asarray(prediction.support)[rows]
        labels, measured = self._truth.values, self._truth.measured
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
            index=pd.Index(self._truth.genes, name="gene"),
        )
        per_perturbation = pd.DataFrame(
            {"auroc": by_perturbation, "pairs": measured.sum(axis=1), "support": support},
            index=pd.Index(self._truth.perturbations, name="perturbation"),
        )
        return Scores(metrics, per_gene, per_perturbation, _by_support(values, labels, measured, support))


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


def _positions(have: NDArray, want: NDArray, what: str) -> NDArray[np.int64]:
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
    """Two spellings of one combination (A+B, B+A) are one perturbation."""

    def canonical(names: NDArray) -> dict[frozenset[str], str]:
        return {frozenset(part.strip() for part in str(name).split("+")): str(name) for name in names}

    seen, held_out = canonical(train.perturbations), canonical(truth.perturbations)
    shared = sorted(held_out[targets] for targets in seen.keys() & held_out.keys())
    if shared:
        raise DataError(
            f"{len(shared)} perturbations are both learned from and held out",
            found=shared[0],
            remedy="split by perturbation",
        )
