"""Score predicted cells of a screen; the real cells stay in here."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.cell_sums import Grouping, summed
from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.metrics import DECalls, averages, ceilings, quantile_edges, shift_magnitude, vcc2025_score
from gnnvcell.metrics.challenge import VCC2025
from gnnvcell.metrics.profile import Convention
from gnnvcell.tasks.cell_scores import (
    COMPOSITE,
    EFFECT_SIZE,
    MEAN_EFFECT,
    SUPPORT,
    CellScores,
    ScoredEffects,
    strata_of,
    support_edges,
)
from gnnvcell.tasks.cell_tests import CellTests
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.matching import Match, match_cells, targets_of
from gnnvcell.tasks.mean_effect import of_all, of_training_cells, of_training_rows
from gnnvcell.tasks.real_effects import measure_effects, shares
from gnnvcell.tasks.scored_rows import ScoredRows, averaged

# A sum of predicted expression beyond this ratio to the real one is more than a model's mistake.
_SCALES_APART = 2.0


class PredictedCellsConfig(Config):
    """Settings of an evaluation of cells.

    Args:
        splits: splits of the real cells into disjoint halves, for the ceiling; 0 leaves it out.
        controls: "shared": prediction and truth are taken against the same control cells, as the official scorers do;
            what these cells happen to be then raises the correlation of weak effects, also above the ceiling. "halves":
            against disjoint halves of them, mean over the splits.
        seed: of the splits.
        strata: quantiles of effect size (and of graph support, where that is no count).
        convention: "ours" leaves the targets of a perturbation out of all scores but ``mae`` and ``mse``; "cell-eval"
            leaves out what cell-eval 0.8 does, to lay numbers side by side.
        differential: also test for differential expression; the cells of one cell type are then held in memory.
        fdr: level of significance.
        threads: of the tests.
    """

    splits: int = 5
    controls: Literal["shared", "halves"] = "shared"
    seed: int = 0
    strata: int = 4
    convention: Convention = "ours"
    differential: bool = True
    fdr: float = 0.05
    threads: int = 1


class PredictedCells:
    """The task of predicting cells: a prediction is scored against the real cells, their controls and their noise.

    Mean log1p expression under a perturbation less that of the real control cells of the same batches is its delta,
    for the prediction as for the truth. A prediction whose batches are the real ones is matched by its own; any other
    by those of the real cells. Scores are all of ``gnnvcell.metrics.METRICS``, by perturbation and as their mean; the
    headline is ``centred_pearson_delta``, both sides less the mean effect of training perturbations.

    Beside them stand two floors, no change and the mean effect (as cells, for differential expression: as many equal
    ones as there are real ones), and a ceiling: one half of the real cells against the other, corrected to whole
    samples (``gnnvcell.metrics.ceilings``); differential expression is not tested in halves.

    Args:
        real: real cells, in memory or on disk, with control cells in every batch.
        train: training cells; their mean effect is the centre and the floor.
        parts: (real cells,) "train", "val", "test" or "control", of a split of the real cells: its training
            perturbations give the mean effect where there is no file of training cells.
        part: what of the split is scored, whole and alone.
        support: perturbation to graph evidence, for the strata.
        tables: given tables of differential expression, and where that of the real cells is kept.
        config: settings.
        progress: bars on stderr.

    Raises:
        ConfigError: halves of the controls without splits.
        DataError: the real cells have no controls, none in a batch, or values that cannot be scored; or the split has
            no part to score or nothing to learn from.

    Example:
        >>> task = PredictedCells(Cells.open("real.h5ad"))  # doctest: +SKIP
        >>> task.evaluate(Cells.open("predicted.h5ad")).metrics["centred_pearson_delta"]  # doctest: +SKIP
    """

    def __init__(
        self,
        real: Cells,
        *,
        train: Cells | None = None,
        parts: NDArray | None = None,
        part: str = "test",
        support: Mapping[str, float] | None = None,
        tables: DETables | None = None,
        config: PredictedCellsConfig | None = None,
        progress: bool = True,
    ) -> None:
        self.config = config or PredictedCellsConfig()
        if self.config.controls == "halves" and not self.config.splits:
            raise ConfigError("halves of the control cells need splits", expected="splits >= 1", found="splits = 0")
        self._real, self._progress = real, progress
        self._held_out = None if parts is None else _held_out(parts, part)
        self._support = {targets_of(name): float(value) for name, value in (support or {}).items()}
        self._effects = measure_effects(real, splits=self.config.splits, seed=self.config.seed, progress=progress)
        if train is not None:
            self.mean_effect = of_training_cells(train, real.genes, progress=progress)
        elif parts is not None:
            self.mean_effect = of_training_rows(self._effects, self._effects.rows_with(np.asarray(parts) == "train"))
        else:
            self.mean_effect = of_all()
        self._tests: CellTests | None = None
        if self.config.differential:
            self._tests = CellTests(
                real, self._effects, tables or DETables(), alpha=self.config.fdr, threads=self.config.threads
            )

    def evaluate(self, predicted: Cells) -> CellScores:
        """Score a prediction.

        Args:
            predicted: predicted cells, counts or log1p-normalised; control cells are not needed.

        Raises:
            DataError: its genes, perturbations or cell types do not fit the real ones, a held-out perturbation is
                missing, or its values cannot be scored.
        """
        match = match_cells(predicted, self._real, held_out=self._held_out)
        rows = self._rows(match)
        means, cells = self._predicted_means(predicted, match)
        share = self._batch_share(predicted, match, rows)
        truths = self._truths(rows)
        calls, mean_calls, true_calls = self._calls(predicted, match, truths[0])
        controls = [truth.control_for(share) for truth in truths]
        scores = averaged(
            [truth.scores(means, control, calls, true_calls) for truth, control in zip(truths, controls, strict=True)]
        )
        floors = [truth.floors(mean_calls, true_calls) for truth in truths]
        floor = {name: averaged([part[name] for part in floors]) for name in floors[0]}
        mean_floor = floor.get(MEAN_EFFECT, pd.DataFrame(index=scores.index))
        halves = truths[0].halves(self._effects.halves)
        table = self._per_perturbation(match, rows, cells, truths[0], scores)
        return CellScores(
            metrics=_with_composite(averages(scores), averages(mean_floor)),
            per_perturbation=table,
            floors={name: averages(part) for name, part in floor.items()},
            ceilings=ceilings(halves) if len(halves.columns) else {},
            **self._strata(table, scores, mean_floor, halves),
            effects=ScoredEffects(
                predicted=np.mean([means - control for control in controls], axis=0),
                true=np.mean([truth.deltas for truth in truths], axis=0),
                scored=truths[0].scored,
                names=table.index.to_numpy(),
                genes=self._real.genes,
                significant=None if true_calls is None else true_calls.significant,
            ),
            notes=[*match.notes, *self._notes(match, means, truths[0]), *self._above(scores, halves)],
        )

    def _truths(self, rows: NDArray) -> list[ScoredRows]:
        """The truth against all control cells, or against one half of them and predictions against the other."""
        whole = self._effects.controls
        pairs = [(whole, whole)]
        if self.config.controls == "halves":
            pairs = [(first.controls, second.controls) for first, second in self._effects.halves]
        return [
            ScoredRows.of(
                self._effects,
                rows,
                self._real.genes,
                self.mean_effect,
                true_controls=true,
                controls=other,
                convention=self.config.convention,
            )
            for true, other in pairs
        ]

    def _calls(
        self, predicted: Cells, match: Match, truth: ScoredRows
    ) -> tuple[DECalls | None, DECalls | None, DECalls | None]:
        """What is called differentially expressed: in the prediction, under the mean effect, in truth."""
        if self._tests is None:
            return None, None, None
        mean = truth.mean_expression
        of_mean = None if mean is None else self._tests.of_mean(mean, truth.rows)
        return self._tests.of_predicted(predicted, match, truth.rows), of_mean, self._tests.of_real(truth.rows)

    def _strata(
        self, table: pd.DataFrame, scores: pd.DataFrame, floor: pd.DataFrame, halves: pd.DataFrame
    ) -> dict[str, pd.DataFrame]:
        size = table[EFFECT_SIZE].to_numpy()
        found = {"by_effect_size": strata_of(size, quantile_edges(size, self.config.strata), scores, floor, halves)}
        found["by_support"] = pd.DataFrame()
        if SUPPORT in table:
            support = table[SUPPORT].to_numpy()
            edges = support_edges(support, self.config.strata)
            found["by_support"] = strata_of(support, edges, scores, floor, halves)
        return found

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
        self, match: Match, rows: NDArray, cells: NDArray, truth: ScoredRows, scores: pd.DataFrame
    ) -> pd.DataFrame:
        table = pd.DataFrame({"perturbation": match.perturbations, "context": match.contexts})
        table["cells"], table["predicted_cells"] = self._effects.cells[rows], cells
        table[EFFECT_SIZE] = shift_magnitude(truth.deltas, truth.scored)
        if self._support:
            table[SUPPORT] = [self._support.get(targets_of(name), np.nan) for name in match.perturbations]
        table = pd.concat([table, scores], axis=1)
        several = len(set(match.contexts.tolist())) > 1
        names = [f"{name} ({context})" if several else name for name, context in zip(*_columns(match), strict=True)]
        return table.set_index(pd.Index(names, name="name"))

    def _notes(self, match: Match, means: NDArray, truth: ScoredRows) -> list[str]:
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

    def _above(self, scores: pd.DataFrame, halves: pd.DataFrame) -> list[str]:
        """A word where a correlation is above its ceiling, which no model can be."""
        # No ceiling at all, where halves do not agree, is a ceiling of nothing.
        best = {name: np.nan_to_num(value) for name, value in ceilings(halves).items()} if len(halves.columns) else {}
        names = [name for name in ("pearson_delta", "centred_pearson_delta") if scores[name].mean() > best.get(name, 1)]
        if not names or self.config.controls == "halves":
            return []
        return [
            f"{' and '.join(names)} pass the ceiling: prediction and truth share the real control cells, and chance in "
            "these makes them alike; controls in halves (--controls halves) do not"
        ]


def _with_composite(metrics: dict[str, float], floor: dict[str, float]) -> dict[str, float]:
    """The metrics, with the challenge's composite of them where there are tests of differential expression."""
    if not all(name in metrics and name in floor for name in VCC2025):
        return metrics
    return {**metrics, COMPOSITE: vcc2025_score(metrics, floor)["avg_score"]}


def _held_out(parts: NDArray, part: str) -> NDArray[np.bool_]:
    """(cells,) whether they are of a part that has cells and is not learned from."""
    found = np.asarray(parts, dtype=str) == part
    if part == "train" or not found.any():
        raise DataError(
            f"the part {part!r} of the split cannot be scored",
            expected="held-out perturbations with real cells",
            found=", ".join(sorted(set(np.asarray(parts, dtype=str).tolist()))),
        )
    return found


def _columns(match: Match) -> tuple[list[str], list[str]]:
    return match.perturbations.tolist(), match.contexts.tolist()
