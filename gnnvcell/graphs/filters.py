"""Filters: small frozen objects that take an edge table and return one, composed in a list.

A filter sees a relation after names were resolved and duplicates merged, so an undirected pair is there once. In a
recipe a filter is a table with its name and its arguments: ``filters = [{type = "top_k", k = 20}]``.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.graphs.canonical import is_directed, oriented, pair_keys
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.registry import Registry

End = Literal["either", "both", "src", "dst"]
Merge = Literal["max", "mean"]
Norm = Literal["row", "sym", "max"]


class EdgeFilter(ABC):
    """An edge table to an edge table over the same nodes. Concrete filters are frozen dataclasses."""

    @abstractmethod
    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The filtered table; the one given is not changed."""

    def record(self) -> dict[str, Any]:
        """Type and arguments as plain values, for the manifest; ``make_filter`` reads them back."""
        name = next(name for name in FILTERS if FILTERS.get(name) is type(self))
        return {"type": name, **dataclasses.asdict(self)}  # type: ignore[call-overload]


FILTERS: Registry[type[EdgeFilter]] = Registry("edge filter")


@FILTERS.register("top_k")
@dataclass(frozen=True)
class TopK(EdgeFilter):
    """Keep the k strongest edges of each node.

    Ties go to the neighbour that comes first in the node list, so that the same input gives the same edges. In a
    directed relation between nodes of one type a node ranks the edges of both directions together.

    Args:
        k: edges per node.
        per: whose top k counts. "either": an edge stays if it is in the top k of one of its ends, so a node may keep
            more than k; "both": of both ends, so a node may keep fewer; "src", "dst": of that end, for directed and
            bipartite relations only.

    Raises:
        ConfigError: k is not a positive whole number; "src" or "dst" of an undirected relation.
    """

    k: int
    per: End = "either"

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise ConfigError(f"top_k: bad value for 'k': {self.k!r}", expected="a whole number >= 1")
        _require_choice("top_k", "per", self.per, get_args(End))

    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The table with only top edges."""
        if self.per in ("src", "dst"):
            if not is_directed(table):
                raise ConfigError(
                    f"top_k with per={self.per!r} has no meaning for the undirected relation {table.relation!r}",
                    expected="per = 'either' or 'both'",
                )
            return table.take(_top_rows(getattr(table, self.per), table, self.k))
        if is_directed(table) and table.etype[0] != table.etype[2]:
            by_src, by_dst = (_top_rows(codes, table, self.k) for codes in (table.src, table.dst))
        else:
            by_src, by_dst = _top_rows_of_nodes(table, self.k)
        return table.take(by_src | by_dst if self.per == "either" else by_src & by_dst)


def _top_rows(codes: NDArray, table: EdgeTable, k: int) -> NDArray[np.bool_]:
    """(edges,) whether an edge is among the k strongest of the node ``codes`` names."""
    order = np.lexsort((table.dst, table.src, -table.weight, codes))
    mask = np.zeros(len(table), dtype=bool)
    mask[order] = rank_in_run(codes[order]) < k
    return mask


def _top_rows_of_nodes(table: EdgeTable, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Like ``_top_rows`` for both ends at once, where both ends are nodes of one type and share one ranking."""
    n = len(table)
    nodes = np.concatenate([table.src, table.dst])
    partners = np.concatenate([table.dst, table.src])
    order = np.lexsort((partners, -np.concatenate([table.weight, table.weight]), nodes))
    mask = np.zeros(2 * n, dtype=bool)
    mask[order] = rank_in_run(nodes[order]) < k
    return mask[:n], mask[n:]


def rank_in_run(values: NDArray) -> NDArray[np.int64]:
    """(n,) position of each element within its run of equal values."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))


@FILTERS.register("threshold")
@dataclass(frozen=True)
class Threshold(EdgeFilter):
    """Keep edges with ``weight >= minimum``.

    Raises:
        ConfigError: the minimum is not a finite number.
    """

    minimum: float | int

    def __post_init__(self) -> None:
        _require_number("threshold", "minimum", self.minimum)

    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The table with only strong edges."""
        # Compared in float32, as weights are stored: 0.7 read from a file must pass a minimum of 0.7.
        return table.take(table.weight >= np.float32(self.minimum))


