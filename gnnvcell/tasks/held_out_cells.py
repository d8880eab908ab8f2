"""Perturbations of a screen, or a cell type, held out on disjoint halves of the controls; the truth stays in here."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.data.cell_sums import COUNTS_PER_CELL
from gnnvcell.data.cells import Cells
from gnnvcell.data.cells_differential import differential_of_cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.pseudobulk import cell_effects, resolved_target_sum
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.metrics import (
    CellPairs,
    amplitude_ratio,
    mse_delta,
    normalised_retrieval,
    pearson_delta,
    perturbation_discrimination,
    published_scores,
    targets_left_out,
)
from gnnvcell.tasks.cell_pairs import AskedPairs, DrawnPairs
from gnnvcell.tasks.held_out import NamedPrediction, TaskInputs, positions
from gnnvcell.tasks.held_out_groups import HeldOutGroup

STRONG, WEAK, NULL = "strong", "weak", "null"
STRONG_GENES = 5  # Bonferroni-significant genes from which an effect counts as strong
_RESOLUTION = 1e-6  # natural log units
SCORES = (
    "pearson_delta", "centred_pearson_delta", "mse_delta", "mse_of_no_change", "amplitude_ratio", "centred_retrieval",
    "centred_pds_cosine",
)  # fmt: skip
PAIRS = 64  # most pairs of a perturbation that are looked at


class HeldOutCells:
    """Effects of cells, predicted for held-out perturbations from those of the others.

    Of a screen in one cell type. Of one in several, a cell type is held out: a model learns from the perturbations of
    the others, which may be the same ones, and from the control cells of all.

    For each of ``splits`` draws the control cells are cut into halves within every batch: training effects are taken
    against one half, the truth against the other. What a control half happens to be is therefore not part of what a
    prediction can share with the truth (shared controls lift the correlation of true nulls).

    Args:
        cells: the screen.
        groups: what is held out together; ``leave_one_out``, ``in_folds``, ``singles_to_doubles`` or ``all_at_once``.
        context: the cell type that is held out, where the screen has several.
        splits: draws of the halves.
        seed: of the draws.
        min_cells: perturbations with fewer cells are neither learned from nor predicted.
        target_sum: what counts are scaled to before log1p; None is the median (see ``cell_effects``).

    Raises:
        DataError: fewer than two control cells in a batch that has perturbed cells, names of groups or a cell type that
            are not there, several cell types and none held out, or what ``cell_effects`` refuses.

    Example:
        >>> task = HeldOutCells(cells, leave_one_out(cells.perturbations), splits=10)  # doctest: +SKIP
        >>> for split, group in task.runs():  # doctest: +SKIP
        ...     inputs = task.inputs(split, group)
        ...     scores = task.evaluate(model.fit(inputs.train, graph).predict(inputs.perturbations), split, group)
    """

    def __init__(
        self,
        cells: Cells,
        groups: Sequence[HeldOutGroup],
        *,
        context: str | None = None,
        splits: int = 10,
        seed: int = 0,
        min_cells: int = 1,
        target_sum: float | None = COUNTS_PER_CELL,
    ) -> None:
        self._inside = _of_context(cells, context)  # (cells,) those of the cell type that is predicted
        self.cells, self.groups, self.target_sum, self.seed = cells, list(groups), target_sum, seed
        self.context = context
        rng = np.random.default_rng(seed)
        self._train: list[EffectTable] = []
        self._truth: list[EffectTable] = []
        self._halves: list[tuple[EffectTable, EffectTable]] = []
        self._controls: list[NDArray[np.bool_]] = []  # (cells,) those of training

        def effects(perturbed: NDArray, controls: NDArray, fewest: int = 1) -> EffectTable:
            return cell_effects(cells, rows=perturbed | controls, min_cells=fewest, target_sum=target_sum)

        perturbed = cells.code >= 0
        for _ in range(splits):
            first, second = _halves(cells, cells.is_control, rng)
            self._controls.append(first)
            self._train.append(effects(perturbed, first, min_cells))
            self._truth.append(effects(perturbed, second, min_cells))
            some, rest = _halves(cells, perturbed, rng)
            self._halves.append((effects(some, first), effects(rest, second)))
        rows = self._train[0]
        here = rows.contexts == context if context is not None else np.ones(len(rows.contexts), dtype=bool)
        elsewhere = ~here if context is not None else here
        for group in self.groups:
            for names, table in ((group.test, rows.take(here)), (group.train, rows.take(elsewhere))):
                _require_names(names, table.perturbations, min_cells)

    @property
    def splits(self) -> int:
        """Draws of the control halves."""
        return len(self._train)

    def runs(self) -> Iterator[tuple[int, HeldOutGroup]]:
        """Every split of the controls with every group."""
        for split in range(len(self._train)):
            for group in self.groups:
                yield split, group

    def inputs(self, split: int, group: HeldOutGroup) -> TaskInputs:
        """Training effects against one half of the controls, the names to predict, and the cell type to predict in."""
        train = self._train[split]
        where = None if self.context is None else train.context_of(self.context)
        return TaskInputs(train.take(self._learned(train, group)), np.array(group.test), where)

    def _learned(self, table: EffectTable, group: HeldOutGroup) -> NDArray[np.bool_]:
        """(rows,) those of training perturbations; of another cell type than the one that is held out."""
        inside = np.isin(table.perturbations, group.train)
        return inside if self.context is None else inside & (table.contexts != self.context)

    def training_cells(self, split: int, group: HeldOutGroup) -> Cells:
        """The cells behind the training effects of ``inputs``: of training perturbations, and half the controls."""
        learned = np.append(np.isin(self.cells.perturbations, group.train), [False, False])[self.cells.code]
        if self.context is not None:
            learned &= ~self._inside
        return self.cells.take_cells(learned | self._controls[split])

    def evaluate(self, prediction: NamedPrediction, split: int, group: HeldOutGroup) -> pd.DataFrame:
        """One row per held-out perturbation: ``SCORES`` over all genes but its targets.

        Centred scores take the mean effect of the training perturbations from both sides, each by its own controls.
        Retrieval and discrimination rank a perturbation's own effect among those of all held-out perturbations, also of
        other groups; NaN where there is only one.

        Raises:
            DataError: the prediction lacks a perturbation or a gene.
        """
        predicted = self._aligned(prediction, split, group)
        return self._scored(predicted, self._truth[split], split, group)

    def _aligned(self, prediction: NamedPrediction, split: int, group: HeldOutGroup) -> NDArray[np.float64]:
        """(held-out, genes) values of a prediction, in the order of the group and of the screen's genes."""
        rows = positions(prediction.perturbations, np.array(group.test), "perturbation")
        columns = positions(prediction.genes, self._truth[split].genes, "gene")
        return np.asarray(prediction.values, dtype=np.float64)[np.ix_(rows, columns)]

    def _scored(
        self, predicted: NDArray[np.float64], truth: EffectTable, split: int, group: HeldOutGroup
    ) -> pd.DataFrame:
        centres = self._centres(split, group)
        scores = _scored(predicted, self._rows(truth, group.test), *centres)
        ranked = _ranked(predicted, group.test, self._rows(truth, self.held_out), *centres)
        return scores.assign(**ranked, split=split)

    @property
    def held_out(self) -> list[str]:
        """All held-out perturbations, each once."""
        return list(dict.fromkeys(name for group in self.groups for name in group.test))

    def pairs(self, split: int, group: HeldOutGroup) -> AskedPairs:
        """Control cells of the truth's half, and what is done to each: the input of predictions cell by cell."""
        return self._pairs(split, group).asked

    def _pairs(self, split: int, group: HeldOutGroup) -> DrawnPairs:
        cells = self.cells
        return DrawnPairs.drawn(
            cells,
            np.array(group.test),
            self._inside & ~cells.is_control,
            self._inside & cells.is_control & ~self._controls[split],
            most=PAIRS,
            target_sum=resolved_target_sum(cells, self.target_sum),
            seed=self.seed + split,
        )

    def published(
        self, prediction: NamedPrediction, split: int, group: HeldOutGroup, *, changed: NDArray | None = None
    ) -> pd.DataFrame:
        """One row per held-out perturbation: scores as bio-JEPA publishes them (``gnnvcell.metrics.published_scores``).

        Args:
            prediction: predicted effects; each is added to the control cells, where ``changed`` is left out.
            split, group: which run.
            changed: (pairs, genes) what the cells of ``pairs`` become, in the order of the prediction's genes.

        Raises:
            DataError: the prediction lacks a perturbation or a gene, or there are not as many cells as pairs.
        """
        drawn = self._pairs(split, group)
        control = drawn.expression(drawn.control)
        if changed is None:
            place = {name: row for row, name in enumerate(group.test)}
            effect = self._aligned(prediction, split, group)
            after = control + effect[[place[str(name)] for name in drawn.perturbations]]
        else:
            after = np.asarray(changed)[:, positions(prediction.genes, self.cells.genes, "gene")]
        pairs = CellPairs(after, drawn.expression(drawn.perturbed), control, drawn.perturbations)
        return published_scores(pairs).reset_index().assign(split=split)

    def mean_cell(self) -> pd.DataFrame:
        """The published scores of the mean control cell of training, whatever was done: what needs no model."""
        found = []
        for split, group in self.runs():
            drawn = self._pairs(split, group)
            mean = drawn.expression(np.flatnonzero(self._inside & self._controls[split])).mean(axis=0)
            after = np.tile(mean, (len(drawn.control), 1))
            perturbed, control = drawn.expression(drawn.perturbed), drawn.expression(drawn.control)
            scores = published_scores(CellPairs(after, perturbed, control, drawn.perturbations))
            found.append(scores.reset_index().assign(split=split))
        return pd.concat(found, ignore_index=True)

    def _rows(self, table: EffectTable, names: Sequence[str]) -> EffectTable:
        """Some perturbations of a table, in the cell type that is predicted."""
        here = table if self.context is None else table.take(table.contexts == self.context)
        return here.take(positions(here.perturbations, np.array(names), "perturbation"))

    def _centres(self, split: int, group: HeldOutGroup) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(genes,) mean effect of the training perturbations, against the controls of training and those of the truth.

        One centre for both sides would leave the difference of the two halves of the controls in one of them.
        """
        inside = self._learned(self._train[split], group)
        return _mean_effect(self._train[split].take(inside)), _mean_effect(self._truth[split].take(inside))

    def ceiling(self) -> pd.DataFrame:
        """The scores of one half of a perturbation's cells, against one half of the controls, as a prediction of the
        other halves; each split of each held-out perturbation. It is that of half the cells, not corrected.
        """
        found = []
        for split, group in self.runs():
            first, second = self._halves[split]
            predicted = self._rows(first, group.test).values.astype(np.float64)
            found.append(self._scored(predicted, second, split, group))
        return pd.concat(found, ignore_index=True)

    def strata(self) -> dict[str, str]:
        """Held-out perturbation to "strong" (at least 5 differentially expressed genes beside its targets, Mann-Whitney
        with Bonferroni's correction at .05), "weak" (1 to 4) or "null".
        """
        tests = differential_of_cells(self.cells.take_cells(self._inside), min_cells=1)
        found = {}
        outside = targets_left_out(tests.perturbations, tests.genes)
        significant = ((tests.p_value * len(tests.genes) < 0.05) & outside).sum(axis=1)
        for name, count in zip(tests.perturbations.tolist(), significant.tolist(), strict=True):
            found[name] = STRONG if count >= STRONG_GENES else WEAK if count else NULL
        return {name: found[name] for group in self.groups for name in group.test}


def _halves(cells: Cells, inside: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Two disjoint masks of the cells inside, as equal as can be within every perturbation, context and batch."""
    frame = pd.DataFrame({"code": cells.code, "context": cells.context_code, "batch": cells.batch_code})
    group = frame.groupby(["code", "context", "batch"]).ngroup().to_numpy()
    order = np.lexsort((rng.random(len(group)), group))
    rank = np.empty(len(group), dtype=np.int64)
    start = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    rank[order] = np.arange(len(group)) - np.repeat(start, np.diff(np.r_[start, len(group)]))
    first = rank % 2 == 0
    return inside & first, inside & ~first


def _of_context(cells: Cells, context: str | None) -> NDArray[np.bool_]:
    """(cells,) those of the cell type that is held out, or all of the only one.

    Raises:
        DataError: there is no such cell type, no other, or several of which none is held out.
    """
    names = [str(name) for name in cells.contexts]
    if context is None and len(names) == 1:
        return np.ones(len(cells), dtype=bool)
    if context is None:
        raise DataError(
            "the cells are of several cell types, and none is held out",
            found=", ".join(names[:5]),
            remedy="name the one to hold out, or take one: cells.take_cells(cells.context_code == 0)",
        )
    position = cells.context_position(context)
    if len(names) == 1:
        raise DataError(f"{context!r} is the only cell type, and is held out", expected="another one to learn from")
    return cells.context_code == position


def _require_names(names: Sequence[str], known: NDArray, min_cells: int) -> None:
    missing = sorted(set(names) - set(known.tolist()))
    if missing:
        raise DataError(
            f"the perturbation {missing[0]!r} has no {min_cells} cells", remedy=did_you_mean(missing[0], known.tolist())
        )


def _mean_effect(table: EffectTable) -> NDArray[np.float64]:
    """(genes,) mean over the rows in which a gene was measured."""
    return table.values.sum(axis=0, dtype=np.float64) / np.maximum(table.measured.sum(axis=0), 1)


def _beyond(predicted: NDArray, centre: NDArray) -> NDArray[np.float64]:
    """A prediction less the centre; what float32 leaves of one that is the centre itself is no pattern to correlate."""
    beyond = predicted - centre
    return np.where(np.abs(beyond) < _RESOLUTION, 0.0, beyond)


def _ranked(
    predicted: NDArray, names: Sequence[str], truth: EffectTable, centre: NDArray, true_centre: NDArray
) -> dict[str, NDArray[np.float64]]:
    """Scores that compare with the true effects of all held-out perturbations, for the (names,) of some of them."""
    if len(truth.perturbations) < 2:
        return {name: np.full(len(names), np.nan) for name in ("centred_retrieval", "centred_pds_cosine")}
    rows = positions(truth.perturbations, np.array(names), "perturbation")
    true = np.where(truth.measured, truth.values - true_centre, 0.0)
    given = np.zeros_like(true)
    given[rows] = _beyond(predicted, centre)
    scored = targets_left_out(truth.perturbations, truth.genes) & truth.measured
    return {
        "centred_retrieval": normalised_retrieval(given, true, scored)[rows],
        "centred_pds_cosine": perturbation_discrimination(given, true, scored)[rows],
    }


def _scored(predicted: NDArray, truth: EffectTable, centre: NDArray, true_centre: NDArray) -> pd.DataFrame:
    scored, values = truth.measured, truth.values.astype(np.float64)
    beyond = _beyond(predicted, centre)
    return pd.DataFrame(
        {
            "perturbation": truth.perturbations,
            "pearson_delta": np.nan_to_num(pearson_delta(predicted, values, scored)),
            "centred_pearson_delta": np.nan_to_num(pearson_delta(beyond, values - true_centre, scored)),
            "mse_delta": mse_delta(predicted, values, scored),
            "mse_of_no_change": mse_delta(np.zeros_like(values), values, scored),
            "amplitude_ratio": amplitude_ratio(predicted, values, scored),
        }
    )
