"""Sums over rows as an embedding bag: torch's fastest gather-and-add on the CPU."""

import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency


def spmm_sum(adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:
    """(dst, d) sum over in-edges of ``weight * feat``; ``feat`` (src, d), ``weight`` (edges,) in row order or None."""
    if adjacency.num_edges == 0:
        return feat.new_zeros(adjacency.num_dst, feat.shape[1])
    if weight is not None and weight.dtype != feat.dtype:
        weight = weight.to(feat.dtype)
    return torch.embedding_bag(feat.contiguous(), adjacency.indices, adjacency.indptr, False, 0, False, weight, True)[0]
