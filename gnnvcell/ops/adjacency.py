"""Adjacency: the edges of one relation in compressed rows, made once and never changed."""

import weakref
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from gnnvcell.errors import ConfigError, GraphIntegrityError, did_you_mean
from gnnvcell.ops.row_pieces import RowPieces, cut_rows

# What is kept must be usable in training later: tensors made in inference mode are not.
_ORDINARY = torch.inference_mode(mode=False)
_INT32_LIMIT = 2**31 - 1
_WEIGHTS_KEPT = 8  # constant edge weights whose row order is remembered per adjacency
_EDGES_KEPT = 50_000_000  # edges of adjacencies that ``Adjacency.of`` remembers
_ADJACENCIES_KEPT = 256


class Adjacency:
    """In-edges of every destination node, grouped by destination (CSR), with a cached transpose.

    Edge data stays in the order in which edges were given ("edge order", that of the DGL graph); ``edge_ids`` maps the
    position in the rows to it. Duplicate edges and self loops are edges like any other. Indices are int32 where
    everything fits into 31 bits, else int64.

    Args:
        src: (edges,) source node of each edge.
        dst: (edges,) destination node of each edge.
        num_src: number of source nodes.
        num_dst: number of destination nodes.
        index_dtype: torch.int32 or torch.int64; chosen by size when left out.

    Raises:
        GraphIntegrityError: an edge names a node outside the graph, src and dst differ in length, or int32 was asked
            for and is too small.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([2, 2]), num_src=3, num_dst=3)
        >>> adjacency.in_degrees.tolist()
        [0, 0, 2]
    """

    @_ORDINARY
    def __init__(
        self,
        src: Int[Tensor, " edges"],
        dst: Int[Tensor, " as_many"],
        num_src: int,
        num_dst: int,
        *,
        index_dtype: torch.dtype | None = None,
    ) -> None:
        if len(src) != len(dst) or src.device != dst.device:
            raise GraphIntegrityError(
                "the ends of the edges do not fit each other",
                expected=f"{len(src)} destinations on {src.device}",
                found=f"{len(dst)} on {dst.device}",
            )
        for ends, count, side in ((src, num_src, "source"), (dst, num_dst, "destination")):
            if len(ends) and not 0 <= int(ends.min()) <= int(ends.max()) < count:
                raise GraphIntegrityError(
                    f"an edge names a {side} node outside the graph",
                    expected=f"0 to {count - 1}",
                    found=f"{int(ends.min())} to {int(ends.max())}",
                )
        edge_ids = torch.argsort(dst.long(), stable=True)
        degrees = torch.bincount(dst.long(), minlength=num_dst)
        indptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
        self._set(indptr, src.long()[edge_ids], edge_ids, num_src, num_dst, index_dtype)

    @_ORDINARY
    def _set(
        self, indptr: Tensor, indices: Tensor, edge_ids: Tensor, num_src: int, num_dst: int, dtype: torch.dtype | None
    ) -> None:
        dtype = index_dtype_for(max(num_src, num_dst, len(indices)), dtype)
        self.num_src, self.num_dst = num_src, num_dst
        self.num_edges = len(indices)
        self.indptr: Tensor = indptr.to(dtype)
        self.indices: Tensor = indices.to(dtype)
        self.edge_ids: Tensor = edge_ids.long()
        self.device = self.indices.device
        self._graph: weakref.ref | None = None
        self._index: Any = None
        self._constant_weights: dict[int, tuple[weakref.ref | None, int, Tensor | None]] = {}
        self._flipped_weight: tuple[Tensor, int, Tensor] | None = None

    @classmethod
    def from_csr(
        cls,
        indptr: Int[Tensor, " rows_and_one"],
        indices: Int[Tensor, " edges"],
        edge_ids: Int[Tensor, " edges"],
        num_src: int,
        *,
        index_dtype: torch.dtype | None = None,
    ) -> "Adjacency":
        """An adjacency whose rows are there already.

        Args:
            indptr: (num_dst + 1,) first edge of each row, and the number of edges.
            indices: source node of each edge, in row order.
            edge_ids: edge-order position of each edge, in row order.
            num_src: number of source nodes.
            index_dtype: as of the class.
        """
        made = cls.__new__(cls)
        made._set(indptr, indices, edge_ids, num_src, len(indptr) - 1, index_dtype)
        return made

    @classmethod
    def from_dgl(cls, graph: Any, etype: Any = None) -> "Adjacency":
        """The adjacency of one edge type of a DGL graph, on the graph's device.

        It knows the graph it came from: once edges or nodes were added to that graph, using this adjacency is an error.

        Args:
            graph: a DGLGraph, homogeneous or not.
            etype: relation name or canonical edge type; may be left out where there is one.

        Raises:
            ConfigError: the graph has no such edge type.
        """
        made = cls._from_dgl_parts(_compressed(graph, etype), graph.num_src_nodes(_source(graph, etype)))
        made._graph, made._index = weakref.ref(graph), graph._graph
        return made

    @classmethod
    @_ORDINARY
    def _from_dgl_parts(cls, parts: tuple[Tensor, Tensor, Tensor], num_src: int) -> "Adjacency":
        """DGL leaves the edge ids out where edges lie in row order."""
        indptr, indices, edge_ids = parts
        if len(edge_ids) == 0:
            edge_ids = torch.arange(len(indices), device=indices.device)
        return cls.from_csr(indptr, indices, edge_ids, num_src)

    @classmethod
    def of(cls, graph: Any, etype: Any = None, *, device: torch.device | None = None) -> "Adjacency":
        """The adjacency of an edge type, remembered: what layers use on every call.

        DGL hands out a new graph object for every slice of a heterograph; the edges behind it stay where they are, so
        an adjacency is found again by them. A graph with new edges has new ones.

        Args:
            graph: a DGLGraph (a block too), homogeneous or not.
            etype: relation name or canonical edge type; may be left out where there is one.
            device: where the adjacency is wanted (that of the features); the graph's own when left out.
        """
        parts = _compressed(graph, etype)
        key = (*tuple(part.data_ptr() for part in parts), len(parts[1]), graph.num_src_nodes(_source(graph, etype)))
        remembered = _REMEMBERED.pop(key, None)  # and put back as the youngest
        if remembered is None:
            # The parts are kept, so that their addresses are not given to others.
            remembered = (cls._from_dgl_parts(parts, key[-1]), parts)
            _forget_oldest()
        _REMEMBERED[key] = remembered
        adjacency = remembered[0]
        return adjacency if device is None or device == adjacency.device else adjacency.to(device)

    def to(self, device: torch.device | str) -> "Adjacency":
        """The same edges on another device; made once per device."""
        device = torch.device(device)
        if device == self.device:
            return self
        copies = self.__dict__.setdefault("_copies", {})
        if device not in copies:
            copies[device] = Adjacency.from_csr(
                self.indptr.to(device),
                self.indices.to(device),
                self.edge_ids.to(device),
                self.num_src,
                index_dtype=self.indices.dtype,
            )
        return copies[device]

    def require_current(self) -> None:
        """Refuse to go on with an adjacency whose DGL graph was changed after it was made.

        Raises:
            GraphIntegrityError: it was.
        """
        graph = self._graph() if self._graph is not None else None
        if graph is not None and graph._graph is not self._index:
            raise GraphIntegrityError(
                "the graph was changed after its Adjacency was made",
                expected=f"{self.num_edges} edges as they were",
                found=str(graph).replace("\n", " "),
                remedy="make a new one with Adjacency.from_dgl, or use Adjacency.of(graph), which finds out by itself",
            )

    @cached_property
    @_ORDINARY
    def in_degrees(self) -> Int[Tensor, " dst"]:
        """Number of in-edges of each destination node."""
        return self.indptr[1:].long() - self.indptr[:-1].long()

    @cached_property
    def silent_nodes(self) -> int:
        """Number of destination nodes without an in-edge."""
        return int((self.in_degrees == 0).sum())

    @cached_property
    @_ORDINARY
    def pieces(self) -> RowPieces:
        """The rows, cut for kernels that handle all pieces side by side."""
        return cut_rows(self.indptr)

    @cached_property
    @_ORDINARY
    def rows(self) -> Int[Tensor, " edges"]:
        """Destination of each edge, in row order."""
        return torch.repeat_interleave(torch.arange(self.num_dst, device=self.device), self.in_degrees)

    @cached_property
    def _in_edge_order(self) -> bool:
        return bool((self.edge_ids == torch.arange(self.num_edges, device=self.device)).all())

    @cached_property
    @_ORDINARY
    def transpose(self) -> "Adjacency":
        """The same edges the other way round, with the same edge order; its transpose is this object."""
        flipped = Adjacency.from_csr(
            torch.cat([self.indptr.new_zeros(1).long(), self.out_degrees.cumsum(0)]),
            self.rows[self.transpose_positions],
            self.edge_ids[self.transpose_positions],
            self.num_dst,
            index_dtype=self.indices.dtype,
        )
        flipped.__dict__["transpose"] = self
        flipped._graph, flipped._index = self._graph, self._index
        return flipped

    @cached_property
    @_ORDINARY
    def out_degrees(self) -> Int[Tensor, " src"]:
        """Number of out-edges of each source node."""
        return torch.bincount(self.indices.long(), minlength=self.num_src)

    @cached_property
    @_ORDINARY
    def transpose_positions(self) -> Int[Tensor, " edges"]:
        """Row-order position in this adjacency of each edge in the row order of the transpose."""
        return torch.argsort(self.indices.long(), stable=True)

    def in_row_order(self, edge_data: Tensor) -> Tensor:
        """Edge data (edges, ...) in the order of the rows, remembered for constant weights.

        Raises:
            GraphIntegrityError: not one value per edge, another device, or a weight that is not a number.
        """
        if len(edge_data) != self.num_edges or edge_data.device != self.device:
            raise GraphIntegrityError(
                "edge data does not fit the adjacency",
                expected=f"{self.num_edges} edges on {self.device}",
                found=f"{len(edge_data)} on {edge_data.device}",
            )
        if edge_data.requires_grad:
            return _ToRows.apply(edge_data, self)  # type: ignore[return-value]
        if edge_data.is_inference():  # nobody could tell whether it was changed
            return self._checked(edge_data)
        owner, version, kept = self._constant_weights.get(id(edge_data), (None, 0, None))
        known = owner is not None and owner() is edge_data
        if known and kept is not None and version == edge_data._version:
            return kept
        with torch.inference_mode(mode=False):
            ordered = self._checked(edge_data)
        self._remember(edge_data, ordered if known else None)  # from the second time on: a dropout mask comes once
        return ordered

    def _remember(self, edge_data: Tensor, ordered: Tensor | None) -> None:
        kept = self._constant_weights
        kept[id(edge_data)] = (weakref.ref(edge_data), edge_data._version, ordered)
        if len(kept) > _WEIGHTS_KEPT:
            entries = list(kept.items())  # other threads may be here too
            seen_once = (key for key, (_, _, value) in entries if value is None)
            kept.pop(next(seen_once, entries[0][0]), None)

    def _checked(self, edge_data: Tensor) -> Tensor:
        if edge_data.device.type == "cpu" and edge_data.is_floating_point() and bool(torch.isnan(edge_data).any()):
            raise GraphIntegrityError(
                "edge weights are not numbers",
                expected="finite weights",
                found=f"{int(torch.isnan(edge_data).sum())} NaN of {len(edge_data)}",
                remedy="drop these edges, or give them a weight",
            )
        return edge_data if self._in_edge_order else edge_data.index_select(0, self.edge_ids)

    def transposed_weight(self, weight: Tensor) -> Tensor:
        """Row-order weights in the row order of the transpose; remembered for constant ones."""
        if weight.requires_grad or weight.is_inference():
            return weight.index_select(0, self.transpose_positions)
        found = self._flipped_weight
        if found is None or found[0] is not weight or found[1] != weight._version:
            with torch.inference_mode(mode=False):
                flipped = weight.index_select(0, self.transpose_positions)
            # Holding the weight itself keeps its identity from being taken over by another tensor.
            found = self._flipped_weight = (weight, weight._version, flipped)
        return found[2]

    def in_edge_order(self, row_data: Tensor) -> Tensor:
        """Row-order data (edges, ...) in the order in which edges were given."""
        if self._in_edge_order:
            return row_data
        out = torch.empty_like(row_data)
        return out.index_copy(0, self.edge_ids, row_data)

    @cached_property
    @_ORDINARY
    def incidence(self) -> "Adjacency":
        """Edges as source nodes: aggregating over it sums row-order edge data at their destinations."""
        edges = torch.arange(self.num_edges, device=self.device)
        return Adjacency.from_csr(self.indptr, edges, edges, self.num_edges)

    @cached_property
    @_ORDINARY
    def source_incidence(self) -> "Adjacency":
        """The same for sums of row-order edge data at their sources."""
        positions = self.transpose_positions
        edges = torch.arange(self.num_edges, device=self.device)
        return Adjacency.from_csr(self.transpose.indptr, positions, edges, self.num_edges)

    def __repr__(self) -> str:
        return f"Adjacency({self.num_src} -> {self.num_dst} nodes, {self.num_edges} edges, {self.device})"


