"""All scores of one prediction in one call, with nothing computed twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, DataError, did_you_mean
from gnnvcell.metrics import differential as de
from gnnvcell.metrics.calls import DECalls
from gnnvcell.metrics.deltas import (
    amplitude_ratio,
    mae_delta,
    mse_delta,
    namesakes_left_out,
    pearson_delta,
    targets_left_out,
)
from gnnvcell.metrics.discrimination import DISTANCES, normalised_retrieval, perturbation_discrimination
from gnnvcell.metrics.means import mae, most_changed, mse, r2, shift_magnitude
from gnnvcell.metrics.pseudobulk import PseudoBulk
from gnnvcell.metrics.retrieval import Retrieval, pair_similarity, ranked

Convention = Literal["ours", "cell-eval"]


@dataclass(frozen=True, eq=False)
class _Pair:
    """A prediction and the truth, and what several scores need of them."""

    predicted: PseudoBulk
    real: PseudoBulk
    calls: tuple[DECalls, DECalls] | None
    ranked: NDArray[np.bool_]  # what discrimination and retrieval compare
    scored: NDArray[np.bool_] | None  # what the other scores of deltas and calls read; None is all
    centre: NDArray | None
    lfc_centre: NDArray | None

    @cached_property
    def deltas(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.predicted.deltas, self.real.deltas

    @cached_property
    def recovered(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return de.recovery(*self.de)

    @property
    def de(self) -> tuple[DECalls, DECalls]:
        if self.calls is None:
            raise DataError(
                "scores of differential expression need that of both sides", remedy="pass de_predicted and de_real"
            )
        return self.calls

    @cached_property
    def centred_de(self) -> tuple[DECalls, DECalls]:
        if self.lfc_centre is None:
            raise DataError(
                "centred scores of differential expression need the mean log2 fold change of training",
                remedy="pass lfc_centre",
            )
        return self.de[0].centred(self.lfc_centre), self.de[1].centred(self.lfc_centre)

    def found(self, centre: NDArray | None) -> Retrieval:
        """Where the true perturbation stands when its signature looks for it among the predictions."""
        shift = 0.0 if centre is None else np.asarray(centre, dtype=np.float64)
        predicted, true = (np.nan_to_num(side - shift) for side in self.deltas)
        return ranked(pair_similarity(true, predicted, self.ranked, self.ranked), np.arange(len(true)))

    @property
    def mean_effect(self) -> NDArray:
        if self.centre is None:
            raise DataError("centred scores need the mean training delta", remedy="pass centre")
        return self.centre


Score = Callable[[_Pair], NDArray | float]


def _of_deltas(function: Callable[..., NDArray]) -> Score:
    return lambda pair: function(*pair.deltas, pair.scored)


def _of_calls(function: Callable[..., NDArray | float]) -> Score:
    return lambda pair: function(*pair.de)


def _of_centred_calls(function: Callable[..., NDArray | float]) -> Score:
    return lambda pair: function(*pair.centred_de)


def _discrimination(distance: str) -> Score:
    return lambda pair: perturbation_discrimination(*pair.deltas, pair.ranked, distance=distance)


def _of_most_changed(k: int, pair: _Pair) -> NDArray[np.bool_]:
    return most_changed(pair.deltas[1], k, pair.scored)


def _means(pair: _Pair) -> tuple[NDArray, NDArray]:
    return pair.predicted.means, pair.real.means


# Names of cell-eval 0.8 where it has the score, so that columns can be laid side by side.
METRICS: dict[str, Score] = {
    "mae": lambda pair: mae(*_means(pair)),
    "mse": lambda pair: mse(*_means(pair)),
    "mae_delta": _of_deltas(mae_delta),
    "mse_delta": _of_deltas(mse_delta),
    "pearson_delta": _of_deltas(pearson_delta),
    "centred_pearson_delta": lambda pair: pearson_delta(*pair.deltas, pair.scored, centre=pair.mean_effect),
    "pearson_top20": lambda pair: pearson_delta(*pair.deltas, _of_most_changed(20, pair)),
    "r2_all": lambda pair: r2(*_means(pair), pair.scored),
    "r2_top50": lambda pair: r2(*_means(pair), _of_most_changed(50, pair)),
    **{f"discrimination_score_{distance}": _discrimination(distance) for distance in DISTANCES},
    "centred_discrimination_score_cosine": lambda pair: perturbation_discrimination(
        *pair.deltas, pair.ranked, centre=pair.mean_effect
    ),
    "normalised_retrieval": lambda pair: normalised_retrieval(*pair.deltas, pair.ranked),
    "centred_normalised_retrieval": lambda pair: normalised_retrieval(
        *pair.deltas, pair.ranked, centre=pair.mean_effect
    ),
    "reciprocal_rank": lambda pair: pair.found(None).reciprocal_rank,
    "centred_reciprocal_rank": lambda pair: pair.found(pair.mean_effect).reciprocal_rank,
    "hits_at_5": lambda pair: pair.found(None).hits(5),
    "centred_hits_at_5": lambda pair: pair.found(pair.mean_effect).hits(5),
    "amplitude_ratio": _of_deltas(amplitude_ratio),
    "shift_magnitude": lambda pair: shift_magnitude(pair.deltas[0], pair.scored),
    "overlap_at_N": _of_calls(de.overlap_at),
    "precision_at_N": _of_calls(de.precision_at),
    **{f"overlap_at_{k}": _of_calls(partial(de.overlap_at, k=k)) for k in (50, 100, 200, 500)},
    **{f"precision_at_{k}": _of_calls(partial(de.precision_at, k=k)) for k in (50, 100, 200, 500)},
    "centred_overlap_at_N": _of_centred_calls(de.overlap_at),
    "centred_precision_at_N": _of_centred_calls(de.precision_at),
    "de_spearman_sig": _of_calls(de.de_spearman_sig),
    "de_spearman_lfc_sig": _of_calls(de.de_spearman_lfc_sig),
    "centred_de_spearman_lfc_sig": _of_centred_calls(de.de_spearman_lfc_sig),
    "de_direction_match": _of_calls(de.de_direction_match),
    "de_sig_genes_recall": _of_calls(de.de_sig_genes_recall),
    "de_nsig_counts_pred": lambda pair: de.de_nsig_counts(*pair.de)[0],
    "de_nsig_counts_real": lambda pair: de.de_nsig_counts(*pair.de)[1],
    "pr_auc": lambda pair: pair.recovered[0],
    "roc_auc": lambda pair: pair.recovered[1],
}
_OF_CALLS = tuple(name for name in METRICS if name.startswith(("de_", "overlap", "precision", "pr_", "roc_")))
_MEDIANS = ("amplitude_ratio",)  # one weak perturbation can make it huge


def score_all(
    predicted: PseudoBulk,
    real: PseudoBulk,
    de_predicted: DECalls | None = None,
    de_real: DECalls | None = None,
    *,
    metrics: Sequence[str] | None = None,
    convention: Convention = "ours",
    centre: NDArray | None = None,
    lfc_centre: NDArray | None = None,
) -> pd.DataFrame:
    """Scores of a prediction, perturbation by perturbation; definitions are in the docstrings of the functions.

    Args:
        predicted: means of the predicted cells, and of their controls.
        real: means of the real cells, same perturbations and genes in the same order, and of their controls (those of
            the same batches, where ``control`` has a row for each perturbation).
        de_predicted: differential expression of the predicted cells, rows and columns as in ``predicted``.
        de_real: that of the real cells.
        metrics: names of ``METRICS``; all that the inputs allow when left out: those of differential expression need
            both tables, centred ones a centre.
        convention: "ours" leaves the targets of a perturbation out of all scores but ``mae`` and ``mse``. "cell-eval"
            leaves the gene named as the perturbation out of discrimination and retrieval and out of nothing else.
        centre: (genes,) mean training delta, for centred scores of deltas.
        lfc_centre: (genes,) mean training log2 fold change, for centred scores of differential expression.

    Returns:
        Index perturbation, a column per metric, NaN where it is not defined. ``de_spearman_sig`` is one number for all.

    Raises:
        ConfigError: an unknown metric or convention.
        DataError: the sides do not fit each other, a value is not finite, or a metric's input is missing.
    """
    names = _chosen(metrics, de_predicted is not None and de_real is not None, centre, lfc_centre)
    _check(predicted, real, de_predicted, de_real, convention)
    scored, ranked = None, namesakes_left_out(real.perturbations, real.genes)
    calls = None if de_predicted is None or de_real is None else (de_predicted, de_real)
    if convention == "ours":
        scored = ranked = targets_left_out(real.perturbations, real.genes)
        calls = None if calls is None else (calls[0].only(scored), calls[1].only(scored))
    pair = _Pair(predicted, real, calls, ranked, scored, centre, lfc_centre)
    columns = {name: METRICS[name](pair) for name in names}
    return pd.DataFrame(columns, index=pd.Index(real.perturbations, name="perturbation"))


def averages(scores: pd.DataFrame) -> dict[str, float]:
    """Metric to its mean over perturbations where it is defined; the median of ``amplitude_ratio``."""
    return {
        str(name): float(column.median() if name in _MEDIANS else column.mean()) for name, column in scores.items()
    }


def _chosen(
    metrics: Sequence[str] | None, with_calls: bool, centre: NDArray | None, lfc_centre: NDArray | None
) -> list[str]:
    if metrics is None:
        given = {"": True, "centred_": centre is not None}
        of_calls = {"": with_calls, "centred_": with_calls and lfc_centre is not None}
        return [
            name
            for name in METRICS
            if (of_calls if name.removeprefix("centred_") in _OF_CALLS else given)[
                "centred_" if name.startswith("centred_") else ""
            ]
        ]
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ConfigError(f"unknown metric {unknown[0]!r}", remedy=did_you_mean(unknown[0], METRICS))
    return list(metrics)


def _check(
    predicted: PseudoBulk, real: PseudoBulk, de_predicted: DECalls | None, de_real: DECalls | None, convention: str
) -> None:
    if convention not in get_args(Convention):
        raise ConfigError(
            f"unknown convention {convention!r}", remedy=did_you_mean(convention, get_args(Convention))
        )
    for what in ("perturbations", "genes"):
        ours, theirs = getattr(predicted, what), getattr(real, what)
        if not np.array_equal(ours, theirs):
            raise DataError(
                f"the {what} of the prediction are not those of the real cells",
                expected="the same names in the same order",
                found=f"{len(ours)} predicted, {len(theirs)} real, {len(np.intersect1d(ours, theirs))} in both",
                remedy="bring them into one order first",
            )
    for name, calls in (("de_predicted", de_predicted), ("de_real", de_real)):
        if calls is not None and calls.fdr.shape != real.means.shape:
            raise DataError(
                f"{name} does not fit the means",
                expected=f"(perturbations, genes) {real.means.shape}",
                found=str(calls.fdr.shape),
            )
