"""No change: a perturbed cell is as its controls are, on average."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction


class NoChangeConfig(Config):
    """There is nothing to set."""


@MODELS.register("no_change", "control_mean")
class NoChange(EffectModel):
    """The mean of the control cells stands for every perturbation: ``y[p, g] = 0``.

    As an effect, the mean of the controls is no change; the two names are one model.

    Example:
        >>> model = NoChange()
    """

    config_class = NoChangeConfig
    config: NoChangeConfig
    kinds = ("delta",)
    uses_graph = False

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes = train.genes

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        values = np.zeros((len(names), len(self._genes)), dtype=np.float32)
        return Prediction(values, names, self._genes, np.zeros(len(names), dtype=np.float32))
