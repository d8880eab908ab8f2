"""Differences between arms of a benchmark, paired by seed, gene and perturbation, with bootstrap intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import erfc, sqrt
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Where = tuple[str, str, str]  # model, graph, control
CHANCE = 0.5


@dataclass(frozen=True, eq=False)
class ArmScores:
    """One model on one graph, seed by seed.

    Args:
        per_gene: (seeds, genes) AUROC of the genes that have both labels.
        influence: (seeds, perturbations), of ``metrics.per_gene_auroc_influence``.
    """

    per_gene: NDArray[np.float64]
    influence: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TableScores:
    """All arms on the labels of one line and task; their seeds, genes and perturbations are the same.

    Args:
        line: cell line.
        task: its name.
        arms: their scores.
        along: what the held-out perturbations are told apart by, where the scores are within a stratum of them.
        stratum: which stratum.
    """

    line: str
    task: str
    arms: Mapping[Where, ArmScores]
    along: str = ""
    stratum: str = ""

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Seeds, genes and perturbations."""
        arm = next(iter(self.arms.values()))
        return (*arm.per_gene.shape, arm.influence.shape[1])


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of the scores of arms, such as real minus control.

    Args:
        kind: which question it answers.
        model: name.
        graph: name.
        against: what is subtracted; empty for a score by itself.
        terms: arm to its weight.
        constant: is added.
        null: the value that there is nothing to see at.
        along: what strata are of, where the scores are within one.
        stratum: which.
    """

    kind: str
    model: str
    graph: str
    against: str
    terms: Mapping[Where, float] = field(hash=False)
    constant: float = 0.0
    null: float = 0.0
    along: str = ""
    stratum: str = ""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a contrast is, and how sure that is.

    Args:
        value: mean over seeds and units.
        draws: (draws,) the value in each bootstrap draw.
        by_seed: (seeds,) mean over units.
        by_unit: (units,) mean over seeds, of each gene of labels or each perturbation of cells.
        null: what it is compared with.
        perturbations: how many were held out.
    """

    value: float
    draws: NDArray[np.float64]
    by_seed: NDArray[np.float64]
    by_unit: NDArray[np.float64]
    null: float
    perturbations: int

    @property
    def sd(self) -> float:
        """Standard deviation over the draws."""
        return float(self.draws.std(ddof=1))

    def interval(self, level: float) -> tuple[float, float]:
        """The middle share of the draws."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    @property
    def p(self) -> float:
        """Two-sided, of a normal distribution with the draws' standard deviation; NaN where nothing varies.

        A share of draws would not go below one in their number, which correction for many comparisons needs.
        """
        distance = abs(self.value - self.null)
        if self.sd < 1e-12:
            return float("nan") if distance > 1e-12 else 1.0
        return erfc(distance / self.sd / sqrt(2))


class Bootstrap:
    """Draws of seeds, genes and perturbations with replacement, the same ones for every contrast on a table.

    Each draw takes seeds, genes and perturbations anew, all three at once. The mean of the per-gene AUROC is followed
    exactly for seeds and genes, and to first order for perturbations: a draw in which perturbation p comes ``w_p``
    times adds ``sum_p (w_p - 1) I_p``. Drawing crossed factors together makes intervals a little too wide [Owen, Annals
    of Applied Statistics 2007]. Seeds are few, so their deviations are enlarged by ``sqrt(n / (n - 1))``; with one
    seed, the chance in a control graph is not in the interval. Lines share the draws of seeds, as they share control
    graphs.

    Args:
        table: what is compared.
        draws: how many.
        seed: of the draws.
    """

    def __init__(self, table: TableScores, *, draws: int = 2000, seed: int = 0) -> None:
        self._table = table
        seeds, genes, perturbations = table.shape
        place = "/".join(name for name in (table.line, table.task, table.along, table.stratum) if name)
        rng = np.random.default_rng([seed, crc32(place.encode())])
        self._genes = drawn_counts(rng, draws, genes) / genes
        self._perturbations = drawn_counts(rng, draws, perturbations) - 1.0
        self._seeds = seed_weights(draws, seeds, seed=seed)

    def estimate(self, contrast: Contrast) -> Estimate:
        """The contrast's value on the table, and its draws."""
        seeds, genes, perturbations = self._table.shape
        by_gene, influence = np.zeros((seeds, genes)), np.zeros((seeds, perturbations))
        for where, weight in contrast.terms.items():
            by_gene += weight * self._table.arms[where].per_gene
            influence += weight * self._table.arms[where].influence
        by_gene += contrast.constant
        draws = (self._seeds * (self._genes @ by_gene.T + self._perturbations @ influence.T)).sum(axis=1)
        value, by_seed, of_gene = float(by_gene.mean()), by_gene.mean(axis=1), by_gene.mean(axis=0)
        return Estimate(value, draws, by_seed, of_gene, contrast.null, perturbations)


def seed_weights(draws: int, seeds: int, *, seed: int) -> NDArray[np.float64]:
    """(draws, seeds) weights of seeds drawn with replacement, deviations enlarged because they are few."""
    small = sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0
    drawn = drawn_counts(np.random.default_rng([seed, seeds]), draws, seeds) - 1.0
    return (1.0 + small * drawn) / seeds


def drawn_counts(rng: np.random.Generator, draws: int, size: int) -> NDArray[np.float64]:
    """(draws, size) how often each of ``size`` things comes when as many are drawn with replacement."""
    drawn = rng.integers(size, size=(draws, size)) + np.arange(draws)[:, None] * size
    return np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size).astype(np.float64)


def sign_test(values: NDArray, null: float) -> tuple[int, int, float]:
    """How many values are above and below the null, and the two-sided binomial p of that; ties are left out."""
    above, below = int((values > null + 1e-12).sum()), int((values < null - 1e-12).sum())
    return above, below, float(binomtest(above, above + below).pvalue) if above + below else 1.0


def holm(p: NDArray) -> NDArray[np.float64]:
    """p-values corrected for their number [Holm 1979]: ``max over j <= i of (m - j + 1) p_(j)``, at most 1; NaN stays.

    The chance that any of the comparisons without a difference falls below .05 is then at most .05.
    """
    p = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return corrected
