"""EdgePairs: edges of one relation by weight, and pairs that are no edges, of the same degrees."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnvcell.errors import EmptyGraphError, GraphIntegrityError

ROUNDS = 8  # of drawing negatives again that were edges


class EdgePairs:
    """Draws (node, neighbour, others): the neighbour by weight of the edge, the others as often as they are neighbours.

    An edge is drawn in proportion to its weight, so a node is drawn as a neighbour in proportion to its weighted
    degree. The others are drawn from that same distribution, and what is an edge is drawn again: hubs are as common
    among the others as among neighbours, so that being a hub says nothing.

    Args:
        name: of the relation, for errors.
        src, dst: (edges,) nodes; an undirected relation has both directions.
        weight: (edges,) above 0; all alike when left out.

    Raises:
        EmptyGraphError: no edges.
        GraphIntegrityError: ends and weights of different number, negative nodes, or weights that are not above 0.

    Example:
        >>> pairs = EdgePairs("path", torch.tensor([0, 1]), torch.tensor([1, 2]))
        >>> node, neighbour, others, valid = pairs.draw(1, 1, torch.Generator().manual_seed(0))
        >>> (node.item(), neighbour.item()) in [(0, 1), (1, 2)]
        True
    """

    def __init__(
        self, name: str, src: Int[Tensor, " edges"], dst: Int[Tensor, " edges"], weight: Tensor | None = None
    ) -> None:
        self.name = name
        self._src, self._dst = src.detach().long().cpu(), dst.detach().long().cpu()
        _check(name, self._src, self._dst, weight)
        self.nodes = int(torch.maximum(self._src, self._dst).max()) + 1
        strength = torch.ones(len(src)) if weight is None else weight.detach().cpu()
        self._reached = strength.double().cumsum(dim=0)
        self._edges = (self._src * self.nodes + self._dst).unique()  # sorted

    def draw(
        self, positives: int, negatives: int, generator: torch.Generator
    ) -> tuple[
        Int[Tensor, " positives"],
        Int[Tensor, " positives"],
        Int[Tensor, "positives negatives"],
        Bool[Tensor, "positives negatives"],
    ]:
        """Nodes, their neighbours, others, and which of the others are no neighbours after all.

        Args:
            positives: number of edges, drawn with repeats.
            negatives: number of others for each.
            generator: on the CPU.
        """
        edge = self._draw(torch.Size([positives]), generator)
        node, neighbour = self._src[edge], self._dst[edge]
        others = self._dst[self._draw(torch.Size([positives, negatives]), generator)]
        for _ in range(ROUNDS):
            again = self._are_edges(node, others)
            count = int(again.sum())
            if not count:
                break
            others[again] = self._dst[self._draw(torch.Size([count]), generator)]
        return node, neighbour, others, ~self._are_edges(node, others)

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        at = torch.rand(shape, generator=generator, dtype=torch.float64) * self._reached[-1]
        return torch.searchsorted(self._reached, at, right=True).clamp_max_(len(self._reached) - 1)

    def _are_edges(self, node: Tensor, others: Tensor) -> Tensor:
        """Whether others are neighbours of their node, or the node itself."""
        key = node[:, None] * self.nodes + others
        place = torch.searchsorted(self._edges, key).clamp_max_(len(self._edges) - 1)
        return (self._edges[place] == key) | (others == node[:, None])


def _check(name: str, src: Tensor, dst: Tensor, weight: Float[Tensor, " edges"] | None) -> None:
    if len(src) != len(dst) or (weight is not None and len(weight) != len(src)):
        raise GraphIntegrityError(
            f"the relation {name!r} has ends and weights of different number",
            found=f"{len(src)} sources, {len(dst)} targets" + ("" if weight is None else f", {len(weight)} weights"),
        )
    if not len(src):
        raise EmptyGraphError(f"the relation {name!r} has no edges", remedy="leave it out of the consistency loss")
    if int(src.min()) < 0 or int(dst.min()) < 0:
        raise GraphIntegrityError(f"the relation {name!r} has negative node numbers")
    if weight is not None and not bool((weight > 0).all() & weight.isfinite().all()):
        raise GraphIntegrityError(f"the relation {name!r} has weights that are not above 0 and finite")
