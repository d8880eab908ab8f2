"""Parent-child links among terms or pathways: cycles, and who is an ancestor of whom."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from gnnvcell.errors import FileFormatError

Links = tuple[NDArray[np.int64], NDArray[np.int64]]


def joined(links: Sequence[Links]) -> Links:
    """Several lists of (child, parent) as one."""
    empty = np.empty(0, np.int64)
    child = np.concatenate([empty, *(pair[0] for pair in links)])
    parent = np.concatenate([empty, *(pair[1] for pair in links)])
    return child, parent


def ancestors(nodes: int, links: Links) -> sp.csr_matrix:
    """(nodes, nodes) 0/1: column j is row i itself or one of its ancestors.

    Paths are doubled until nothing new is reached, so that the number of products is the logarithm of the depth.

    Args:
        nodes: number of nodes.
        links: child and parent codes, without a cycle (``find_cycle``).
    """
    child, parent = links
    parents = sp.coo_matrix((np.ones(len(child), np.float32), (child, parent)), shape=(nodes, nodes))
    reach = sp.csr_matrix(parents + sp.identity(nodes, dtype="float32"))
    while True:
        reach.data[:] = 1
        further = sp.csr_matrix(reach @ reach)
        if further.nnz == reach.nnz:
            return reach
        reach = further


def find_cycle(nodes: int, links: Links) -> list[int]:
    """The nodes of one cycle in child-to-parent order (the first is not repeated), or an empty list."""
    child, parent = links
    loops = child[child == parent]
    if len(loops):
        return [int(loops[0])]
    graph = sp.csr_matrix((np.ones(len(child), np.int8), (child, parent)), shape=(nodes, nodes))
    count, component = connected_components(graph, directed=True, connection="strong")
    if count == nodes:
        return []
    cyclic = component == np.flatnonzero(np.bincount(component) > 1)[0]
    inside = cyclic[child] & cyclic[parent]
    above = dict(zip(child[inside].tolist(), parent[inside].tolist(), strict=True))
    path, place = [int(child[inside][0])], {int(child[inside][0]): 0}
    # Every node of the component has a parent inside it, so that this walk must come back to itself.
    while (following := above[path[-1]]) not in place:
        place[following] = len(path)
        path.append(following)
    return path[place[following] :]


def require_acyclic(names: NDArray, links: Links, what: str) -> None:
    """Refuse links that run in a circle, naming them.

    Args:
        names: (nodes,) names for the message.
        links: child and parent codes.
        what: the file, for the message.

    Raises:
        FileFormatError: there is a cycle.
    """
    cycle = find_cycle(len(names), links)
    if cycle:
        shown = [str(names[node]) for node in cycle[:10]] + (["..."] if len(cycle) > 10 else [str(names[cycle[0]])])
        raise FileFormatError(
            f"{what} has a cycle: {' -> '.join(shown)}",
            expected="child-to-parent links without a cycle",
            found=f"{len(cycle)} nodes that are their own ancestors",
            remedy="remove one of these links, or download the file again",
        )
