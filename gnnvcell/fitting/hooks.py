"""What a model may offer beside its loss: something to do after each step, and numbers to keep an eye on."""

import warnings
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from gnnvcell.errors import GnnvcellWarning


@runtime_checkable
class StepAware(Protocol):
    """A model with something to do after each step of the optimiser, such as moving an average of its weights."""

    def after_step(self) -> None:
        """Called once after each step, with the new weights."""
        ...


@runtime_checkable
class Monitored(Protocol):
    """A model with numbers that say whether it is well, logged as train/<name>.

    Attributes:
        monitor_floors: number to the value below which something is wrong.
    """

    monitor_floors: Mapping[str, float]

    def monitors(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Scalars of a batch; no part of the loss."""
        ...


class FloorWatch:
    """Warns of monitored numbers that fall below their floor, once for each.

    Args:
        floors: number to its floor.
    """

    def __init__(self, floors: Mapping[str, float]) -> None:
        self._floors, self._warned = dict(floors), set[str]()

    def look(self, values: Mapping[str, float], step: int) -> None:
        """Compare the numbers of a step; a number that is NaN is below every floor."""
        for name, floor in self._floors.items():
            if name not in self._warned and name in values and not values[name] >= floor:
                self._warned.add(name)
                warnings.warn(
                    f"{name} is {values[name]:.3g} at step {step}, below {floor:g}: the latents collapse; raise the "
                    "weights of variance and covariance, or lower the learning rate",
                    GnnvcellWarning,
                    stacklevel=2,
                )
