"""Score predicted cells of a screen; the real cells stay in here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.cells import Cells
from gnnvcell.metrics import spearman_brown, targets_left_out
from gnnvcell.metrics.challenge import challenge_2025_score
from gnnvcell.tasks.cell_scores import (
    AMPLITUDE,
    COMPOSITE,
    MEAN_EFFECT,
    NO_CHANGE,
    OVERLAP,
    CellScores,
    ScoredEffects,
    averages,
    by_strata,
)
from gnnvcell.tasks.cell_sums import Grouping, summed
from gnnvcell.tasks.cell_tests import overlap_at_n
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.delta_scores import CORRELATIONS, ERRORS, score_deltas, score_means
from gnnvcell.tasks.matching import Match, match_cells, targets_of
from gnnvcell.tasks.mean_effect import MeanEffect, of_training_cells, of_training_names, others
from gnnvcell.tasks.real_effects import Half, RealEffects, measure_effects, shares
from gnnvcell.tasks.real_tests import RealTests

# A sum of predicted expression beyond this ratio to the real one is more than a model's mistake.
_SCALES_APART = 2.0


class PredictedCellsConfig(Config):
    """Settings of an evaluation of cells.

    Args:
        splits: splits of the real cells into disjoint halves, for the ceiling; 0 leaves it out.
        seed: of the splits.
        strata: most strata by effect size and by graph support.
        differential: also test for differential expression; the cells of one cell type are then held in memory.
        fdr: level of significance.
        threads: of the tests.
    """

    splits: int = 5
    seed: int = 0
    strata: int = 4
    differential: bool = True
    fdr: float = 0.05
    threads: int = 1


class PredictedCells:
    """The task of predicting cells: a prediction is scored against the real cells, their controls and their noise.

    Mean log1p expression under a perturbation less that of the real control cells of the same batches is its delta,
    for the prediction as for the truth. A prediction whose batches are the real ones is matched by its own; any other
    by those of the real cells. Scores, by perturbation and as their mean (``gnnvcell.metrics`` has the definitions):
    ``centred_pearson_delta`` (the headline: both sides less the mean effect), ``pearson_delta``, ``pds_cosine`` with
    ``amplitude`` beside it, ``pds_l1``, ``normalised_retrieval``, all without a perturbation's own targets; ``mae`` and
    ``mse`` of mean expression over all genes, as cell-eval has them.

    Beside them stand two floors, no change and the mean effect, and a ceiling: one half of the real cells scored
    against the other, correlations corrected to whole samples [Spearman 1910; Brown 1910], errors by the number of
    cells. Ranks are not corrected: their ceiling is that of half the cells.

    Args:
        real: real cells, in memory or on disk, with control cells in every batch.
        train: training cells; their mean effect is the centre and the floor.
        training: names of training perturbations among the real cells, where there is no file of them.
        held_out: names that a prediction must have; any may be missing when left out.
        support: perturbation to graph evidence, for the strata.
        tables: given tables of differential expression, and where that of the real cells is kept.
        config: settings.
        progress: bars on stderr.

    Raises:
        DataError: the real cells have no controls, none in a batch, or values that cannot be scored.

    Example:
        >>> task = PredictedCells(Cells.open("real.h5ad"))  # doctest: +SKIP
        >>> task.evaluate(Cells.open("predicted.h5ad")).metrics["centred_pearson_delta"]  # doctest: +SKIP
    """

    def __init__(
        self,
        real: Cells,
        *,
        train: Cells | None = None,
        training: Iterable[str] = (),
        held_out: Iterable[str] = (),
        support: Mapping[str, float] | None = None,
        tables: DETables | None = None,
        config: PredictedCellsConfig | None = None,
        progress: bool = True,
    ) -> None:
        self.config = config or PredictedCellsConfig()
        self._real, self._progress = real, progress
        self._held_out = [str(name) for name in held_out]
        self._support = {targets_of(name): float(value) for name, value in (support or {}).items()}
        self._effects = measure_effects(real, splits=self.config.splits, seed=self.config.seed, progress=progress)
        names = frozenset(targets_of(name) for name in training)
        if train is not None:
            self.mean_effect = of_training_cells(train, real.genes, progress=progress)
        elif names:
            self.mean_effect = of_training_names(self._effects, names)
        else:
            self.mean_effect = others()
        self._tests: RealTests | None = None
        if self.config.differential:
            self._tests = RealTests(real, self._effects, tables or DETables(), threads=self.config.threads)

    def evaluate(self, predicted: Cells) -> CellScores:
        """Score a prediction.

        Args:
            predicted: predicted cells, counts or log1p-normalised; control cells are not needed.

        Raises:
            DataError: its genes, perturbations or cell types do not fit the real ones, a held-out perturbation is
                missing, or its values cannot be scored.
        """
        match = match_cells(predicted, self._real, required=self._held_out)
        rows = self._rows(match)
        means, cells = self._predicted_means(predicted, match)
        share = self._batch_share(predicted, match, rows)
        deltas = means - self._effects.controls.weighted(share, self._effects.context[rows])
        truth = _Truth.of(self._effects, rows, self.mean_effect, self._real.genes)
        scores = truth.scores(deltas, means)
        floors = truth.floors()
        significant = self._add_overlaps(predicted, match, truth, scores, floors)
        ceiling = truth.ceiling(self._effects.halves)
        table = self._per_perturbation(match, rows, cells, truth, scores)
        mean_floor = floors.get(MEAN_EFFECT, pd.DataFrame(index=scores.index))
        strata = {"scores": scores, "floor": mean_floor, "ceiling": ceiling, "strata": self.config.strata}
        return CellScores(
            metrics=_with_composite(scores, floors),
            per_perturbation=table,
            floors={name: averages(floor) for name, floor in floors.items()},
            ceilings=averages(ceiling),
            by_effect_size=by_strata(table["effect_size"].to_numpy(), **strata),
            by_support=by_strata(table["support"].to_numpy(), **strata) if self._support else pd.DataFrame(),
            effects=ScoredEffects(
                deltas, truth.deltas, truth.scored, table.index.to_numpy(), self._real.genes, significant
            ),
            notes=[*match.notes, *self._notes(match, means, truth)],
        )

    def _add_overlaps(
        self, predicted: Cells, match: Match, truth: "_Truth", scores: pd.DataFrame, floors: dict[str, pd.DataFrame]
    ) -> NDArray[np.bool_] | None:
        """Add the overlap of differentially expressed genes to the scores; returns which genes are, in truth."""
        if self._tests is None:
            return None
        constant = truth.mean_expression if MEAN_EFFECT in floors else None
        tests, of_mean = self._tests.against(predicted, match, truth.rows, constant)
        true = self._tests.tests.take(truth.rows)
        scores[OVERLAP] = overlap_at_n(tests, true, fdr=self.config.fdr)
        floors[NO_CHANGE][OVERLAP] = 0.0  # where nothing changes, nothing is called
        if of_mean is not None:
            floors[MEAN_EFFECT][OVERLAP] = overlap_at_n(of_mean, true, fdr=self.config.fdr)
        return true.fdr < self.config.fdr

    def _rows(self, match: Match) -> NDArray[np.int64]:
        """The row of the real effects for each matched row."""
        place = {
            (str(name), str(context)): i
            for i, (name, context) in enumerate(zip(self._effects.perturbations, self._effects.contexts, strict=True))
        }
        return np.array([place[key] for key in zip(match.perturbations, match.contexts, strict=True)], dtype=np.int64)

    def _predicted_means(self, predicted: Cells, match: Match) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        grouping = Grouping(match.predicted_rows, len(match.perturbations))
        (sums,) = summed(predicted, [grouping], columns=match.columns, what="predicted", progress=self._progress)
        return sums / grouping.sizes[:, None], grouping.sizes

    def _batch_share(self, predicted: Cells, match: Match, rows: NDArray) -> NDArray[np.float64]:
        """(rows, batches) the batches a prediction was made for: its own where it names real ones."""
        place = {str(name): i for i, name in enumerate(self._effects.batch_names)}
        batch = np.array([place.get(str(name), -1) for name in predicted.batches])[predicted.batch_code]
        if (batch[match.predicted_rows >= 0] < 0).any():
            return self._effects.share[rows]
        return shares(Grouping(match.predicted_rows, len(rows)), batch, len(place))

    def _per_perturbation(
        self, match: Match, rows: NDArray, cells: NDArray, truth: "_Truth", scores: pd.DataFrame
    ) -> pd.DataFrame:
        table = pd.DataFrame({"perturbation": match.perturbations, "context": match.contexts})
        table["cells"], table["predicted_cells"] = self._effects.cells[rows], cells
        table["effect_size"] = np.sqrt(np.where(truth.scored, truth.deltas**2, 0.0).sum(axis=1))
        if self._support:
            table["support"] = [self._support.get(targets_of(name), np.nan) for name in match.perturbations]
        table = pd.concat([table, scores], axis=1)
        several = len(set(match.contexts.tolist())) > 1
        names = [f"{name} ({context})" if several else name for name, context in zip(*_columns(match), strict=True)]
        return table.set_index(pd.Index(names, name="name"))

    def _notes(self, match: Match, means: NDArray, truth: "_Truth") -> list[str]:
        notes = [f"centred scores and the mean effect take the mean of {self.mean_effect.origin}"]
        seen = {targets_of(name) for name in match.perturbations} & self.mean_effect.perturbations
        if seen:
            notes.append(f"{len(seen)} scored perturbations are among the training ones: their scores say nothing new")
        ratio = float(means.sum() / max(truth.means.sum(), 1e-12))
        if not 1 / _SCALES_APART < ratio < _SCALES_APART:
            notes.append(
                f"predicted expression is {ratio:.2g} times the real one in sum: the two files are not on one scale"
            )
        unknown = sum(targets_of(name) not in self._support for name in match.perturbations) if self._support else 0
        if unknown:
            notes.append(f"graph support is not known for {unknown} perturbations: they are left out of its strata")
        return notes


def _with_composite(scores: pd.DataFrame, floors: dict[str, pd.DataFrame]) -> dict[str, float]:
    """Means of scores, and the challenge's composite of them where there are tests and a mean effect."""
    metrics = averages(scores)
    if OVERLAP in scores and MEAN_EFFECT in floors:
        plain, base = ({str(k): float(v) for k, v in table.mean().items()} for table in (scores, floors[MEAN_EFFECT]))
        metrics[COMPOSITE] = challenge_2025_score(plain, base)
    return metrics


