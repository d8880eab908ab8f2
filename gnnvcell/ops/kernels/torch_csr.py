"""Sums over rows as torch's sparse CSR product."""

import warnings

import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency


def spmm_sum(adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:
    """(dst, d) sum over in-edges of ``weight * feat``; ``feat`` (src, d), ``weight`` (edges,) in row order or None."""
    values = feat.new_ones(adjacency.num_edges) if weight is None else weight.to(feat.dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        matrix = torch.sparse_csr_tensor(
            adjacency.indptr, adjacency.indices, values, (adjacency.num_dst, adjacency.num_src), check_invariants=False
        )
        return matrix @ feat
