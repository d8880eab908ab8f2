"""The operations in row order and without gradient: what forward and backward passes are put together from."""

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gnnvcell.errors import ConfigError, DependencyError, GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.dispatch import kernel_for

# Kernel names of the table to the modules of ``ops.kernels``, where they differ.
_SUMS = {"dgl": "dgl_kernels"}
_SCORES = {"dgl": "dgl_kernels", "numba": "numba_sddmm"}
_SOFTMAXES = {"dgl": "dgl_kernels", "numba": "numba_sddmm", "torch": "torch_scatter"}
_EXTREMES = {"dgl": "dgl_kernels", "torch": "torch_scatter"}


def sum_rows(adjacency: Adjacency, feat: Tensor, weight: Tensor | None, kernel: str | None = None) -> Tensor:
    """(..., dst, d) sum over in-edges of ``weight * feat``.

    Args:
        adjacency: the edges.
        feat: (..., src, d).
        weight: (edges,) in row order; 1 when left out.
        kernel: that of ``kernel_for("sum", ...)`` when left out.
    """
    kernel = kernel or kernel_for("sum", feat.device, feat.dtype)
    if feat.dim() == 2:
        return _sum(adjacency, feat, weight, kernel)
    groups = feat.reshape(-1, *feat.shape[-2:])
    out = feat.new_empty(len(groups), adjacency.num_dst, feat.shape[-1])
    for result, group in zip(out, groups, strict=True):
        result.copy_(_sum(adjacency, group, weight, kernel))  # at once, while it is in the cache
    return out.reshape(*feat.shape[:-2], adjacency.num_dst, feat.shape[-1])


def _sum(adjacency: Adjacency, feat: Tensor, weight: Tensor | None, kernel: str) -> Tensor:
    if kernel == "triton":
        return triton_module("triton_spmm", adjacency).spmm_sum(adjacency.pieces, adjacency.indices, feat, weight)
    return _module(_SUMS.get(kernel, kernel)).spmm_sum(adjacency, feat, weight)


def dot_rows(adjacency: Adjacency, src_feat: Tensor, dst_feat: Tensor) -> Tensor:
    """(edges,) inner products of the features (..., nodes, d) at both ends, summed over leading groups."""
    if src_feat.dim() > 2:
        pairs = zip(src_feat.flatten(0, -3), dst_feat.flatten(0, -3), strict=True)
        return torch.stack([dot_rows(adjacency, a, b) for a, b in pairs]).sum(dim=0)
    kernel = kernel_for("edge_scores", src_feat.device, src_feat.dtype)
    if kernel == "triton":
        module = triton_module("triton_sddmm", adjacency)
        return module.sddmm_dot(adjacency.pieces, adjacency.indices, src_feat, dst_feat)
    return _module(_SCORES[kernel]).sddmm_dot(adjacency, src_feat, dst_feat)


def softmax_rows(adjacency: Adjacency, scores: Tensor) -> Tensor:
    """(edges, heads) softmax over the in-edges of each destination."""
    kernel = kernel_for("edge_softmax", scores.device, scores.dtype)
    return _module(_SOFTMAXES[kernel]).edge_softmax(adjacency, scores)


def extreme_rows(adjacency: Adjacency, feat: Tensor, weight: Tensor | None, reduce: str) -> Tensor:
    """(..., dst, d) largest or smallest message of the in-edges, 0 without any; this one is differentiable."""
    module = _module(_EXTREMES[kernel_for("max", feat.device, feat.dtype)])
    groups = feat.reshape(-1, *feat.shape[-2:]).unbind()
    out = torch.stack([module.spmm_extreme(adjacency, group, weight, reduce) for group in groups])
    return out.reshape(*feat.shape[:-2], adjacency.num_dst, feat.shape[-1])


@cache
def _module(name: str) -> Any:
    """A module of kernels, imported when it is first wanted: DGL and compiled code take seconds."""
    return importlib.import_module(f"gnnvcell.ops.kernels.{name}")


def triton_module(name: str, adjacency: Adjacency) -> Any:
    """A module of Triton kernels.

    Raises:
        DependencyError: Triton is not installed.
        ConfigError: the adjacency is on the CPU and Triton does not interpret.
    """
    try:
        module = _module(name)
    except ImportError as error:
        raise DependencyError(
            "Triton, which CUDA kernels need, is not installed",
            found=str(error),
            remedy='pip install triton, or ops.use("torch_csr") for sums',
        ) from error
    if adjacency.device.type == "cpu" and not importlib.import_module("triton").knobs.runtime.interpret:
        raise ConfigError(
            "Triton runs on CUDA devices",
            found="features on the CPU",
            remedy="set TRITON_INTERPRET=1 before Python starts to check its kernels on the CPU",
        )
    return module


def require_rows(adjacency: Adjacency, feat: Tensor, count: int, side: str) -> None:
    """Refuse features (..., nodes, d) that do not fit the adjacency.

    Raises:
        GraphIntegrityError: another number of rows or another device.
    """
    if feat.dim() < 2 or feat.shape[-2] != count or feat.device != adjacency.device:
        raise GraphIntegrityError(
            "features do not fit the adjacency",
            expected=f"(..., {count} {side} nodes, width) on {adjacency.device}",
            found=f"{tuple(feat.shape)} on {feat.device}",
            remedy="use Adjacency.of(graph, device=feat.device)" if feat.device != adjacency.device else "",
        )
