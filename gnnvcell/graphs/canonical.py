"""The canonical form of a relation's edges: sorted, each edge once, an undirected pair with source < destination."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gnnvcell import keys
from gnnvcell.errors import GraphIntegrityError, did_you_mean
from gnnvcell.graphs.edges import EdgeTable


def is_directed(table: EdgeTable) -> bool:
    """Whether the relation needs a reverse type: it is directed, or its ends are of different node types."""
    return table.directed or table.etype[0] != table.etype[2]


def pair_keys(table: EdgeTable) -> NDArray[np.int64]:
    """(edges,) one integer per (source, destination)."""
    return table.src * max(len(table.dst_names), 1) + table.dst


def oriented(table: EdgeTable) -> EdgeTable:
    """An undirected table with every pair turned so that source <= destination; others as they are."""
    if is_directed(table):
        return table
    return replace(table, src=np.minimum(table.src, table.dst), dst=np.maximum(table.src, table.dst))


def canonical_table(table: EdgeTable, sizes: Mapping[str, int]) -> EdgeTable:
    """The table in canonical form.

    Args:
        table: edges in node indices.
        sizes: number of nodes of every node type.

    Raises:
        GraphIntegrityError: an unknown node type, names that do not fit the nodes, or an edge given twice.
    """
    for ntype, names in ((table.etype[0], table.src_names), (table.etype[2], table.dst_names)):
        if ntype not in sizes:
            raise GraphIntegrityError(
                f"{table.etype} has the node type {ntype!r}, which has no names", remedy=did_you_mean(ntype, sizes)
            )
        if len(names) != sizes[ntype]:
            raise GraphIntegrityError(
                f"{table.etype} is not in the nodes of the graph",
                expected=f"{sizes[ntype]} names of {ntype}",
                found=f"{len(names)}",
                remedy="resolve the names of the edges first",
            )
    table = oriented(table)
    order = pair_keys(table)
    if not (np.diff(order) > 0).all():
        table = _without_twins(table.take(np.argsort(order, kind="stable")))
    return table


def _without_twins(table: EdgeTable) -> EdgeTable:
    """A sorted table without the second mention of an undirected pair; anything else that repeats is an error."""
    repeated = np.flatnonzero(np.diff(pair_keys(table)) == 0)
    if not len(repeated):
        return table
    same = table.weight[repeated] == table.weight[repeated + 1]
    if table.sign is not None:
        same &= table.sign[repeated] == table.sign[repeated + 1]
    if is_directed(table) or not same.all():
        row = repeated[0] if is_directed(table) else repeated[~same][0]
        raise GraphIntegrityError(
            f"{len(repeated)} edges of {table.relation!r} are given more than once",
            expected="every edge once; an undirected pair once, or in both directions with equal weight and sign",
            found=f"{table.src_names[table.src[row]]} - {table.dst_names[table.dst[row]]}",
            remedy="merge them first (gnnvcell.graphs.filters.merge_pairs)",
        )
    keep = np.ones(len(table), dtype=bool)
    keep[repeated + 1] = False
    return table.take(keep)


def mirrored(table: EdgeTable, dtype: DTypeLike) -> tuple[NDArray, NDArray, NDArray, NDArray | None]:
    """src, dst (of ``dtype``), weight and sign of a canonical table, followed by the mirror images of its pairs.

    Directed and bipartite relations are returned as they are; a self loop has no mirror image.
    """
    if is_directed(table):
        sign = None if table.sign is None else table.sign.astype(np.int8)
        return table.src.astype(dtype), table.dst.astype(dtype), table.weight.astype(np.float32), sign
    other = slice(None) if not (table.src == table.dst).any() else np.flatnonzero(table.src != table.dst)
    src, dst = table.src.astype(dtype), table.dst.astype(dtype)
    weight = np.concatenate([table.weight, table.weight[other]]).astype(np.float32, copy=False)
    sign = None if table.sign is None else np.concatenate([table.sign, table.sign[other]]).astype(np.int8, copy=False)
    return np.concatenate([src, dst[other]]), np.concatenate([dst, src[other]]), weight, sign


def restricted(table: EdgeTable, position: NDArray[np.int64], names: NDArray) -> EdgeTable:
    """The edges between genes that are kept.

    Args:
        table: edges in node indices.
        position: (old genes,) index of each gene in the new graph, -1 where it is left out.
        names: (new genes,) names.
    """
    ends = {}
    keep = np.ones(len(table), dtype=bool)
    for side, ntype in (("src", table.etype[0]), ("dst", table.etype[2])):
        codes = getattr(table, side)
        ends[side] = position[codes] if ntype == keys.GENE else codes
        keep &= ends[side] >= 0
    src_names = names if table.etype[0] == keys.GENE else table.src_names
    dst_names = names if table.etype[2] == keys.GENE else table.dst_names
    kept = table.take(keep)
    return replace(kept, src=ends["src"][keep], dst=ends["dst"][keep], src_names=src_names, dst_names=dst_names)