class _ToRows(torch.autograd.Function):
    """A permutation, whose gradient is the permutation back (an indexed read would add it up instead)."""

    @staticmethod
    def forward(ctx, edge_data: Tensor, adjacency: Adjacency) -> Tensor:  # type: ignore[override]
        ctx.adjacency = adjacency
        ordered = adjacency._checked(edge_data)
        return ordered.view_as(ordered) if ordered is edge_data else ordered

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        return ctx.adjacency.in_edge_order(grad), None


_REMEMBERED: dict[tuple[int, ...], tuple[Adjacency, tuple[Tensor, ...]]] = {}  # oldest first


def _forget_oldest() -> None:
    edges = sum(adjacency.num_edges for adjacency, _ in list(_REMEMBERED.values()))
    for key, (adjacency, _) in list(_REMEMBERED.items()):
        if len(_REMEMBERED) < _ADJACENCIES_KEPT and edges <= _EDGES_KEPT:
            return
        _REMEMBERED.pop(key, None)
        edges -= adjacency.num_edges


def index_dtype_for(largest: int, wanted: torch.dtype | None = None) -> torch.dtype:
    """int32 where ``largest`` fits into it, else int64.

    Raises:
        GraphIntegrityError: int32 was wanted and is too small.
    """
    if wanted not in (None, torch.int32, torch.int64):
        raise GraphIntegrityError("unknown index type", expected="torch.int32 or torch.int64", found=str(wanted))
    if wanted == torch.int32 and largest > _INT32_LIMIT:
        raise GraphIntegrityError(
            "the graph does not fit into int32 indices",
            expected=f"at most {_INT32_LIMIT:,} nodes and edges",
            found=f"{largest:,}",
            remedy="use index_dtype=torch.int64",
        )
    return wanted or (torch.int32 if largest <= _INT32_LIMIT else torch.int64)


def _source(graph: Any, etype: Any) -> str:
    return graph.to_canonical_etype(etype)[0]


def _compressed(graph: Any, etype: Any) -> tuple[Tensor, Tensor, Tensor]:
    """(indptr, source nodes, edge ids) of the in-edges, as DGL holds them."""
    if etype is None and len(graph.canonical_etypes) != 1:
        raise ConfigError(
            "the graph has several edge types", expected="etype=one of them", found=", ".join(graph.etypes)
        )
    if etype is not None and etype not in graph.etypes and etype not in graph.canonical_etypes:
        raise ConfigError(f"the graph has no edge type {etype!r}", remedy=did_you_mean(str(etype), graph.etypes))
    return graph.adj_tensors("csc", etype=etype)
