"""CellScores: what a prediction of cells scored, beside what needs no model and what no model can beat."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NO_CHANGE, MEAN_EFFECT = "no_change", "mean_effect"
# In the order in which they are shown; the first is the headline.
HEADLINE = (
    "centred_pearson_delta",
    "pearson_delta",
    "mae",
    "mse",
    "pds_cosine",
    "overlap_at_n",
    "normalised_retrieval",
)
AMPLITUDE, COMPOSITE, OVERLAP = "amplitude", "vcc2025", "overlap_at_n"


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
        metrics: name to mean over perturbations where the score is defined; ``amplitude`` is a median, ``vcc2025`` the
            composite of the 2025 challenge against the mean effect.
        per_perturbation: one row per perturbation and cell type; columns ``perturbation``, ``context``, ``cells``,
            ``predicted_cells``, ``effect_size`` (Euclidean length of the true delta), ``support`` where it is known,
            and one per metric.
        floors: name of a baseline to its metrics: ``no_change``, ``mean_effect``.
        ceilings: metric to what one half of the real cells scores against the other.
        by_effect_size: scores in quarters of effect size; columns ``from``, ``to``, ``perturbations``, and for each
            metric the prediction, ``<metric>_floor`` (mean effect) and ``<metric>_ceiling``.
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


def averages(table: pd.DataFrame) -> dict[str, float]:
    """Metric to its mean over rows where it is defined, NaN where it nowhere is; the amplitude's median."""
    found = {name: float(table[name].mean()) for name in HEADLINE if name in table}
    if AMPLITUDE in table:
        found[AMPLITUDE] = float(table[AMPLITUDE].median())
    return found


def by_strata(
    along: NDArray, scores: pd.DataFrame, floor: pd.DataFrame, ceiling: pd.DataFrame, *, strata: int
) -> pd.DataFrame:
    """Means of scores within quantiles of what perturbations differ in; equal values stay together.

    Args:
        along: (rows,) such as effect size; NaN rows are left out.
        scores: (rows) of metrics.
        floor: the same of a baseline.
        ceiling: the same of split halves; may be empty.
        strata: most strata.

    Returns:
        Columns ``from``, ``to`` (smallest and largest value in the stratum), ``perturbations``, then for each metric
        its mean, ``<metric>_floor`` and ``<metric>_ceiling``.
    """
    along = np.asarray(along, dtype=float)
    known = np.isfinite(along)
    edges = np.unique(np.quantile(along[known], np.linspace(0, 1, strata + 1))) if known.any() else np.zeros(0)
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    rows = []
    for low, high in pairwise(edges):
        inside = known & (along >= low) & ((along < high) | (high == edges[-1]))
        if not inside.any():
            continue
        row = {"from": along[inside].min(), "to": along[inside].max(), "perturbations": int(inside.sum())}
        for name in (metric for metric in HEADLINE if metric in scores):
            row[name] = scores[name][inside].mean()
            row[f"{name}_floor"] = floor[name][inside].mean() if name in floor else np.nan
            row[f"{name}_ceiling"] = ceiling[name][inside].mean() if name in ceiling else np.nan
        rows.append(row)
    return pd.DataFrame(rows)
