"""Sums over rows as torch's sparse CSR product."""

import warnings

import torch
from torch import Tensor

from gnnvcell.ops.adjacency import Adjacency


def spmm_sum(adjacency: Adjacency, feat: Tensor, weight: Tensor | None) -> Tensor:
    """(dst, d) sum over in-edges of ``weight * feat``; ``feat`` (src, d), ``weight`` (edges,) in row order or None."""
    values = feat.new_ones(adjacency.num_edges) if weight is None else weight.to(feat.dtype)
    with warnings.catch_warnings():
        for what in ("CSR tensor support is in beta", "invariant checks are implicitly disabled"):
            warnings.filterwarnings("ignore", message=f"Sparse {what}")
        matrix = torch.sparse_csr_tensor(
            adjacency.indptr, adjacency.indices, values, (adjacency.num_dst, adjacency.num_src), check_invariants=False
        )
        with torch.autocast(feat.device.type, enabled=False):  # which would shorten the floats of both
            return matrix @ feat
