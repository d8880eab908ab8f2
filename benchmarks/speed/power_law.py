"""The graph of the speed contests: as many genes as human STRING, degrees by a power law."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from gnnvcell._dgl import dgl
from gnnvcell.ops import Adjacency

NODES = 19_790
EXPONENT = 0.6  # the chance of a node at an end of an edge falls with this power of its rank


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """One graph for all contestants, edges sorted by destination (which PyG asks for and nobody suffers from)."""

    src: Tensor
    dst: Tensor
    weight: Tensor

    @cached_property
    def dgl(self) -> Any:
        """DGL's graph with its CSC made."""
        graph = dgl.graph((self.src, self.dst), num_nodes=NODES)
        graph.create_formats_()
        return graph

    @cached_property
    def adjacency(self) -> Adjacency:
        """Ours, with its transpose made."""
        made = Adjacency.from_dgl(self.dgl)
        _ = made.transpose
        return made

    def feat(self, *shape: int, seed: int = 0) -> Tensor:
        """Standard normal float32."""
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@lru_cache(maxsize=1)
def power_law(edges: int) -> PowerLaw:
    """A graph with this many edges; seed 0."""
    generator = torch.Generator().manual_seed(0)
    chance = torch.arange(1, NODES + 1).double() ** -EXPONENT
    ends = [
        torch.multinomial(chance, edges, replacement=True, generator=generator)[
            torch.randperm(edges, generator=generator)
        ]
        for _ in range(2)
    ]
    names = torch.randperm(NODES, generator=generator)  # rank says nothing about where a gene stands
    src, dst = names[ends[0]], names[ends[1]]
    order = torch.argsort(dst * NODES + src)
    return PowerLaw(src[order], dst[order], torch.rand(edges, generator=generator))
