"""What the same perturbation did in other cell types."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines.perturbation_mean import mean_effect
from gnnvcell.perturbation import Perturbation


class SameTargetTransferConfig(Config):
    """Settings of ``SameTargetTransfer``.

    Args:
        prior_pairs: pairs of rows that the learned slope is drawn towards ``prior_slope`` by.
        prior_slope: share of an effect that is expected in another cell type.
    """

    prior_pairs: float = Field(default=10.0, ge=0)
    prior_slope: float = Field(default=0.5, ge=0)


@MODELS.register("same_target_transfer")
class SameTargetTransfer(EffectModel):
    """The mean effect of the same targets in other cell types, beyond the mean effect there, times a learned slope.

    ``y[p, c] = m_c + s * mean over c' != c of (d[p, c'] - m_c')``, m_c the mean training effect in cell type c
    (over all cell types where c is new). The slope s is least squares over training perturbations that were
    measured in several cell types, each predicted from the others, with ``prior_pairs`` pairs of average size at
    ``prior_slope``. The mean where the perturbation was measured nowhere else; support is the number of other cell
    types.

    Example:
        >>> model = SameTargetTransfer()
    """

    config_class = SameTargetTransferConfig
    config: SameTargetTransferConfig
    kinds = ("delta",)
    uses_graph = False
    uses_context = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes, self._overall = train.genes, mean_effect(train)
        self._means = {name: mean_effect(train.of_context(name)) for name in train.context_names}
        self._beyond: dict[frozenset[str], dict[str, NDArray[np.float64]]] = {}
        for row, (name, context) in enumerate(zip(train.perturbations, train.contexts, strict=True)):
            residual = np.where(train.measured[row], train.values[row] - self._means[str(context)], 0.0)
            self._beyond.setdefault(_targets(name), {})[str(context)] = residual
        self._slope = self._learned_slope()

    def _learned_slope(self) -> float:
        pairs = []
        for by_context in self._beyond.values():
            for context, effect in by_context.items():
                elsewhere = [other for name, other in by_context.items() if name != context]
                if elsewhere:
                    pairs.append((np.mean(elsewhere, axis=0), effect))
        if not pairs:
            return self.config.prior_slope
        inner = sum(float(a @ b) for a, b in pairs)
        square = sum(float(a @ a) for a, _ in pairs)
        prior = self.config.prior_pairs * square / len(pairs)
        total = square + prior
        return (inner + prior * self.config.prior_slope) / total if total > 0 else self.config.prior_slope

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        base = self._means.get(context.name, self._overall)
        values = np.tile(base, (len(names), 1))
        support = np.zeros(len(names), dtype=np.float32)
        for row, name in enumerate(names):
            known = self._beyond.get(_targets(name), {})
            elsewhere = [effect for other, effect in known.items() if other != context.name]
            if elsewhere:
                values[row] += self._slope * np.mean(elsewhere, axis=0)
                support[row] = len(elsewhere)
        return Prediction(values.astype(np.float32), names, self._genes, support)


def _targets(name: object) -> frozenset[str]:
    return frozenset(Perturbation.parse(str(name)).targets)
