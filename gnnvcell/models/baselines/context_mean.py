"""The mean training effect in the cell type that is asked for."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import ModelError, did_you_mean
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines.perturbation_mean import mean_effect, same_for_all


class ContextMeanConfig(Config):
    """Settings of ``ContextMean``.

    Args:
        new_context: what a cell type without training effects gets: "mean" of all rows, or an "error".
    """

    new_context: Literal["mean", "error"] = "error"


@MODELS.register("context_mean")
class ContextMean(EffectModel):
    """Every perturbation does what training perturbations did on average in the same cell type.

    ``y[p, c, g] = mean over q of d[q, c, g]``: the base of the Virtual Cell Challenge 2026.

    Raises:
        ModelError: on ``predict``, no training effect is of the cell type and ``new_context`` is "error".

    Example:
        >>> model = ContextMean(ContextMeanConfig(new_context="mean"))
    """

    config_class = ContextMeanConfig
    config: ContextMeanConfig
    kinds = ("delta",)
    uses_graph = False
    uses_context = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes, self._overall = train.genes, mean_effect(train)
        self._means: dict[str, NDArray[np.float64]] = {
            name: mean_effect(train.of_context(name)) for name in train.context_names
        }

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        known = context.name in self._means
        if not known and self.config.new_context == "error":
            raise ModelError(
                f"no training effect is of the cell type {context.name!r}",
                remedy=f'{did_you_mean(context.name, self._means)}; or set new_context="mean"',
            )
        return same_for_all(self._means[context.name] if known else self._overall, names, self._genes)