def _columns(match: Match) -> tuple[list[str], list[str]]:
    return match.perturbations.tolist(), match.contexts.tolist()


@dataclass(frozen=True, eq=False)
class _Truth:
    """The real rows that one prediction is scored against."""

    rows: NDArray[np.int64]
    contexts: NDArray
    means: NDArray[np.float64]  # (rows, genes)
    deltas: NDArray[np.float64]
    centre: NDArray[np.float64]
    scored: NDArray[np.bool_]

    @classmethod
    def of(cls, effects: RealEffects, rows: NDArray, mean_effect: MeanEffect, genes: NDArray) -> "_Truth":
        scored = targets_left_out(effects.perturbations[rows], genes)
        centre = mean_effect.of_rows(effects, rows)
        return cls(rows, effects.contexts[rows], effects.means[rows], effects.deltas[rows], centre, scored)

    def scores(self, deltas: NDArray, means: NDArray) -> pd.DataFrame:
        by_delta = score_deltas(deltas, self.deltas, self.scored, centre=self.centre, contexts=self.contexts)
        return pd.concat([by_delta, score_means(means, self.means)], axis=1)

    @property
    def mean_expression(self) -> NDArray[np.float64]:
        """(rows, genes) expression under the mean effect, which cannot be below 0."""
        return np.maximum(self.means - self.deltas + self.centre, 0.0)

    def floors(self) -> dict[str, pd.DataFrame]:
        """What no change and the mean effect score; the latter only where there is a mean."""
        found = {NO_CHANGE: self.scores(np.zeros_like(self.deltas), self.means - self.deltas)}
        if np.isfinite(self.centre).all():
            found[MEAN_EFFECT] = self.scores(self.centre, self.mean_expression)
        return found

    def ceiling(self, halves: Sequence[tuple[Half, Half]]) -> pd.DataFrame:
        """Mean over splits of what one half scores against the other; NaN where a row's cells cannot be halved."""
        tables = [self._half_scores(*pair) for pair in halves]
        if not tables:
            return pd.DataFrame(index=pd.RangeIndex(len(self.rows)))
        mean = pd.concat(tables).groupby(level=0).mean().reindex(range(len(self.rows)))
        for name in CORRELATIONS:
            mean[name] = spearman_brown(mean[name].to_numpy())
        for name, power in ERRORS.items():
            mean[name] *= 2.0**-power
        return mean.drop(columns=AMPLITUDE)

    def _half_scores(self, first: Half, second: Half) -> pd.DataFrame:
        deltas = [half.deltas[self.rows].astype(np.float64) for half in (first, second)]
        usable = np.flatnonzero(np.isfinite(deltas[0]).all(axis=1) & np.isfinite(deltas[1]).all(axis=1))
        x, y = (delta[usable] for delta in deltas)
        table = score_deltas(x, y, self.scored[usable], centre=self.centre[usable], contexts=self.contexts[usable])
        means = [half.means[self.rows[usable]].astype(np.float64) for half in (first, second)]
        return pd.concat([table, score_means(*means)], axis=1).set_index(usable)
