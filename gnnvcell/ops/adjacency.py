"""Adjacency: the edges of one relation in compressed rows, made once and never changed."""

from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.errors import ConfigError, GraphIntegrityError, did_you_mean


class Adjacency:
    """In-edges of every destination node, grouped by destination (CSR), with a cached transpose.

    Edge data stays in the order in which edges were given ("edge order", that of the DGL graph); ``edge_ids`` maps the
    position in the rows to it. Duplicate edges and self loops are edges like any other.

    Args:
        src: (edges,) source node of each edge.
        dst: (edges,) destination node of each edge.
        num_src: number of source nodes.
        num_dst: number of destination nodes.

    Raises:
        GraphIntegrityError: an edge names a node outside the graph, or src and dst differ in length.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([2, 2]), num_src=3, num_dst=3)
        >>> adjacency.in_degrees.tolist()
        [0, 0, 2]
    """

    def __init__(self, src: Int[Tensor, " edges"], dst: Int[Tensor, " edges"], num_src: int, num_dst: int) -> None:
        for ends, count, side in ((src, num_src, "source"), (dst, num_dst, "destination")):
            if len(ends) and not 0 <= int(ends.min()) <= int(ends.max()) < count:
                raise GraphIntegrityError(
                    f"an edge names a {side} node outside the graph",
                    expected=f"0 to {count - 1}",
                    found=f"{int(ends.min())} to {int(ends.max())}",
                )
        self.num_src, self.num_dst = num_src, num_dst
        self.edge_ids: Tensor = torch.argsort(dst.long(), stable=True)
        self.indices: Tensor = src.long()[self.edge_ids]
        self.in_degrees: Tensor = torch.bincount(dst.long(), minlength=num_dst)
        self.indptr: Tensor = torch.cat([self.in_degrees.new_zeros(1), self.in_degrees.cumsum(0)])

    @classmethod
    def from_dgl(cls, graph: Any, etype: Any = None) -> "Adjacency":
        """The adjacency of one edge type of a DGL graph, on the graph's device.

        Args:
            graph: a DGLGraph, homogeneous or not.
            etype: relation name or canonical edge type; may be left out where there is one.

        Raises:
            ConfigError: the graph has no such edge type.
        """
        if etype is not None and etype not in graph.etypes and etype not in graph.canonical_etypes:
            raise ConfigError(f"the graph has no edge type {etype!r}", remedy=did_you_mean(str(etype), graph.etypes))
        source, _, destination = graph.to_canonical_etype(etype)
        src, dst = graph.edges(etype=etype, order="eid")
        return cls(src, dst, graph.num_nodes(source), graph.num_nodes(destination))

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return len(self.indices)

    @cached_property
    def rows(self) -> Int[Tensor, " edges"]:
        """Destination of each edge, in row order."""
        return torch.repeat_interleave(torch.arange(self.num_dst, device=self.indices.device), self.in_degrees)

    @cached_property
    def transpose(self) -> "Adjacency":
        """The same edges the other way round, with the same edge order; its transpose is this object."""
        position = torch.empty_like(self.edge_ids)
        position[self.edge_ids] = torch.arange(self.num_edges, device=self.edge_ids.device)
        flipped = Adjacency(self.rows[position], self.indices[position], self.num_dst, self.num_src)
        flipped.__dict__["transpose"] = self
        return flipped

    def in_row_order(self, edge_data: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """Edge data in the order of the rows.

        Raises:
            GraphIntegrityError: not one value per edge.
        """
        if len(edge_data) != self.num_edges:
            raise GraphIntegrityError(
                "edge data does not fit the adjacency", expected=f"{self.num_edges} edges", found=f"{len(edge_data)}"
            )
        return edge_data[self.edge_ids]
