"""Perturbations of a screen held out in turn, on disjoint halves of the control cells; their truth stays in here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.data.cell_sums import COUNTS_PER_CELL
from gnnvcell.data.cells import Cells
from gnnvcell.data.cells_differential import differential_of_cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.metrics import amplitude_ratio, mse_delta, pearson_delta, targets_left_out
from gnnvcell.perturbation import Perturbation
from gnnvcell.tasks.held_out import NamedPrediction, TaskInputs, positions

STRONG, WEAK, NULL = "strong", "weak", "null"
STRONG_GENES = 5  # Bonferroni-significant genes from which an effect counts as strong
_RESOLUTION = 1e-6  # natural log units
SCORES = ("pearson_delta", "centred_pearson_delta", "mse_delta", "amplitude_ratio")


@dataclass(frozen=True)
class HeldOutGroup:
    """Perturbations that are held out together.

    Args:
        test: their names.
        train: names of the perturbations to learn from.
    """

    test: tuple[str, ...]
    train: tuple[str, ...]


def leave_one_out(names: Sequence[str] | NDArray) -> list[HeldOutGroup]:
    """Each perturbation in turn; others that share a target with it are not learned from."""
    targets = {name: set(Perturbation.parse(name).targets) for name in map(str, names)}
    return [
        HeldOutGroup((name,), tuple(other for other in targets if not targets[other] & targets[name]))
        for name in targets
    ]


def in_folds(names: Sequence[str] | NDArray, folds: int) -> list[HeldOutGroup]:
    """Perturbations in sorted order, dealt out to folds held out in turn; fold k has every ``folds``-th from the
    k-th on. Others that share a target with a held-out one are not learned from.

    Raises:
        DataError: fewer perturbations than folds, or fewer than two folds.
    """
    targets = {name: set(Perturbation.parse(name).targets) for name in sorted(map(str, names))}
    if not 2 <= folds <= len(targets):
        raise DataError(f"{len(targets)} perturbations cannot be held out in {folds} folds", expected="2 or more folds")
    groups = []
    for fold in range(folds):
        test = tuple(targets)[fold::folds]
        of_test = set[str]().union(*(targets[name] for name in test))
        groups.append(HeldOutGroup(test, tuple(name for name in targets if not targets[name] & of_test)))
    return groups


def singles_to_doubles(names: Sequence[str] | NDArray, *, singles_seen: int = 2) -> list[HeldOutGroup]:
    """All combinations of which ``singles_seen`` targets were measured alone, to be predicted from all singles.

    Raises:
        DataError: there is no such combination, or no single.
    """
    targets = {str(name): Perturbation.parse(str(name)).targets for name in names}
    singles = tuple(name for name, genes in targets.items() if len(genes) == 1)
    seen = {targets[name][0] for name in singles}
    doubles = tuple(
        name for name, genes in targets.items() if len(genes) > 1 and sum(g in seen for g in genes) == singles_seen
    )
    if not doubles or not singles:
        raise DataError(
            f"no combination has {singles_seen} targets that were measured alone",
            found=f"{len(singles)} singles, {len(targets) - len(singles)} combinations",
        )
    return [HeldOutGroup(doubles, singles)]


class HeldOutCells:
    """Effects of cells, predicted for held-out perturbations from those of the others.

    For each of ``splits`` draws the control cells are cut into halves within every batch: training effects are taken
    against one half, the truth against the other. What a control half happens to be is therefore not part of what a
    prediction can share with the truth (shared controls lift the correlation of true nulls).

    Args:
        cells: the screen.
        groups: what is held out together; ``leave_one_out``, ``in_folds`` or ``singles_to_doubles``.
        splits: draws of the halves.
        seed: of the draws.
        min_cells: perturbations with fewer cells are neither learned from nor predicted.
        target_sum: what counts are scaled to before log1p; None is the median (see ``cell_effects``).

    Raises:
        DataError: fewer than two control cells in a batch that has perturbed cells, names of groups that are not there,
            or what ``cell_effects`` refuses.

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
        splits: int = 10,
        seed: int = 0,
        min_cells: int = 1,
        target_sum: float | None = COUNTS_PER_CELL,
    ) -> None:
        if len(cells.contexts) > 1:
            raise DataError(
                "held-out cells are of one cell type",
                found=", ".join(map(str, cells.contexts[:5])),
                remedy="take one: cells.take_cells(cells.context_code == 0)",
            )
        self.cells, self.groups, self.target_sum = cells, list(groups), target_sum
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
        known = set(self._train[0].perturbations.tolist())
        for group in self.groups:
            missing = sorted({*group.test, *group.train} - known)
            if missing:
                raise DataError(
                    f"the perturbation {missing[0]!r} has no {min_cells} cells", remedy=did_you_mean(missing[0], known)
                )

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
        """Training effects against one half of the controls, and the names to predict."""
        train = self._train[split]
        return TaskInputs(train.take(np.isin(train.perturbations, group.train)), np.array(group.test))

    def training_cells(self, split: int, group: HeldOutGroup) -> Cells:
        """The cells behind the training effects of ``inputs``: of training perturbations, and half the controls."""
        inside = np.append(np.isin(self.cells.perturbations, group.train), [False, False])
        return self.cells.take_cells(inside[self.cells.code] | self._controls[split])

    def evaluate(self, prediction: NamedPrediction, split: int, group: HeldOutGroup) -> pd.DataFrame:
        """One row per held-out perturbation: ``SCORES`` over all genes but its targets.

        Centred scores take the mean effect of the training perturbations from both sides, each by its own controls.

        Raises:
            DataError: the prediction lacks a perturbation or a gene.
        """
        truth = _rows(self._truth[split], group.test)
        rows = positions(prediction.perturbations, truth.perturbations, "perturbation")
        columns = positions(prediction.genes, truth.genes, "gene")
        predicted = np.asarray(prediction.values, dtype=np.float64)[np.ix_(rows, columns)]
        return _scored(predicted, truth, *self._centres(split, group)).assign(split=split)

    def _centres(self, split: int, group: HeldOutGroup) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(genes,) mean effect of the training perturbations, against the controls of training and those of the truth.

        One centre for both sides would leave the difference of the two halves of the controls in one of them.
        """
        inside = np.isin(self._train[split].perturbations, group.train)
        return _mean_effect(self._train[split].take(inside)), _mean_effect(self._truth[split].take(inside))

    def ceiling(self) -> pd.DataFrame:
        """The scores of one half of a perturbation's cells, against one half of the controls, as a prediction of the
        other halves; each split of each held-out perturbation. It is that of half the cells, not corrected.
        """
        found = []
        for split, group in self.runs():
            first, second = (_rows(part, group.test) for part in self._halves[split])
            predicted = first.values.astype(np.float64)
            found.append(_scored(predicted, second, *self._centres(split, group)).assign(split=split))
        return pd.concat(found, ignore_index=True)

    def strata(self) -> dict[str, str]:
        """Held-out perturbation to "strong" (at least 5 differentially expressed genes beside its targets, Mann-Whitney
        with Bonferroni's correction at .05), "weak" (1 to 4) or "null".
        """
        tests = differential_of_cells(self.cells, min_cells=1)
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


def _rows(table: EffectTable, names: Sequence[str]) -> EffectTable:
    return table.take(positions(table.perturbations, np.array(names), "perturbation"))


def _mean_effect(table: EffectTable) -> NDArray[np.float64]:
    """(genes,) mean over the rows in which a gene was measured."""
    return table.values.sum(axis=0, dtype=np.float64) / np.maximum(table.measured.sum(axis=0), 1)


def _scored(predicted: NDArray, truth: EffectTable, centre: NDArray, true_centre: NDArray) -> pd.DataFrame:
    scored, values = truth.measured, truth.values.astype(np.float64)
    beyond = predicted - centre
    # What float32 leaves of a prediction that is the centre itself is no pattern to correlate.
    beyond = np.where(np.abs(beyond) < _RESOLUTION, 0.0, beyond)
    return pd.DataFrame(
        {
            "perturbation": truth.perturbations,
            "pearson_delta": np.nan_to_num(pearson_delta(predicted, values, scored)),
            "centred_pearson_delta": np.nan_to_num(pearson_delta(beyond, values - true_centre, scored)),
            "mse_delta": mse_delta(predicted, values, scored),
            "amplitude_ratio": amplitude_ratio(predicted, values, scored),
        }
    )
