"""The one interface of every model of effects: fit on a training table and a graph, predict any perturbation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.registry import Registry

MODELS: Registry[type["EffectModel"]] = Registry("model")


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted effects, with the names that a scorer needs.

    Args:
        values: (perturbations, genes) float32. For labels a score that grows with the label's probability (compared
            within a gene); for kind "delta" the effect itself.
        perturbations: (perturbations,) names.
        genes: (genes,) names.
        support: (perturbations,) float32 >= 0: how much measured evidence the graph brought to each perturbation;
            0 means that the prediction rests on the gene's mean alone.
    """

    values: NDArray[np.float32]
    perturbations: NDArray
    genes: NDArray
    support: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = (len(self.perturbations), len(self.genes))
        if self.values.shape != shape or self.support.shape != shape[:1]:
            raise ModelError(
                "a prediction's parts have different shapes",
                expected=f"values {shape}, support {shape[:1]}",
                found=f"values {self.values.shape}, support {self.support.shape}",
            )
        if not np.isfinite(self.values).all():
            raise ModelError(f"{int((~np.isfinite(self.values)).sum())} predicted values are NaN or infinite")


class EffectModel(ABC):
    """Base of models that predict effect tables. Concrete models are final and registered in ``MODELS``.

    A concrete model has a nested frozen ``config_class`` and is made from one: ``Smoother(SmootherConfig(power=2.5))``
    or ``Smoother()``.

    Example:
        >>> from gnnvcell.models import MODELS
        >>> model = MODELS.get("gene_mean")()
    """

    config_class: ClassVar[type[Config]]
    uses_graph: ClassVar[bool] = True  # False: the graph argument of fit is not looked at
    uses_seed: ClassVar[bool] = False  # True: another seed gives another model; a benchmark repeats only such models

    def __init__(self, config: Config | None = None) -> None:
        if config is not None and not isinstance(config, self.config_class):
            raise ModelError(
                f"{type(self).__name__} got a {type(config).__name__}", expected=self.config_class.__name__
            )
        self.config = config if config is not None else self.config_class()

    @abstractmethod
    def fit(self, train: EffectTable, graph: GeneGraph, *, seed: int = 0) -> "EffectModel":
        """Learn from training effects over a gene graph, and return the model.

        Args:
            train: measured effects of training perturbations only.
            graph: the gene graph; perturbed and readout genes are looked up in its vocabulary.
            seed: seed of everything random.

        Raises:
            ModelError: nothing to learn from, or (where the model needs it) no training gene is in the graph.
        """

    @abstractmethod
    def predict(self, perturbations: Sequence[str] | NDArray) -> Prediction:
        """Predict the effects of any perturbations, seen or not, on every readout gene of the training table.

        Args:
            perturbations: names, "A+B" for several targets; a target outside the graph gets the gene's mean and
                support 0.

        Raises:
            ModelError: the model was not fitted.
        """
