"""EffectPrior: effects of perturbations by a model of effects that never saw them, those of training too."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel


@dataclass(frozen=True, eq=False)
class PriorEffects:
    """Effects of some perturbations.

    Args:
        values: (perturbations, genes) float32.
        support: (perturbations,) float32 >= 0, evidence of the graph.
    """

    values: NDArray[np.float32]
    support: NDArray[np.float32]

    @property
    def field(self) -> NDArray[np.float32]:
        """(perturbations, genes + 1) effects, and log(1 + support) in the last column: what a network reads."""
        return np.concatenate([self.values, np.log1p(self.support)[:, None]], axis=1)


class EffectPrior:
    """What a model of effects says of each perturbation without having seen it.

    A perturbation of training is predicted by a model that was fitted without its fold; every other one by a model of
    all. A larger model that learns from these effects cannot learn from them what was done in training and will not be
    there for a new perturbation.

    Args:
        name: in ``MODELS``.
        train: training effects, of kind "delta".
        graph: the gene graph.
        folds: parts that training perturbations are cut into; fewer where there are fewer perturbations.
        seed: of the models. A perturbation's fold follows from its name and the seed.

    Raises:
        ModelError: fewer than two training perturbations, or what the model's fit refuses.
    """

    def __init__(
        self, name: str, train: EffectTable, graph: GeneGraph, *, folds: int = 5, seed: int = 0
    ) -> None:
        self._name, self._train, self._graph, self._seed = name, train, graph, seed
        names = sorted(set(train.perturbations.tolist()))
        if len(names) < 2:
            raise ModelError("a prior needs two or more training perturbations", found=", ".join(names))
        ordered = sorted(names, key=lambda one: digest_of([seed, one]))
        folds = min(folds, len(names))
        self._fold = {one: at % folds for at, one in enumerate(ordered)}
        self._without: dict[int, EffectModel] = {}
        self._read: GeneGraph | None = None
        self._of_all = self._fitted(np.ones(len(train.perturbations), dtype=bool))

    def _fitted(self, rows: NDArray[np.bool_]) -> EffectModel:
        return MODELS.get(self._name)().fit(self._train.take(np.flatnonzero(rows)), self._graph, seed=self._seed)

    def with_graph(self, graph: GeneGraph) -> "EffectPrior":
        """The same fitted models, reading another graph of the same nodes and relations.

        Raises:
            ModelError: on ``effects``, the models cannot.
        """
        other = copy(self)
        other._read = graph
        return other

    def _reading(self, model: EffectModel) -> EffectModel:
        if self._read is None or not model.uses_graph:
            return model
        if not hasattr(model, "with_graph"):
            raise ModelError(f"{self._name} cannot read another graph than that of its fit")
        return model.with_graph(self._read)  # type: ignore[attr-defined]

    def effects(self, perturbations: Sequence[str] | NDArray, context: str | None = None) -> PriorEffects:
        """Effects of perturbations in a cell type of training, each by a model that did not see it."""
        names = np.asarray(perturbations, dtype=str)
        values = np.zeros((len(names), len(self._train.genes)), dtype=np.float32)
        support = np.zeros(len(names), dtype=np.float32)
        fold = np.array([self._fold.get(str(name), -1) for name in names])
        for number in np.unique(fold).tolist():
            rows = np.flatnonzero(fold == number)
            found = self._reading(self._model(number)).predict(names[rows], context=context)
            values[rows], support[rows] = found.values, found.support
        return PriorEffects(values, support)

    def _model(self, fold: int) -> EffectModel:
        if fold < 0:
            return self._of_all
        if fold not in self._without:
            own = np.array([self._fold[str(name)] == fold for name in self._train.perturbations])
            self._without[fold] = self._fitted(~own)
        return self._without[fold]
