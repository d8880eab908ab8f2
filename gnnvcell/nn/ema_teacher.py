"""EmaTeacher: a copy of a network that follows it slowly, and never learns by gradients."""

from typing import Any

import torch
from torch import nn

from gnnvcell.errors import ConfigError


class EmaTeacher(nn.Module):
    """An exponential moving average of a student's parameters::

        teacher <- decay teacher + (1 - decay) student

    after each step of the optimiser (``follow``); it begins as the student's copy. Buffers that hold floating-point
    numbers are copied. It is always in evaluation mode and gives no gradients.

    Args:
        network: made as the student was; what it holds is written over.
        student: what it follows.
        decay: share of itself that it keeps in a step, in [0, 1].

    Raises:
        ConfigError: a decay out of range.

    Example:
        >>> student = nn.Linear(2, 2)
        >>> teacher = EmaTeacher(nn.Linear(2, 2), student, decay=0.996)
        >>> teacher.follow(student)
    """

    def __init__(self, network: nn.Module, student: nn.Module, *, decay: float = 0.996) -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise ConfigError("a teacher's decay is a share", expected="0 to 1", found=str(decay))
        self.network, self.decay = network, decay
        network.load_state_dict(student.state_dict())
        network.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "EmaTeacher":
        """A teacher stays in evaluation mode."""
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> "EmaTeacher":
        """A teacher's parameters never want gradients."""
        return super().requires_grad_(False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network makes of its arguments, without gradients."""
        return self.network(*args, **kwargs)

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        """One step towards the student."""
        for own, other in zip(self.network.parameters(), student.parameters(), strict=True):
            own.lerp_(other, 1 - self.decay)
        for own, other in zip(self.network.buffers(), student.buffers(), strict=True):
            own.copy_(other)
