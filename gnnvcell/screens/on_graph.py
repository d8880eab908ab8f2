"""What explanations ask of a model: to predict on an edited graph, and to say which outcomes it listened to."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.models.evidence import Evidence


@runtime_checkable
class ReadsGraph(Protocol):
    """A model that predicts on another graph of the same nodes and relations, with all that it learned as it is.

    What follows from the graph is made again; nothing is refitted. So the difference of two predictions is what the
    deleted edges carried.
    """

    @property
    def graph(self) -> GeneGraph | None:
        """The graph that predictions read; None for a model without one."""
        ...

    @property
    def training_perturbations(self) -> Collection[str]:
        """Names of what the model learned from."""
        ...

    def with_graph(self, graph: GeneGraph) -> EffectPredictor:
        """The model on another graph."""
        ...

    def predict(self, perturbations: Sequence[str] | NDArray, *, context: Any = None) -> Prediction:
        """As of ``EffectPredictor``."""
        ...


@runtime_checkable
class PassesOutcomes(Protocol):
    """A model whose predictions are made of training outcomes."""

    def evidence(self, perturbation: str, gene: str) -> Evidence:
        """The training outcomes behind a prediction; models with ``uses_context`` also take ``context=``."""
        ...
