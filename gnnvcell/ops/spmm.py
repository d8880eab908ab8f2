"""Aggregation of messages along edges: weighted sums, means and extremes of source features at destinations."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import ConfigError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.dispatch import kernel_for
from gnnvcell.ops.eager import eager
from gnnvcell.ops.rows import dot_rows, extreme_rows, require_rows, sum_rows

REDUCES = ("sum", "mean", "max", "min")


def aggregate(
    adjacency: Adjacency,
    feat: Float[Tensor, "*groups src d"],
    weight: Float[Tensor, " edges"] | None = None,
    *,
    reduce: str = "sum",
) -> Float[Tensor, "*groups dst d"]:
    """``out[v] = reduce over edges (u -> v) of weight[uv] * feat[u]``; zero where v has no in-edge.

    The backward pass is the same sum over the cached transpose, so nothing of size edges x d is made. ``mean`` divides
    by the in-degree, not by the sum of weights, as DGL's ``mean`` does. Many states of the same graph go in as groups:
    ``(groups, src, 64 to 128)`` is read from cache where ``(src, groups * 64)`` is not.

    Args:
        adjacency: the edges.
        feat: source features; the edges are the same in every group.
        weight: edge weights in edge order; 1 when left out. Gradients reach it.
        reduce: "sum", "mean", "max" or "min".

    Returns:
        Destination features, of the features' type.

    Raises:
        ConfigError: unknown ``reduce``, or no kernel for the device and type.
        GraphIntegrityError: features or weights do not fit the adjacency, weights are NaN, or the graph was changed.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([0, 0]), num_src=2, num_dst=1)
        >>> aggregate(adjacency, torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 10.0]))
        tensor([[21.]])
    """
    if torch.compiler.is_compiling():
        return _outside_of_compile(adjacency, feat, weight, reduce)
    return _aggregate(adjacency, feat, weight, reduce)


def _aggregate(adjacency: Adjacency, feat: Tensor, weight: Tensor | None, reduce: str) -> Tensor:
    if reduce not in REDUCES:
        raise ConfigError(f"unknown reduce {reduce!r}", expected=", ".join(REDUCES))
    require_rows(adjacency, feat, adjacency.num_src, "source")
    adjacency.require_current()
    in_rows = None if weight is None else adjacency.in_row_order(weight)
    if reduce in ("max", "min") and adjacency.num_edges:
        return extreme_rows(adjacency, feat, in_rows, reduce)
    kernel = kernel_for("sum", feat.device, feat.dtype, adjacency.num_edges * feat.shape[-1])
    if torch.is_grad_enabled() and (feat.requires_grad or (weight is not None and weight.requires_grad)):
        out = _Sum.apply(adjacency, feat, in_rows, kernel)
    else:
        out = sum_rows(adjacency, feat, in_rows, kernel)
    if reduce == "mean":
        out = out / adjacency.in_degrees.clamp(min=1).to(out.dtype).unsqueeze(-1)
    return out


# A graph break: what is not torch's own cannot be traced, and an adjacency is no tensor.
_outside_of_compile: Any = eager(_aggregate)


class _Sum(torch.autograd.Function):
    """Sum over in-edges; ``weight`` is in row order or None."""

    @staticmethod
    def forward(ctx, adjacency: Adjacency, feat: Tensor, weight: Tensor | None, kernel: str) -> Tensor:  # type: ignore[override]
        ctx.adjacency, ctx.kernel = adjacency, kernel
        ctx.save_for_backward(feat if ctx.needs_input_grad[2] else None, weight)
        return sum_rows(adjacency, feat, weight, kernel)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        adjacency: Adjacency = ctx.adjacency
        feat, weight = ctx.saved_tensors
        grad = grad.contiguous()
        feat_grad = weight_grad = None
        if ctx.needs_input_grad[1]:
            flipped = None if weight is None else adjacency.transposed_weight(weight)
            feat_grad = sum_rows(adjacency.transpose, grad, flipped, ctx.kernel)
        if ctx.needs_input_grad[2]:
            weight_grad = dot_rows(adjacency, feat, grad).to(weight.dtype)  # type: ignore[union-attr]
        return None, feat_grad, weight_grad, None
