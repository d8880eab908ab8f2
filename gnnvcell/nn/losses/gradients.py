"""Values whose gradients were made together with them."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


class _Attached(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: FunctionCtx, value: Tensor, x: Tensor, y: Tensor, x_slope: Tensor | None, y_slope: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x_slope, y_slope)  # type: ignore[arg-type]
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        slopes = [None if s is None else s * grad[:, None, None] for s in ctx.saved_tensors]  # type: ignore[attr-defined]
        return None, *slopes, None, None


def attach(value: Tensor, x: Tensor, y: Tensor, x_slope: Tensor | None, y_slope: Tensor | None) -> Tensor:
    """``value`` (sets,) with the gradients ``x_slope`` and ``y_slope`` to ``x`` and ``y``.

    One number per set has a gradient of the shape of the set. Made in the forward pass, it is all that is kept until
    the backward pass: no distances, no centred copies. There is no second derivative.

    Args:
        value: computed without gradient.
        x, y: (sets, cells, d) what it was computed from.
        x_slope, y_slope: of the shapes of x and y; None where ``wanted`` says that nobody asks.
    """
    return value if x_slope is None and y_slope is None else _Attached.apply(value, x, y, x_slope, y_slope)


def wanted(tensor: Tensor) -> bool:
    """Whether somebody will ask for a gradient."""
    return tensor.requires_grad and torch.is_grad_enabled()
