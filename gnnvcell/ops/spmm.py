"""Aggregation of messages along edges: weighted sums and means of source features at destinations."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.sddmm import edge_scores


def aggregate(
    adjacency: Adjacency,
    feat: Float[Tensor, "src d"],
    weight: Float[Tensor, " edges"] | None = None,
    *,
    reduce: str = "sum",
) -> Float[Tensor, "dst d"]:
    """``out[v] = reduce over edges (u -> v) of weight[uv] * feat[u]``; zero where v has no in-edge.

    The forward pass is an embedding bag over the rows of the adjacency, the backward pass the same over its cached
    transpose, so nothing of size edges x d is made. ``mean`` divides by the in-degree, not by the sum of weights, as
    DGL's ``mean`` does.

    Args:
        adjacency: the edges.
        feat: source features.
        weight: edge weights in edge order; 1 when left out. Gradients reach it.
        reduce: "sum" or "mean".

    Returns:
        Destination features.

    Raises:
        ConfigError: unknown ``reduce``.
        GraphIntegrityError: features or weights do not fit the adjacency.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([0, 0]), num_src=2, num_dst=1)
        >>> aggregate(adjacency, torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 10.0]))
        tensor([[21.]])
    """
    if reduce not in ("sum", "mean"):
        raise ConfigError(f"unknown reduce {reduce!r}", expected="sum or mean")
    if len(feat) != adjacency.num_src:
        raise GraphIntegrityError(
            "features do not fit the adjacency", expected=f"{adjacency.num_src} source nodes", found=f"{len(feat)} rows"
        )
    rows_weight = None if weight is None else adjacency.in_row_order(weight)
    out = _WeightedSum.apply(adjacency, feat, rows_weight)
    if reduce == "mean":
        out = out / adjacency.in_degrees.clamp(min=1).to(out.dtype).unsqueeze(-1)
    return out


class _WeightedSum(torch.autograd.Function):
    """Sum over in-edges; ``weight`` is in row order or None."""

    @staticmethod
    def forward(ctx, adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:  # type: ignore[override]
        ctx.adjacency = adjacency
        ctx.save_for_backward(feat, weight)
        return _bag(adjacency, feat, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None]:  # type: ignore[override]
        adjacency: Adjacency = ctx.adjacency
        feat, weight = ctx.saved_tensors
        grad = grad.contiguous()
        feat_grad = weight_grad = None
        if ctx.needs_input_grad[1]:
            flipped = adjacency.transpose
            flipped_weight = None
            if weight is not None:
                in_edge_order = torch.empty_like(weight)
                in_edge_order[adjacency.edge_ids] = weight
                flipped_weight = flipped.in_row_order(in_edge_order)
            feat_grad = _bag(flipped, grad, flipped_weight)
        if ctx.needs_input_grad[2]:
            weight_grad = adjacency.in_row_order(edge_scores(adjacency, feat, grad))
        return None, feat_grad, weight_grad


def _bag(adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:
    if adjacency.num_edges == 0 or feat.shape[1] == 0:
        return feat.new_zeros(adjacency.num_dst, feat.shape[1])
    return F.embedding_bag(
        adjacency.indices,
        feat.contiguous(),
        adjacency.indptr,
        mode="sum",
        per_sample_weights=weight,
        include_last_offset=True,
    )