@FILTERS.register("percentile")
@dataclass(frozen=True)
class Percentile(EdgeFilter):
    """Keep edges whose weight is at least the q-th percentile of the relation's weights (linear interpolation).

    Args:
        q: in [0, 100); 99 keeps about one edge in a hundred.

    Raises:
        ConfigError: q is out of range.
    """

    q: float | int

    def __post_init__(self) -> None:
        _require_number("percentile", "q", self.q)
        if not 0 <= self.q < 100:
            raise ConfigError(f"percentile: bad value for 'q': {self.q!r}", expected="a number in [0, 100)")

    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The table with only the strongest share of edges."""
        if not len(table):
            return table
        return table.take(table.weight >= np.float32(np.percentile(table.weight, self.q)))


@FILTERS.register("symmetrise")
@dataclass(frozen=True)
class Symmetrise(EdgeFilter):
    """Make a directed relation undirected: u -> v and v -> u become one pair. An undirected one stays as it is.

    Args:
        how: "max": the stronger of the two weights; "mean": half their sum, a missing direction counting 0.

    Raises:
        ConfigError: the relation is between different node types.
    """

    how: Merge = "max"

    def __post_init__(self) -> None:
        _require_choice("symmetrise", "how", self.how, get_args(Merge))

    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The undirected table; signs that contradict each other become 0."""
        if not is_directed(table):
            return table
        if table.etype[0] != table.etype[2]:
            raise ConfigError(
                f"{table.relation!r} joins {table.etype[0]} and {table.etype[2]}, it cannot be symmetrised",
                remedy="use this filter on relations between nodes of one type",
            )
        loops = (table.src == table.dst).sum()
        if loops and self.how == "mean":
            raise ConfigError(f"{table.relation!r} has {loops} self loops", remedy="drop them before symmetrise")
        merged = merge_pairs(replace(table, directed=False), self.how)
        return merged.with_weight(merged.weight / 2) if self.how == "mean" else merged


def merge_pairs(table: EdgeTable, how: Literal["max", "mean"] = "max") -> EdgeTable:
    """Merge edges that join the same pair (whatever their direction, if the table is undirected); sorted.

    Args:
        table: edges in node indices.
        how: "max" keeps the largest weight; "mean" adds the weights (``Symmetrise`` halves the sum).

    Returns:
        One edge per pair; its sign is the one its edges agree on, unknown signs aside, and 0 where they contradict.
    """
    table = oriented(table)
    keys = pair_keys(table)
    order = np.argsort(keys, kind="stable")
    table, keys = table.take(order), keys[order]
    if len(table) < 2 or (np.diff(keys) > 0).all():
        return table
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    weight = (np.maximum if how == "max" else np.add).reduceat(table.weight, starts)
    merged = table.take(starts).with_weight(weight)
    if table.sign is None:
        return merged
    up = np.logical_or.reduceat(table.sign > 0, starts).astype(np.int8)
    down = np.logical_or.reduceat(table.sign < 0, starts).astype(np.int8)
    return replace(merged, sign=up - down)


