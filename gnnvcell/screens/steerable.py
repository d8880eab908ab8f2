"""Steerable: models whose perturbations are vectors, so that a search can go between and beyond the known ones."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray
from torch import Tensor


@runtime_checkable
class Steerable(Protocol):
    """What a search by gradient or by the cross-entropy method asks of a model, beside ``predict``.

    ``effects_of_actions(actions_of(names))`` is about what ``predict(names)`` gives (a model may take fewer control
    cells here); the sum of two actions stands for both done together.
    """

    def actions_of(self, perturbations: Sequence[str] | NDArray) -> Tensor:
        """(perturbations, d) vectors of perturbations."""
        ...

    def effects_of_actions(self, actions: Tensor, *, context: Any = None) -> Tensor:
        """(n, genes) predicted changes of mean expression under any actions, differentiable in them."""
        ...
