"""Euclidean distances between the cells of two sets, by matrix products and yet exact."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# Below this share of the squared norms a squared distance has lost three digits or more to rounding.
CLOSE = 1e-3
# Values gathered at a time when close pairs are measured again.
GATHERED = 2**22


class CentredSet(NamedTuple):
    """A batch of sets around their means.

    Args:
        cells: (batch, cells, d) as given.
        residual: (batch, cells, d) cells minus mean.
        mean: (batch, 1, d) of the cells that count.
        square: (batch, cells) squared norms of the residuals.
        real: (batch, cells) False where padded.
    """

    cells: Tensor
    residual: Tensor
    mean: Tensor
    square: Tensor
    real: Tensor

    @classmethod
    def of(cls, cells: Float[Tensor, "batch cells d"], share: Float[Tensor, "batch cells"]) -> "CentredSet":
        """Centre sets whose cells have these shares, summing to 1 in each set."""
        mean = torch.bmm(share[:, None, :], cells)
        residual = cells - mean
        return cls(cells, residual, mean, torch.linalg.vector_norm(residual, dim=-1).square_(), share > 0)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No autocast, TF32 or bfloat16 in products: a difference of large squares needs all digits of them."""
    before = torch.get_float32_matmul_precision()
    with torch.autocast(device.type, enabled=False):
        if before != "highest":
            torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            if before != "highest":
                torch.set_float32_matmul_precision(before)


def between(x: CentredSet, y: CentredSet) -> Float[Tensor, "batch cells others"]:
    """Distances of the cells of two sets; call it without gradient and under ``full_precision``.

    ``|x_i - y_j|^2 = |u_i|^2 + |v_j|^2 + |m|^2 + 2 u_i.m - 2 v_j.m - 2 u_i.v_j`` with residuals u, v and the
    difference m of the means: every term is of the size of the spread or of the distance, so that little cancels
    where sets lie far from the origin or from each other. Pairs that are close are measured again, coordinate by
    coordinate.
    """
    shift = x.mean - y.mean
    apart = shift.square().sum(dim=-1)
    step = shift.mT
    left = x.square + apart + 2 * torch.bmm(x.residual, step).squeeze(-1)
    right = y.square - 2 * torch.bmm(y.residual, step).squeeze(-1)
    squares = left[:, :, None] + right[:, None, :]
    squares.baddbmm_(x.residual, y.residual.mT, alpha=-2)
    _measure_close(squares, x, y, x.square + apart)
    return squares.clamp_min_(0).sqrt_()


def within(x: CentredSet) -> Float[Tensor, "batch cells cells"]:
    """Distances of the cells of a set to each other, with exact zeros on the diagonal; as ``between`` otherwise."""
    squares = x.square[:, :, None] + x.square[:, None, :]
    squares.baddbmm_(x.residual, x.residual.mT, alpha=-2)
    diagonal = squares.diagonal(dim1=1, dim2=2)
    diagonal.fill_(torch.inf)  # not close
    _measure_close(squares, x, x, x.square)
    diagonal.zero_()
    return squares.clamp_min_(0).sqrt_()


def _measure_close(squares: Tensor, x: CentredSet, y: CentredSet, size: Tensor) -> None:
    """Replace squared distances far below ``size`` (batch, cells), in place; what is within rounding of 0 becomes 0."""
    limit = (2 * CLOSE * size).masked_fill_(~x.real, -torch.inf)  # padding is not looked at
    if not squares.numel() or not bool((squares.amin(dim=2) < limit).any()):
        return
    batch, row, column = (squares < limit[:, :, None]).nonzero(as_tuple=True)
    rounding = (8 * torch.finfo(squares.dtype).eps) ** 2 / CLOSE
    count = max(1, GATHERED // max(1, x.cells.shape[2]))
    for start in range(0, len(batch), count):
        b, i, j = (index[start : start + count] for index in (batch, row, column))
        found = (x.cells[b, i] - y.cells[b, j]).square_().sum(dim=-1)
        squares[b, i, j] = found.masked_fill_(found <= rounding * limit[b, i], 0)


def safe_reciprocal(distance: Tensor) -> Tensor:
    """1 / distance (or of its negative), and 0 where the distance is 0: the gradient of a norm at 0 is taken as 0."""
    return distance.reciprocal().nan_to_num_(nan=torch.nan, posinf=0, neginf=0)


class _Distances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        with full_precision(x.device):
            p, q = (CentredSet.of(c, c.new_full(c.shape[:2], 1 / max(1, c.shape[1]))) for c in (x, y))
            distance = between(p, q)
        ctx.save_for_backward(p.residual, q.residual, p.mean - q.mean, distance)
        return distance

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        x, y, shift, distance = ctx.saved_tensors  # type: ignore[attr-defined]
        weight = safe_reciprocal(distance).mul_(grad)
        need_x, need_y = ctx.needs_input_grad  # type: ignore[attr-defined]
        with full_precision(x.device):
            return (
                pull(weight, x, y, shift) if need_x else None,
                pull(weight.mT, y, x, -shift) if need_y else None,
            )


def pull(weight: Tensor, x: Tensor, y: Tensor, shift: Tensor) -> Float[Tensor, "batch cells d"]:
    """``sum_j weight_ij (x_i - y_j)`` for residuals x and y whose means differ by ``shift``, by one product."""
    total = weight.sum(dim=2, keepdim=True)
    return (x + shift).mul_(total).baddbmm_(weight, y, alpha=-1)


def slope_of(own: CentredSet, other: CentredSet, inside: Tensor, across: Tensor) -> Float[Tensor, "batch cells d"]:
    """``sum_j inside_ij (x_i - x_j) + sum_j across_ij (x_i - y_j)``, by two products; ``inside`` is overwritten.

    Gradients to cells x of whatever depends on distances, when a set is compared with itself and with another, have
    this form.
    """
    total = across.sum(dim=2, keepdim=True)
    pulled = inside.neg_()
    diagonal = pulled.diagonal(dim1=1, dim2=2)
    diagonal.copy_(total[:, :, 0] - (pulled.sum(dim=2) - diagonal))
    slope = torch.bmm(pulled, own.residual)
    slope.baddbmm_(across, other.residual, alpha=-1)
    return slope.baddbmm_(total, own.mean - other.mean)


def euclidean_distances(
    x: Float[Tensor, "batch cells d"], y: Float[Tensor, "batch others d"]
) -> Float[Tensor, "batch cells others"]:
    """``|x_i - y_j|_2``, as ``torch.cdist``, at the price of a matrix product in both directions.

    Exact where Gram matrices alone are not (see ``between``): float32 agrees with float64 to about 1e-6. The gradient
    is finite everywhere and 0 between equal cells; it is once differentiable. Under autocast it is computed in
    float32.

    Args:
        x: cells; padding must be finite (``sets.paired`` clears it).
        y: others.

    Source: the expansion of the square, centred; the gradient ``(diag(W 1)) x - W y`` with ``W = grad / distance``.

    Example:
        >>> euclidean_distances(torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]))
        tensor([[[5., 0.]]])
    """
    kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    return _Distances.apply(x.to(kind), y.to(kind))