@FILTERS.register("normalise")
@dataclass(frozen=True)
class Normalise(EdgeFilter):
    """Rescale weights; no edge is dropped.

    Args:
        how: "max": divide by the relation's largest weight. "sym": w(u, v) / sqrt(s(u) s(v)) with s the sum of weights
            at a node (on its own side, where the sides differ). "row": divide by the sum of weights that leave the
            source node; the result has a direction, so undirected relations are refused.

    Raises:
        ConfigError: "row" of an undirected relation.
    """

    how: Norm = "sym"

    def __post_init__(self) -> None:
        _require_choice("normalise", "how", self.how, get_args(Norm))

    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The table with other weights."""
        weight = table.weight.astype(np.float64)
        if self.how == "max":
            largest = weight.max(initial=0.0)
            return table.with_weight(weight / largest) if largest > 0 else table
        if self.how == "row" and not is_directed(table):
            raise ConfigError(
                f"row normalisation would give the undirected relation {table.relation!r} a direction",
                expected="'sym' or 'max' for undirected relations",
                remedy="models normalise rows themselves where they need it",
            )
        out = np.bincount(table.src, weight, minlength=len(table.src_names))
        into = np.bincount(table.dst, weight, minlength=len(table.dst_names))
        if not is_directed(table):
            out = into = out + into
        scale = out[table.src] if self.how == "row" else np.sqrt(out[table.src] * into[table.dst])
        return table.with_weight(np.divide(weight, scale, out=np.zeros_like(weight), where=scale > 0))


@FILTERS.register("drop_hubs")
@dataclass(frozen=True)
class DropHubs(EdgeFilter):
    """Drop every edge of nodes that have more than ``max_degree`` edges; the nodes stay in the graph.

    Args:
        max_degree: largest number of edges that a node may have. Nodes of relations between one node type count edges
            of both directions.
        side: where to look for hubs in a relation between different node types: "src" (genes with many terms), "dst"
            (terms with many genes), "either". Relations between one node type take "either" only.

    Raises:
        ConfigError: max_degree is not a positive whole number; "src" or "dst" of a relation between one node type.
    """

    max_degree: int
    side: Literal["either", "src", "dst"] = "either"

    def __post_init__(self) -> None:
        if not isinstance(self.max_degree, int) or isinstance(self.max_degree, bool) or self.max_degree < 1:
            raise ConfigError(
                f"drop_hubs: bad value for 'max_degree': {self.max_degree!r}", expected="a whole number >= 1"
            )
        _require_choice("drop_hubs", "side", self.side, ("either", "src", "dst"))

    def __call__(self, table: EdgeTable) -> EdgeTable:
        """The table without the edges of hubs."""
        one_type = table.etype[0] == table.etype[2]
        if one_type and self.side != "either":
            raise ConfigError(
                f"drop_hubs with side={self.side!r} has no meaning for {table.relation!r}, whose ends are of one type",
                expected="side = 'either'",
            )
        out = np.bincount(table.src, minlength=len(table.src_names))
        into = np.bincount(table.dst, minlength=len(table.dst_names))
        if one_type:
            out = into = out + into
        keep = np.ones(len(table), dtype=bool)
        if self.side != "dst":
            keep &= out[table.src] <= self.max_degree
        if self.side != "src":
            keep &= into[table.dst] <= self.max_degree
        return table.take(keep)


def make_filter(spec: Mapping[str, Any] | EdgeFilter, *, where: str = "filters") -> EdgeFilter:
    """A filter from its recipe table ``{type = "top_k", k = 20}``; a filter object is returned as it is.

    Raises:
        ConfigError: unknown type or argument (with the nearest valid one), a missing or a bad argument.
    """
    if isinstance(spec, EdgeFilter):
        return spec
    if not isinstance(spec, Mapping) or not isinstance(spec.get("type"), str):
        raise ConfigError(f"{where}: a filter needs a type", expected='{type = "top_k", k = 20}', found=repr(spec))
    cls = FILTERS.get(spec["type"])
    arguments = {key: value for key, value in spec.items() if key != "type"}
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in arguments:
        if key not in fields:
            raise ConfigError(f"{where}: {spec['type']} has no argument {key!r}", remedy=did_you_mean(key, fields))
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in arguments:
            raise ConfigError(f"{where}: {spec['type']} needs the argument {name!r}", remedy=f"add {name} = ...")
    return cls(**arguments)


def apply_filters(table: EdgeTable, filters: Iterable[EdgeFilter]) -> EdgeTable:
    """Run filters in order."""
    for edge_filter in filters:
        table = edge_filter(table)
    return table


def _require_choice(name: str, argument: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}: bad value for {argument!r}: {value!r}", remedy=did_you_mean(str(value), choices))


def _require_number(name: str, argument: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise ConfigError(f"{name}: bad value for {argument!r}: {value!r}", expected="a finite number")
