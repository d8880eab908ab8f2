"""Small graphs that find mistakes in kernels and layers: every corner a real relation has."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class GraphCase:
    """Edges of a small bipartite or square relation.

    Args:
        name: what is special about it.
        src: (edges,) int64.
        dst: (edges,) int64.
        num_src: source nodes.
        num_dst: destination nodes.
    """

    name: str
    src: Tensor
    dst: Tensor
    num_src: int
    num_dst: int


def _case(name: str, src: list[int], dst: list[int], num_src: int, num_dst: int) -> GraphCase:
    return GraphCase(name, torch.tensor(src, dtype=torch.int64), torch.tensor(dst, dtype=torch.int64), num_src, num_dst)


def _random(name: str, num_src: int, num_dst: int, edges: int, seed: int) -> GraphCase:
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(num_src, (edges,), generator=generator)
    dst = torch.randint(num_dst, (edges,), generator=generator)
    return GraphCase(name, src, dst, num_src, num_dst)


_HUB = 64
GRAPH_CASES: tuple[GraphCase, ...] = (
    _case("empty relation", [], [], 4, 3),
    _case("one node", [], [], 1, 1),
    _case("one node, self loop", [0], [0], 1, 1),
    _case("isolated nodes", [0, 1], [1, 0], 5, 5),
    _case("self loops", [0, 1, 2, 0], [0, 1, 2, 1], 3, 3),
    _case("duplicate edges", [0, 0, 0, 1], [1, 1, 1, 0], 2, 2),
    _case("star into a hub of degree N", list(range(_HUB)), [0] * _HUB, _HUB, _HUB),
    _case("star out of a hub", [0] * _HUB, list(range(_HUB)), _HUB, _HUB),
    _case("path", [0, 1, 2, 3], [1, 2, 3, 4], 5, 5),
    _random("random, bipartite", 17, 11, 60, seed=0),
    _random("random, square", 40, 40, 300, seed=1),
)
