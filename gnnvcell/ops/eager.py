"""Functions that ``torch.compile`` leaves alone."""

from collections.abc import Callable
from typing import TypeVar

# As ``torch.compiler.disable``, but torch's compiler is loaded when the function is called and not here, where it
# would make every command start two seconds later. torch marks its own optimisers with it.
from torch._compile import _disable_dynamo

F = TypeVar("F", bound=Callable)


def eager(function: F) -> F:
    """Keep ``torch.compile`` out of a function that looks at its data: a compiled step calls it as it is."""
    return _disable_dynamo(function)  # type: ignore[return-value]
