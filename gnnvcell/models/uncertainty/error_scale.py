"""ErrorScale: how large a model's error is to be expected, gene by gene and perturbation by perturbation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import ModelError
from gnnvcell.models.uncertainty.residuals import Residuals

_WEIGHTS = np.linspace(0.0, 0.9, 10)  # never 1: a spread of 0, where all members agree, is no promise
_SMALLEST = 1e-6  # of a scale, in the unit of effects; far below what cells can tell


@dataclass(frozen=True, eq=False)
class ErrorScale:
    """Standard deviation of the error of a prediction::

        sigma[p, g]^2 = k^2 ((1 - w) m_g^2 + w t^2 s[p, g]^2)

    m_g is the size of the gene's residuals, ``m_g^2 = (sum of squares + c m^2) / (number + c)`` with m^2 the mean over
    all pairs; s the spread that the model states, and t what makes it as large as the residuals on the whole. Its
    weight w in [0, .9] and k are chosen by the normal likelihood of the residuals: the mean of ``(e / sigma)^2`` is 1.
    A model that states no spread has w = 0.

    Args:
        gene: (genes,) m_g.
        weight: w.
        ratio: t.
        factor: k.
    """

    gene: NDArray[np.float64]
    weight: float
    ratio: float
    factor: float

    @classmethod
    def fit(
        cls, residuals: Residuals, *, prior_count: float, use_spread: bool
    ) -> tuple["ErrorScale", NDArray[np.float64]]:
        """Fit to residuals.

        Args:
            residuals: of held-out perturbations.
            prior_count: c, in measurements.
            use_spread: whether the stated spread may enter.

        Returns:
            The scale, and (rows, genes) of each row the scale that its perturbation had no part in: a score that is
            divided by a scale which it is itself a part of would be too small.

        Raises:
            ModelError: fewer than two perturbations with measured effects, or all residuals are 0.
        """
        square = np.nan_to_num(residuals.error.astype(np.float64)) ** 2
        measured = np.isfinite(residuals.error)
        code, names = pd.factorize(residuals.perturbations)
        total, count = (_by_group(part, code, len(names)) for part in (square, measured))
        if (count.sum(axis=1) > 0).sum() < 2 or not total.any():
            raise ModelError(
                "these residuals have no size",
                expected="residuals of two or more perturbations, not all 0",
                found=f"{len(names)} perturbations, sum of squares {total.sum():g}",
            )
        gene = _gene_sizes(total.sum(axis=0), count.sum(axis=0), prior_count)
        without = _gene_sizes(total.sum(axis=0) - total, count.sum(axis=0) - count, prior_count)[code]
        stated, ratio, weights = np.zeros(()), 1.0, _WEIGHTS[:1]
        if residuals.spread is not None and use_spread and residuals.spread.any():
            stated = residuals.spread.astype(np.float64) ** 2
            ratio, weights = float(np.sqrt(square[measured].sum() / stated[measured].sum())), _WEIGHTS
        mixed = [(1 - weight) * without**2 + weight * ratio**2 * stated for weight in weights]
        factors = [(square[measured] / one[measured]).mean() for one in mixed]
        costs = [np.log(k * one[measured]).mean() for k, one in zip(factors, mixed, strict=True)]
        best = int(np.argmin(costs))
        factor = float(np.sqrt(factors[best]))
        return cls(gene, float(weights[best]), ratio, factor), factor * np.sqrt(mixed[best])

    def of(self, rows: int, spread: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """(rows, genes) standard deviations of a prediction with that spread.

        Raises:
            ModelError: the scale was fitted with the model's spread, and there is none.
        """
        if self.weight == 0.0:
            return np.tile((self.factor * self.gene).astype(np.float32), (rows, 1))
        if spread is None:
            raise ModelError(
                "the prediction states no spread", expected="that of the model whose errors were calibrated"
            )
        own = ((1 - self.weight) * self.gene**2).astype(np.float32)
        return np.float32(self.factor) * np.sqrt(own + np.float32(self.weight * self.ratio**2) * spread**2)


def _by_group(values: NDArray, code: NDArray, groups: int) -> NDArray[np.float64]:
    total = np.zeros((groups, values.shape[1]))
    np.add.at(total, code, values)
    return total


def _gene_sizes(total: NDArray, count: NDArray, prior_count: float) -> NDArray[np.float64]:
    """Root mean squares by gene, drawn towards that of all; sums and numbers of measurements are (..., genes)."""
    overall = total.sum(axis=-1, keepdims=True) / np.maximum(count.sum(axis=-1, keepdims=True), 1)
    return np.sqrt((total + prior_count * overall) / (count + prior_count)).clip(_SMALLEST)
