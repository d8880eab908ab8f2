"""Orders of nodes in which neighbours lie close together in memory."""

import torch
from jaxtyping import Int
from torch import Tensor

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency


def metis_order(adjacency: Adjacency, parts: int) -> Int[Tensor, " nodes"]:
    """Nodes sorted by METIS part: ``order[i]`` is the node that comes i-th.

    Aggregation over the permuted adjacency reads features from a smaller window. Worth it where features of all nodes
    do not fit into the cache.

    Args:
        adjacency: edges of a square relation, on the CPU.
        parts: number of parts, each of which should fit into the cache.

    Raises:
        GraphIntegrityError: the relation is not square.
        ConfigError: fewer than one part.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 2, 1, 3]), torch.tensor([2, 0, 3, 1]), num_src=4, num_dst=4)
        >>> permuted(adjacency, metis_order(adjacency, parts=2)).num_edges
        4
    """
    if adjacency.num_src != adjacency.num_dst:
        raise GraphIntegrityError("an order of nodes needs a relation among nodes of one type", found=repr(adjacency))
    if parts < 1:
        raise ConfigError(f"{parts} parts", expected="at least 1")
    ends = torch.cat([adjacency.indices.long(), adjacency.rows]), torch.cat([adjacency.rows, adjacency.indices.long()])
    graph = dgl.to_simple(dgl.graph(ends, num_nodes=adjacency.num_dst))  # METIS reads undirected graphs
    return torch.argsort(dgl.metis_partition_assignment(graph, parts), stable=True)


def permuted(adjacency: Adjacency, order: Int[Tensor, " nodes"]) -> Adjacency:
    """The adjacency with its nodes renumbered so that ``order[i]`` becomes node i; the edge order stays.

    ``aggregate(permuted(a, order), x[order], w) == aggregate(a, x, w)[order]``.

    Raises:
        GraphIntegrityError: the relation is not square, or the order is not a permutation of its nodes.
    """
    if adjacency.num_src != adjacency.num_dst or not torch.equal(
        order.sort().values, torch.arange(adjacency.num_dst, device=order.device)
    ):
        raise GraphIntegrityError(
            "the order is not a permutation of the nodes",
            expected=f"each of 0 to {adjacency.num_dst - 1} once",
            found=f"{len(order)} entries for {adjacency.num_src} and {adjacency.num_dst} nodes",
        )
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    src = adjacency.in_edge_order(place[adjacency.indices.long()])
    dst = adjacency.in_edge_order(place[adjacency.rows])
    return Adjacency(src, dst, adjacency.num_src, adjacency.num_dst, index_dtype=adjacency.indices.dtype)
