"""Trainable: what a model must offer to be trained."""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Trainable(Protocol):
    """An ``nn.Module`` that knows its own loss.

    Example:
        >>> class Line(torch.nn.Linear):
        ...     def loss(self, batch):
        ...         return {"loss": (self(batch["x"]) - batch["y"]).square().mean()}
    """

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars of a batch: "loss" is minimised, and all of them are logged as train/<name> and val/<name>."""
        ...


@runtime_checkable
class Compilable(Protocol):
    """A model that knows which of its parts gain by compilation."""

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Modules that ``torch.compile`` takes whole."""
        ...
