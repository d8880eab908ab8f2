"""Scores of edges from the features at their two ends (sampled dense-dense products)."""

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency

# Edges handled at once: the gathered features stay in the processor's cache and never reach edges x d.
_BLOCK_VALUES = 1 << 21


def edge_scores(
    adjacency: Adjacency, src_feat: Float[Tensor, "src d"], dst_feat: Float[Tensor, "dst d"]
) -> Float[Tensor, " edges"]:
    """``score[uv] = <src_feat[u], dst_feat[v]>`` for every edge, in edge order.

    Args:
        adjacency: the edges.
        src_feat: features of source nodes.
        dst_feat: features of destination nodes.

    Raises:
        GraphIntegrityError: features do not fit the adjacency.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0]), torch.tensor([1]), num_src=2, num_dst=2)
        >>> edge_scores(adjacency, torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [3.0]]))
        tensor([6.])
    """
    if len(src_feat) != adjacency.num_src or len(dst_feat) != adjacency.num_dst:
        raise GraphIntegrityError(
            "features do not fit the adjacency",
            expected=f"{adjacency.num_src} source and {adjacency.num_dst} destination rows",
            found=f"{len(src_feat)} and {len(dst_feat)}",
        )
    block = max(1, _BLOCK_VALUES // max(1, src_feat.shape[1]))
    in_rows = torch.cat(
        [
            (src_feat[adjacency.indices[start : start + block]] * dst_feat[adjacency.rows[start : start + block]]).sum(
                -1
            )
            for start in range(0, max(1, adjacency.num_edges), block)
        ]
    )
    scores = torch.empty_like(in_rows)
    return scores.index_copy(0, adjacency.edge_ids, in_rows)
