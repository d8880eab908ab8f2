"""Edge tables to a DGL heterograph."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gnnvcell import keys
from gnnvcell._dgl import dgl
from gnnvcell.errors import EmptyGraphError
from gnnvcell.graphs.canonical import is_directed, mirrored
from gnnvcell.graphs.edges import EdgeTable, EType

_INT32_MAX = np.iinfo(np.int32).max


def heterograph(tables: Sequence[EdgeTable], sizes: Mapping[str, int]) -> Any:
    """The DGL heterograph of canonical edge tables, with mirror images and reverse types; int32 where it fits.

    Raises:
        EmptyGraphError: there is no relation at all.
    """
    if not tables:
        raise EmptyGraphError("a graph needs at least one relation", remedy="add a source to the recipe")
    edges: dict[EType, tuple[torch.Tensor, torch.Tensor]] = {}
    data: dict[EType, dict[str, torch.Tensor]] = {}
    large = max([*sizes.values(), *(2 * len(table) for table in tables), 0]) > _INT32_MAX
    dtype = np.int64 if large else np.int32
    for table in tables:
        src, dst, weight, sign = mirrored(table, dtype)
        ends = torch.from_numpy(src), torch.from_numpy(dst)
        values = {keys.WEIGHT: torch.from_numpy(weight)}
        if sign is not None:
            values[keys.SIGN] = torch.from_numpy(sign)
        edges[table.etype], data[table.etype] = ends, values
        if is_directed(table):
            reverse = (table.etype[2], keys.REVERSE_PREFIX + table.relation, table.etype[0])
            edges[reverse], data[reverse] = (ends[1], ends[0]), values
    graph = dgl.heterograph(edges, num_nodes_dict=dict(sizes), idtype=torch.int64 if large else torch.int32)
    for etype, values in data.items():
        graph.edges[etype].data.update(values)
    return graph
