"""Attention over the in-edges of each node, fused: scores, softmax and weighted sum in one operation."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.dispatch import kernel_for
from gnnvcell.ops.eager import eager
from gnnvcell.ops.rows import require_rows, triton_module


def gatv2_aggregate(
    adjacency: Adjacency,
    src: Float[Tensor, "src heads d"],
    dst: Float[Tensor, "dst heads d"],
    attn: Float[Tensor, "heads d"],
    *,
    slope: float = 0.2,
    scale: Float[Tensor, "edges ..."] | None = None,
) -> tuple[Float[Tensor, "dst heads d"], Float[Tensor, "edges heads"]]:
    """Additive attention of GATv2 [Brody et al., ICLR 2022], without anything of size edges x heads x d.

    ``s_uv = attn . LeakyReLU(src_u + dst_v)``, ``alpha_uv = softmax over in-edges of v of s_uv``,
    ``out_v = sum_u alpha_uv * scale_uv * src_u``, for every head; 0 where v has no in-edge.

    Args:
        adjacency: the edges.
        src: source features, also the messages.
        dst: destination features.
        attn: attention vector of every head.
        slope: of the LeakyReLU.
        scale: (edges,) or (edges, heads) in edge order, applied after the softmax (edge weights, dropout masks).

    Returns:
        Destination features, and alpha in edge order without gradient.

    Raises:
        GraphIntegrityError: features do not fit the adjacency or each other, or the graph was changed.
    """
    if torch.compiler.is_compiling():
        return _gatv2_outside_of_compile(adjacency, src, dst, attn, slope, scale)
    return _gatv2(adjacency, src, dst, attn, slope, scale)


def dot_aggregate(
    adjacency: Adjacency,
    query: Float[Tensor, "dst heads d"],
    key: Float[Tensor, "src heads d"],
    value: Float[Tensor, "src heads d_value"],
    *,
    sm_scale: float | None = None,
    scale: Float[Tensor, "edges ..."] | None = None,
) -> tuple[Float[Tensor, "dst heads d_value"], Float[Tensor, "edges heads"]]:
    """Dot-product attention along edges, without anything of size edges x heads x d.

    ``s_uv = sm_scale * <query_v, key_u>``, ``alpha_uv = softmax over in-edges of v of s_uv``,
    ``out_v = sum_u alpha_uv * scale_uv * value_u``, for every head; 0 where v has no in-edge.

    Args:
        adjacency: the edges.
        query: of destination nodes.
        key: of source nodes.
        value: of source nodes.
        sm_scale: ``1 / sqrt(d)`` when left out.
        scale: (edges,) or (edges, heads) in edge order, applied after the softmax.

    Returns:
        Destination features, and alpha in edge order without gradient.

    Raises:
        GraphIntegrityError: features do not fit the adjacency or each other, or the graph was changed.
    """
    factor = query.shape[-1] ** -0.5 if sm_scale is None else float(sm_scale)
    if torch.compiler.is_compiling():
        return _dot_outside_of_compile(adjacency, query, key, value, factor, scale)
    return _dot(adjacency, query, key, value, factor, scale)


def _gatv2(adjacency: Adjacency, src: Tensor, dst: Tensor, attn: Tensor, slope: float, scale: Tensor | None):
    _require_heads(adjacency, src, dst, attn.shape)
    shares, out = _GATv2.apply(adjacency, src, dst, attn, float(slope), _scale(adjacency, scale, src.shape[1]))
    return out, adjacency.in_edge_order(shares)


def _dot(adjacency: Adjacency, query: Tensor, key: Tensor, value: Tensor, sm_scale: float, scale: Tensor | None):
    _require_heads(adjacency, key, query, key.shape[1:])
    _require_heads(adjacency, value, query[..., :1].expand(-1, -1, value.shape[2]), value.shape[1:])
    shares, out = _Dot.apply(adjacency, query, key, value, sm_scale, _scale(adjacency, scale, key.shape[1]))
    return out, adjacency.in_edge_order(shares)


_gatv2_outside_of_compile: Any = eager(_gatv2)
_dot_outside_of_compile: Any = eager(_dot)


def _require_heads(adjacency: Adjacency, src: Tensor, dst: Tensor, heads: torch.Size) -> None:
    adjacency.require_current()
    for feat, count, side in ((src, adjacency.num_src, "source"), (dst, adjacency.num_dst, "destination")):
        require_rows(adjacency, feat.flatten(1), count, side)
        if feat.shape[1:] != heads:
            raise GraphIntegrityError(
                "heads do not fit each other", expected=f"(nodes, {heads[0]}, {heads[1]})", found=str(tuple(feat.shape))
            )


def _scale(adjacency: Adjacency, scale: Tensor | None, heads: int) -> Tensor | None:
    """(edges, heads) in row order."""
    if scale is None:
        return None
    in_rows = adjacency.in_row_order(scale)
    return (in_rows.unsqueeze(1) if in_rows.dim() == 1 else in_rows).expand(-1, heads)


class _GATv2(torch.autograd.Function):
    @staticmethod
    def forward(ctx, adjacency, src, dst, attn, slope, scale):  # type: ignore[override]
        kernels = _Kernels(adjacency, src)
        out, alpha = kernels.gatv2_forward(src, dst, attn, slope, scale)
        ctx.kernels, ctx.slope = kernels, slope
        ctx.save_for_backward(src, dst, attn, alpha, out, scale)
        ctx.mark_non_differentiable(alpha)
        return alpha, out.to(src.dtype)  # the kernels' own is not rounded to short floats

    @staticmethod
    def backward(ctx, _: Tensor, grad: Tensor):  # type: ignore[override]
        src, dst, attn, alpha, out, scale = ctx.saved_tensors
        dsrc, ddst, dattn, dscale = ctx.kernels.gatv2_backward(
            grad.contiguous(), src, dst, attn, ctx.slope, alpha, out, scale
        )
        return None, dsrc, ddst, dattn, None, dscale


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, adjacency, query, key, value, sm_scale, scale):  # type: ignore[override]
        kernels = _Kernels(adjacency, value)
        out, alpha = kernels.dot_forward(query, key, value, sm_scale, scale)
        ctx.kernels, ctx.sm_scale = kernels, sm_scale
        ctx.save_for_backward(query, key, value, alpha, out, scale)
        ctx.mark_non_differentiable(alpha)
        return alpha, out.to(value.dtype)  # the kernels' own is not rounded to short floats

    @staticmethod
    def backward(ctx, _: Tensor, grad: Tensor):  # type: ignore[override]
        query, key, value, alpha, out, scale = ctx.saved_tensors
        dquery, dkey, dvalue, dscale = ctx.kernels.dot_backward(
            grad.contiguous(), query, key, value, ctx.sm_scale, alpha, out, scale
        )
        return None, dquery, dkey, dvalue, None, dscale


class _Kernels:
    """The four passes for one adjacency, by the kernel family that was chosen in the forward pass."""

    def __init__(self, adjacency: Adjacency, feat: Tensor) -> None:
        self.adjacency = adjacency
        self.family = kernel_for("attention", feat.device, feat.dtype)

    def _passes(self, score: str) -> Any:
        """The module with the passes of a score, "gatv2" or "dot"."""
        if self.family == "numba":
            from gnnvcell.ops.kernels import numba_attention

            return numba_attention
        return triton_module(f"triton_{score}", self.adjacency)

    def _edges(self) -> tuple[Any, ...]:
        a = self.adjacency
        return (a,) if self.family == "numba" else (a.pieces, a.indices)

    def _edges_and_back(self) -> tuple[Any, ...]:
        a = self.adjacency
        if self.family == "numba":
            return (a,)
        return a.pieces, a.indices, a.transpose.pieces, a.transpose.indices, a.transpose_positions

    def gatv2_forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        return self._passes("gatv2").gatv2_forward(*self._edges(), *arguments)

    def gatv2_backward(self, grad: Tensor, *arguments: Any) -> tuple[Tensor | None, ...]:
        return self._passes("gatv2").gatv2_backward(grad, *self._edges_and_back(), *arguments)

    def dot_forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        return self._passes("dot").dot_forward(*self._edges(), *arguments)

    def dot_backward(self, grad: Tensor, *arguments: Any) -> tuple[Tensor | None, ...]:
        return self._passes("dot").dot_backward(grad, *self._edges_and_back(), *arguments)
