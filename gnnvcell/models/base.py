"""The one interface of every model of effects: fit on a training table and a graph, predict any perturbation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import anndata as ad
import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.cells import Cells, as_cells
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.data.pseudobulk import cell_effects, control_context
from gnnvcell.errors import ModelError, did_you_mean
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.registry import Registry

M = TypeVar("M", bound="EffectModel")  # a model's fit returns the model, as its own type

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
        context: cell type of the prediction.
        spread: (perturbations, genes) float32 >= 0: standard deviation of the error, as far as the model knows it (its
            own head, or the members of an ensemble); None where it does not.
    """

    values: NDArray[np.float32]
    perturbations: NDArray
    genes: NDArray
    support: NDArray[np.float32]
    context: str = ""
    spread: NDArray[np.float32] | None = None

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
        if self.spread is not None and (self.spread.shape != shape or not (self.spread >= 0).all()):
            raise ModelError(
                "the spread of a prediction does not fit it",
                expected=f"one number >= 0 for each of {shape[0]} perturbations and {shape[1]} genes",
                found=f"shape {self.spread.shape}, smallest {np.min(self.spread, initial=np.inf):.3g}",
            )


@runtime_checkable
class EffectPredictor(Protocol):
    """What ensembles, calibrations and screens ask of a model, whatever it learned from."""

    def predict(self, perturbations: Sequence[str] | NDArray, *, context: Any = None) -> Prediction:
        """Predict the effects of perturbations in a cell type."""
        ...


class EffectModel(ABC):
    """Base of models that predict effect tables. Concrete models are final and registered in ``MODELS``.

    A concrete model has a frozen ``config_class`` and is made from one: ``Smoother(SmootherConfig(power=2.5))`` or
    ``Smoother()``. It says how it learns (``_fit``) and predicts (``_predict``).

    Example:
        >>> from gnnvcell.models import MODELS
        >>> model = MODELS.get("gene_mean")()
    """

    config_class: ClassVar[type[Config]]
    kinds: ClassVar[tuple[str, ...]] = ("de", "direction", "delta")  # of effects that it can learn from
    uses_graph: ClassVar[bool] = True  # False: the graph argument of fit is not looked at
    uses_context: ClassVar[bool] = False  # True: what is predicted depends on the cell type
    uses_seed: ClassVar[bool] = False  # True: another seed gives another model; a benchmark repeats only such models
    _train_contexts: dict[str, Context]
    _train_genes: NDArray
    _train_perturbations: frozenset[str]

    def __init__(self, config: Config | None = None) -> None:
        if config is not None and not isinstance(config, self.config_class):
            raise ModelError(
                f"{type(self).__name__} got a {type(config).__name__}", expected=self.config_class.__name__
            )
        self.config = config if config is not None else self.config_class()

    def fit(self: M, train: EffectTable | Cells | ad.AnnData, graph: GeneGraph, *, seed: int = 0) -> M:
        """Learn from training effects over a gene graph, and return the model.

        Args:
            train: measured effects of training perturbations only; or cells, whose effects are taken against
                batch-matched controls (``gnnvcell.data.cell_effects``).
            graph: the gene graph; perturbed and readout genes are looked up in its vocabulary.
            seed: seed of everything random.

        Raises:
            ModelError: effects of a kind that is not its own, nothing to learn from, or (where the model needs it) no
                training gene is in the graph.
            DataError: of cells, no controls, none in a batch, or values that are neither counts nor log1p.
        """
        table = train if isinstance(train, EffectTable) else cell_effects(as_cells(train))
        if table.kind not in self.kinds:
            raise ModelError(
                f"{type(self).__name__} does not learn from effects of kind {table.kind!r}",
                expected=" or ".join(self.kinds),
                remedy="choose another model, or a table of that kind",
            )
        self._fit(table, graph, seed)
        self._train_contexts = {name: table.context_of(name) for name in table.context_names}
        self._train_genes = table.genes
        self._train_perturbations = frozenset(table.perturbations.tolist())
        return self

    @classmethod
    def heeds_seed(cls, config: Config, train: EffectTable) -> bool:
        """Whether another seed gives another model of these effects."""
        return cls.uses_seed

    @property
    def training_perturbations(self) -> frozenset[str]:
        """Names of the perturbations that the model learned from; none before it was fitted."""
        return getattr(self, "_train_perturbations", frozenset())

    def predict(
        self, perturbations: Sequence[str] | NDArray, *, context: Context | Cells | ad.AnnData | str | None = None
    ) -> Prediction:
        """Predict the effects of any perturbations, seen or not, on every readout gene of the training table.

        Args:
            perturbations: names, "A+B" for several targets; a target outside the graph gets the gene's mean and
                support 0.
            context: the cell type to predict for: one of training by its name, or a new one as a ``Context`` or by its
                control cells; may be left out where training had one. Only models with ``uses_context`` heed it.

        Raises:
            ModelError: the model was not fitted, or it must know the context and cannot.
        """
        if not hasattr(self, "_train_contexts"):
            raise ModelError("the model was not fitted", remedy="call fit(train, graph) first")
        chosen = self._context(context)
        found = self._predict(np.asarray(perturbations, dtype=str), chosen)
        return replace(found, context=chosen.name)

    @abstractmethod
    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Learn; arguments and errors as of ``fit``."""

    @abstractmethod
    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """Predict; (perturbations,) names and a context whose control expression is in the order of training genes."""

    def _context(self, context: Context | Cells | ad.AnnData | str | None) -> Context:
        known = self._train_contexts
        if isinstance(context, Cells | ad.AnnData):
            return control_context(as_cells(context), self._train_genes)
        if isinstance(context, Context):
            if context.control is not None and context.control.shape != self._train_genes.shape:
                raise ModelError(
                    f"the control expression of {context.name!r} does not fit the model",
                    expected=f"one number for each of {len(self._train_genes)} training genes, in their order",
                    found=f"shape {context.control.shape}",
                )
            return context
        if context is None:
            if len(known) == 1 or not self.uses_context:
                return next(iter(known.values())) if len(known) == 1 else Context()
            raise ModelError("the context to predict for is missing", remedy=f"context= one of {', '.join(known)}")
        if context not in known:
            raise ModelError(
                f"the model was not trained in the context {context!r}",
                remedy=f"{did_you_mean(context, known)}; or give its control cells",
            )
        return known[context]
