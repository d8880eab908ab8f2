"""ScoredRows: the real rows that one prediction is scored against, with the floors and the split halves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.metrics import DECalls, PseudoBulk, score_all, targets_left_out
from gnnvcell.metrics.profile import Convention
from gnnvcell.tasks.cell_scores import HEADLINE, MEAN_EFFECT, NO_CHANGE
from gnnvcell.tasks.mean_effect import MeanEffect
from gnnvcell.tasks.real_effects import BatchedControls, Half, RealEffects


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Some rows of the real effects.

    Args:
        rows: (rows,) which.
        names: (rows,) perturbations.
        contexts: (rows,) names of their cell types.
        context: (rows,) codes of their cell types.
        genes: (genes,) names.
        means: (rows, genes) true mean expression.
        true_control: (rows, genes) expression of the control cells that the truth is taken against.
        control: (rows, genes) that of the control cells that predictions are taken against.
        mean_effect: (rows, genes), the same in all rows of a cell type; NaN where there is none.
        controls: the control cells that predictions are taken against.
        convention: of ``gnnvcell.metrics.score_all``.
    """

    rows: NDArray[np.int64]
    names: NDArray
    contexts: NDArray
    context: NDArray[np.int64]
    genes: NDArray
    means: NDArray[np.float64]
    true_control: NDArray[np.float64]
    control: NDArray[np.float64]
    mean_effect: NDArray[np.float64]
    controls: BatchedControls
    convention: Convention

    @classmethod
    def of(
        cls,
        effects: RealEffects,
        rows: NDArray,
        genes: NDArray,
        mean_effect: MeanEffect,
        *,
        true_controls: BatchedControls,
        controls: BatchedControls,
        convention: Convention,
    ) -> "ScoredRows":
        """The rows, their truth taken against some control cells and predictions of them against these or others."""
        share, context = effects.share[rows], effects.context[rows]
        return cls(
            rows=rows,
            names=effects.perturbations[rows],
            contexts=effects.contexts[rows],
            context=context,
            genes=genes,
            means=effects.means[rows],
            true_control=true_controls.weighted(share, context),
            control=controls.weighted(share, context),
            mean_effect=mean_effect.of_rows(effects, rows, controls),
            controls=controls,
            convention=convention,
        )

    @property
    def deltas(self) -> NDArray[np.float64]:
        """(rows, genes) true deltas."""
        return self.means - self.true_control

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(rows, genes) all but a perturbation's own targets."""
        return targets_left_out(self.names, self.genes)

    @property
    def mean_expression(self) -> NDArray[np.float64] | None:
        """(rows, genes) expression under the mean effect, which cannot be below 0; None where there is no mean."""
        found = np.maximum(self.control + self.mean_effect, 0.0)
        return found if np.isfinite(found).all() else None

    def control_for(self, share: NDArray) -> NDArray[np.float64]:
        """(rows, genes) what predictions are taken against whose cells have some share in each batch."""
        return self.controls.weighted(share, self.context)

    def scores(
        self, means: NDArray, control: NDArray, calls: DECalls | None = None, true_calls: DECalls | None = None
    ) -> pd.DataFrame:
        """All scores of predicted means, cell type by cell type."""
        return self._scored((means, control, calls), (self.means, self.true_control, true_calls), np.arange(len(means)))

    def floors(self, mean_calls: DECalls | None, true_calls: DECalls | None) -> dict[str, pd.DataFrame]:
        """What no change and the mean effect score; the latter where every row has a mean.

        The centred scores of the mean effect are left out: less itself it is nothing, and rounding would be scored.
        """
        none = None
        if true_calls is not None:
            none = DECalls(np.zeros(self.means.shape, np.float32), np.ones(self.means.shape, np.float32))
        found = {NO_CHANGE: self.scores(self.control, self.control, none, true_calls)}
        if self.mean_expression is not None:
            mean = self.scores(self.mean_expression, self.control, mean_calls, true_calls)
            centred = [name for name in map(str, mean.columns) if name.startswith("centred_")]
            found[MEAN_EFFECT] = mean.assign(**dict.fromkeys(centred, np.nan))
        return found

    def halves(self, pairs: Sequence[tuple[Half, Half]]) -> pd.DataFrame:
        """Mean over splits of what one half scores against the other; NaN where a row's cells cannot be halved."""
        tables = [self._half_scores(*pair) for pair in pairs]
        return averaged(tables).reindex(range(len(self.rows))) if tables else pd.DataFrame(index=range(len(self.rows)))

    def _half_scores(self, first: Half, second: Half) -> pd.DataFrame:
        deltas = [half.deltas[self.rows] for half in (first, second)]
        usable = np.flatnonzero(np.isfinite(deltas[0]).all(axis=1) & np.isfinite(deltas[1]).all(axis=1))
        first_means, second_means = (half.means[self.rows[usable]].astype(np.float64) for half in (first, second))
        one = (first_means, first_means - deltas[0][usable], None)
        other = (second_means, second_means - deltas[1][usable], None)
        return self._scored(one, other, usable)

    def _scored(self, predicted: "_Side", real: "_Side", rows: NDArray) -> pd.DataFrame:
        tables = []
        for context in dict.fromkeys(self.contexts[rows].tolist()):
            part = np.flatnonzero(self.contexts[rows] == context)
            names = self.names[rows[part]]
            bulks, calls = [], []
            for means, control, found in (predicted, real):
                bulks.append(PseudoBulk(means[part], control[part], names, self.genes))
                calls.append(found and DECalls(found.log2_fold_change[part], found.fdr[part], found.alpha))
            mean = self.mean_effect[rows[part[0]]]
            centre = mean if np.isfinite(mean).all() else None
            table = score_all(*bulks, *calls, convention=self.convention, centre=centre)
            if centre is None:
                table[HEADLINE[0]] = np.nan
            if len(part) == 1:  # a rank among one says nothing
                of_ranks = ("discrimination", "retrieval", "reciprocal_rank", "hits_at")
                ranks = [name for name in map(str, table.columns) if any(one in name for one in of_ranks)]
                table = table.assign(**dict.fromkeys(ranks, np.nan))
            tables.append(table.set_index(rows[part]))
        return pd.concat(tables).sort_index()


_Side = tuple[NDArray, NDArray, DECalls | None]


def averaged(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean of tables of scores where a score is defined."""
    return tables[0] if len(tables) == 1 else pd.DataFrame(pd.concat(tables).groupby(level=0).mean())
