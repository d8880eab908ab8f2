"""The interface of models that learn from cells, not from their mean effects."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import anndata as ad
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.cells import Cells
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import Prediction
from gnnvcell.registry import Registry

M = TypeVar("M", bound="CellModel")


@runtime_checkable
class ChangesCells(Protocol):
    """A model that says what becomes of each cell, not only of their mean."""

    def change_cells(self, control: Cells | ad.AnnData, perturbations: Sequence[str] | NDArray) -> NDArray:
        """(cells, genes) log1p expression of each control cell under its perturbation, genes as of ``predict``."""
        ...


CELL_MODELS: Registry[type["CellModel"]] = Registry("model of cells")


class CellModel(ABC):
    """Base of models whose training data are single cells; otherwise used as an ``EffectModel``.

    Concrete models are final, have a frozen ``config_class`` and are registered in ``CELL_MODELS``.
    """

    config_class: ClassVar[type[Config]]
    uses_graph: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = True

    def __init__(self, config: Config | None = None) -> None:
        if config is not None and not isinstance(config, self.config_class):
            raise ModelError(
                f"{type(self).__name__} got a {type(config).__name__}", expected=self.config_class.__name__
            )
        self.config = config if config is not None else self.config_class()

    @abstractmethod
    def fit(self: M, train: Cells | ad.AnnData, graph: GeneGraph | None = None, *, seed: int = 0) -> M:
        """Learn from the cells of training perturbations and their controls, and return the model."""

    @abstractmethod
    def predict(
        self, perturbations: Sequence[str] | NDArray, *, context: Cells | ad.AnnData | str | None = None
    ) -> Prediction:
        """Predict the change of mean expression under any perturbations.

        Args:
            perturbations: names, "A+B" for several targets.
            context: control cells to begin from, or the name of a cell type of training; may be left out where
                training had one.
        """
