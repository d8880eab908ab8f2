"""Models small enough to reckon with by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gnnvcell.models.base import Prediction
from gnnvcell.perturbation import Perturbation


@dataclass(eq=False)
class TableModel:
    """Predicts what it was told of each target; a combination is the sum of its targets plus what it was told of it.

    Args:
        effects: target to (genes,) effect.
        genes: names.
        extra: "A+B" to what it does beyond the sum.
        spread: standard deviation of every value; None where the model knows none.
        by_context: context to the factor of all effects.
    """

    effects: dict[str, NDArray]
    genes: NDArray
    extra: dict[str, NDArray] = field(default_factory=dict)
    spread: float | None = None
    by_context: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def predict(self, perturbations: Sequence[str] | NDArray, *, context: Any = None) -> Prediction:
        names = [str(name) for name in perturbations]
        self.asked += names
        values, support = np.zeros((len(names), len(self.genes)), np.float32), np.ones(len(names), np.float32)
        for row, name in enumerate(names):
            given = Perturbation.parse(name)
            known = [target for target in given.targets if target in self.effects]
            support[row] = len(known) == len(given.targets)
            values[row] = sum((self.effects[target] for target in known), np.zeros(len(self.genes)))
            values[row] += self.extra.get(name, 0.0)
            values[row] *= self.by_context.get(str(context), 1.0) * (given.amount or 1.0)
        spread = None if self.spread is None else np.full(values.shape, self.spread, np.float32)
        return Prediction(values, np.array(names), self.genes, support, str(context or ""), spread)


@pytest.fixture
def random_model() -> TableModel:
    """Forty targets with random effects on thirty genes, of which none is a target."""
    rng = np.random.default_rng(0)
    genes = np.array([f"R{at:02d}" for at in range(30)])
    return TableModel({f"T{at:02d}": rng.normal(size=30) for at in range(40)}, genes)
