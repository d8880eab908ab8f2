"""Wanted: a goal in the order of a model's genes, and how near predicted changes come to it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, DataError, GnnvcellWarning
from gnnvcell.genes import GeneVocab
from gnnvcell.screens.gallery import own_targets
from gnnvcell.screens.goal import Goal

Measure = Literal["cosine", "pearson", "distance"]
MIN_GENES = 3  # with fewer, a correlation says nothing
LEAST_COVERED = 0.5  # of the goal's squared change


@dataclass(frozen=True, eq=False)
class Scores:
    """How near each predicted change comes to the goal; the perturbed genes themselves are left out.

    Args:
        cosine: (perturbations,) weighted cosine of predicted and wanted change.
        pearson: (perturbations,) weighted Pearson correlation.
        remaining: (perturbations,) distance that is left to the goal over that at the start: 0 is there, 1 no nearer,
            above 1 farther away; NaN for a signature, whose genes have no sizes.
        size: (perturbations,) weighted length of the predicted change over that of the wanted one; NaN likewise.
        score: (perturbations,) what is ranked by, higher is nearer: one of the first two, or ``1 - remaining``.
        score_sd: (perturbations,) its standard deviation where the model knows its errors, taken as independent between
            genes (so it is a lower bound); else NaN.
    """

    cosine: NDArray[np.float64]
    pearson: NDArray[np.float64]
    remaining: NDArray[np.float64]
    size: NDArray[np.float64]
    score: NDArray[np.float64]
    score_sd: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Wanted:
    """A goal over the genes of a model.

    Args:
        genes: (genes,) names that the model has.
        columns: (genes,) their columns in its predictions.
        change: (genes,) float64 wanted change.
        weight: (genes,) float64 > 0.
        sized: see ``Goal``.
        goal_genes: number of genes of the goal.
        covered: share of the goal's weighted squared change that these genes hold.
        missing: names of the goal that the model does not have, those of the largest changes first.
    """

    genes: NDArray
    columns: NDArray[np.int64]
    change: NDArray[np.float64]
    weight: NDArray[np.float64]
    sized: bool
    goal_genes: int
    covered: float
    missing: tuple[str, ...]

    @classmethod
    def of(cls, goal: Goal, genes: NDArray) -> "Wanted":
        """Bring a goal into the order of a model's genes, by name; old symbols and ids are found too.

        Warns:
            GnnvcellWarning: the shared genes hold less than half of the goal's squared change.

        Raises:
            DataError: fewer than three genes are shared, or the shared ones want no change.
        """
        columns = _columns(goal.genes, genes)
        shared = (columns >= 0) & (goal.weight > 0)
        size = goal.weight * goal.change**2
        covered = float(size[shared].sum() / size.sum())
        order = np.argsort(-size, kind="stable")
        missing = tuple(str(goal.genes[at]) for at in order if columns[at] < 0)
        if shared.sum() < MIN_GENES or covered == 0:
            raise DataError(
                f"the goal {goal.name!r} and the model share {int(shared.sum())} genes, which hold {covered:.0%} of it",
                expected=f"{MIN_GENES} genes or more that shall change, such as {', '.join(map(str, genes[:3]))}",
                found=f"a goal of {', '.join(missing[:3]) or ', '.join(map(str, goal.genes[:3]))} ...",
                remedy="bring both to gene symbols, or take a model that reads these genes out",
            )
        if covered < LEAST_COVERED:
            warnings.warn(
                f"{int(shared.sum()):,} of the {len(goal.genes):,} genes of {goal.name!r} are the model's; they hold "
                f"{covered:.0%} of the wanted change; the largest that are missing: {', '.join(missing[:5])}",
                GnnvcellWarning,
                stacklevel=3,
            )
        at = np.flatnonzero(shared)
        return cls(
            np.asarray(genes, dtype=str)[columns[at]],
            columns[at],
            goal.change[at],
            goal.weight[at],
            goal.sized,
            len(goal.genes),
            covered,
            missing,
        )

    def coverage(self) -> dict[str, float | int | str]:
        """What of the goal the model can see, for provenance."""
        return {
            "goal_genes": self.goal_genes,
            "shared_genes": len(self.genes),
            "share_of_change": round(self.covered, 4),
            "largest_missing": ", ".join(self.missing[:10]),
        }

    def centred(self, centre: NDArray) -> "Wanted":
        """The goal less what all candidates do, (genes,) in the order of ``genes``.

        Raises:
            ConfigError: the goal is a signature, from which no size can be taken off.
        """
        if not self.sized:
            raise ConfigError(
                "a signature cannot be centred", expected="a goal with sizes", remedy="leave centred off for signatures"
            )
        return replace(self, change=self.change - centre)

    def scores(
        self,
        values: NDArray,
        names: Sequence[str] | NDArray,
        *,
        measure: Measure = "cosine",
        spread: NDArray | None = None,
    ) -> Scores:
        """How near predicted changes come.

        Args:
            values: (perturbations, genes) changes of the goal's genes (``prediction.values[:, columns]``).
            names: (perturbations,) names, whose targets are left out.
            measure: what is ranked by.
            spread: (perturbations, genes) standard deviation of the error of the values.

        Raises:
            ConfigError: "distance" to a signature.
        """
        if measure == "distance" and not self.sized:
            raise ConfigError("there is no distance to a signature", remedy="rank by cosine or pearson")
        y = np.asarray(values, dtype=np.float64)
        w = np.tile(self.weight, (len(y), 1))
        w[own_targets(names, self.genes)] = 0.0
        g = np.broadcast_to(self.change, y.shape)
        cosine, by_cosine = _direction(y, g, w)
        total = np.maximum(w.sum(axis=1, keepdims=True), 1e-300)
        centred = [v - (w * v).sum(axis=1, keepdims=True) / total for v in (y, g)]
        pearson, by_pearson = _direction(centred[0], centred[1], w)
        lengths = [np.sqrt((w * v * v).sum(axis=1)) for v in (g, y, g - y)]
        remaining = size = np.full(len(y), np.nan)
        if self.sized:
            start = np.maximum(lengths[0], 1e-300)
            remaining, size = lengths[2] / start, lengths[1] / start
        if measure == "distance":
            slope = w * (g - y) / np.maximum(lengths[2] * lengths[0], 1e-300)[:, None]
            score = 1 - remaining
        else:
            score, slope = (cosine, by_cosine) if measure == "cosine" else (pearson, by_pearson)
        sd = np.full(len(y), np.nan)
        if spread is not None:
            sd = np.sqrt(((slope * spread) ** 2).sum(axis=1))
        return Scores(cosine, pearson, remaining, size, score, sd)


def _direction(y: NDArray, g: NDArray, w: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted cosine s of each row, and its slope ``w (g / (|y| |g|) - s y / |y|^2)``; both 0 where a side is zero."""
    a, b = (np.sqrt((w * v * v).sum(axis=1, keepdims=True)) for v in (y, g))
    there = (a > 1e-12) & (b > 1e-12)
    a, b = np.where(there, a, 1.0), np.where(there, b, 1.0)
    s = np.where(there, (w * y * g).sum(axis=1, keepdims=True) / (a * b), 0.0)
    slope = np.where(there, w * (g / (a * b) - s * y / a**2), 0.0)
    return s[:, 0], slope


def _columns(names: NDArray, genes: NDArray) -> NDArray[np.int64]:
    """Column of each name among the model's genes, -1 without one; a name as it is goes before an old one."""
    own = [str(gene) for gene in genes]
    place = {gene: at for at, gene in enumerate(own)}
    columns = np.array([place.get(str(name), -1) for name in names], dtype=np.int64)
    left = np.flatnonzero(columns < 0)
    if len(left):
        found = GeneVocab.from_symbols(own).lookup([str(name) for name in names[left]])
        taken = set(columns[columns >= 0].tolist())
        for at, column in zip(left.tolist(), found.tolist(), strict=True):
            if column >= 0 and column not in taken:
                columns[at] = column
                taken.add(column)
    return columns
