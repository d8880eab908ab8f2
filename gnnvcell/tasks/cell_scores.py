"""CellScores: what a prediction of cells scored, beside what needs no model and what no model can beat."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.metrics import by_strata, ceilings, quantile_edges
from gnnvcell.metrics.strata import SUPPORT_EDGES

NO_CHANGE, MEAN_EFFECT = "no_change", "mean_effect"
COMPOSITE, SUPPORT, EFFECT_SIZE = "vcc2025", "support", "effect_size"
# What is shown, in this order; the first leads. All other metrics are in the files.
HEADLINE = (
    "centred_pearson_delta",
    "pearson_delta",
    "mae",
    "mse",
    "discrimination_score_cosine",
    "amplitude_ratio",
    "normalised_retrieval",
    "overlap_at_N",
    COMPOSITE,
)


@dataclass(frozen=True, eq=False)
class ScoredEffects:
    """The changes that were scored, for plots.

    Args:
        predicted: (rows, genes) predicted deltas.
        true: (rows, genes) true deltas.
        scored: (rows, genes) bool; False at a perturbation's own targets.
        names: (rows,) perturbation, with its cell type where there are several.
        genes: (genes,) names.
        significant: (rows, genes) bool, truly differentially expressed; None where it was not tested.
    """

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]
    scored: NDArray[np.bool_]
    names: NDArray
    genes: NDArray
    significant: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class CellScores:
    """Scores of one prediction.

    Args:
        metrics: name (of ``gnnvcell.metrics.METRICS``) to mean over perturbations where the score is defined, the
            median of ``amplitude_ratio``; ``vcc2025``, the composite of the 2025 challenge against the mean effect.
        per_perturbation: index perturbation, with its cell type where there are several; columns ``perturbation``,
            ``context``, ``cells``, ``predicted_cells``, ``effect_size`` (Euclidean length of the true delta),
            ``support`` where it is known, and one per metric.
        floors: name of a baseline to its metrics: ``no_change``, ``mean_effect``.
        ceilings: metric to what a replicate would score, from one half of the real cells against the other.
        by_effect_size: scores in quantiles of effect size, see ``strata_of``.
        by_support: the same by graph support; empty where it is not known.
        effects: the changes themselves.
        notes: what the reader must know, in sentences.
    """

    metrics: dict[str, float]
    per_perturbation: pd.DataFrame
    floors: dict[str, dict[str, float]]
    ceilings: dict[str, float]
    by_effect_size: pd.DataFrame
    by_support: pd.DataFrame
    effects: ScoredEffects
    notes: list[str] = field(default_factory=list)

    @property
    def table(self) -> pd.DataFrame:
        """Index metric; columns ``prediction``, one per floor, ``ceiling`` where there is one."""
        columns = {"prediction": self.metrics, **self.floors}
        if self.ceilings:
            columns["ceiling"] = self.ceilings
        table = pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in columns.items()})
        return table.reindex(list(self.metrics)).rename_axis("metric")

    @property
    def headline(self) -> pd.DataFrame:
        """The rows of ``table`` that are shown first."""
        return self.table.reindex([name for name in HEADLINE if name in self.metrics])


def strata_of(
    along: NDArray, edges: Sequence[float] | NDArray, scores: pd.DataFrame, floor: pd.DataFrame, halves: pd.DataFrame
) -> pd.DataFrame:
    """Means of scores where perturbations differ in something, with floor and ceiling.

    Args:
        along: (rows,) such as effect size; NaN is in no stratum.
        edges: inner edges of the strata.
        scores: (rows) of metrics.
        floor: (rows) of the same metrics; may be empty.
        halves: (rows) scores of split halves; may be empty.

    Returns:
        Columns ``from``, ``to``, ``perturbations`` of ``gnnvcell.metrics.by_strata``, then for each metric its mean,
        ``<metric>_floor`` and ``<metric>_ceiling``.
    """
    table = by_strata(scores, along, edges)
    names = [str(name) for name in scores.columns]
    below, between = by_strata(floor, along, edges), by_strata(halves, along, edges)
    above = pd.DataFrame([ceilings(between.iloc[[row]]) for row in range(len(between))])
    for name in names:
        table[f"{name}_floor"] = below.get(name, np.nan)
        table[f"{name}_ceiling"] = above.get(name, np.nan)
    order = [column for name in names for column in (name, f"{name}_floor", f"{name}_ceiling")]
    return table.reindex(columns=["from", "to", "perturbations", *order])


def support_edges(support: NDArray, strata: int) -> NDArray[np.float64]:
    """Inner edges of strata by graph support: none, few, some, many where it counts neighbours, else quantiles."""
    known = support[np.isfinite(support)]
    if (known == np.floor(known)).all():
        return np.array([edge for edge in SUPPORT_EDGES if known.min(initial=0) < edge <= known.max(initial=0)])
    return quantile_edges(known, strata)
