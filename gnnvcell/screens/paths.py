"""Paths from targets to where a prediction comes from, found by deleting their hops one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.screens.deletions import Deletions
from gnnvcell.screens.hops import Hop, HopGraph, hops_of

_SMALLEST = 1e-5  # of what the graph carries: less is rounding


@dataclass(frozen=True)
class Path:
    """A walk from a target to a measured neighbour or to the responding gene.

    Args:
        nodes: numbers of its nodes.
        carried: what its weakest hop carries: no more than that came all the way.
    """

    nodes: tuple[int, ...]
    carried: float


@dataclass(frozen=True, eq=False)
class Corridor:
    """Where paths may run.

    Args:
        targets: nodes that paths start from.
        ends: nodes that they may end in.
        from_target, to_end: (nodes,) hops from the nearest target, and to the nearest end.
        most: hops of a path.
    """

    targets: Sequence[int]
    ends: frozenset[int]
    from_target: NDArray[np.int64]
    to_end: NDArray[np.int64]
    most: int

    @classmethod
    def of(cls, hops: HopGraph, targets: Sequence[int], ends: Sequence[int], most: int) -> "Corridor":
        """The corridor between targets and ends; a target is no end."""
        others = [node for node in ends if node not in set(targets)]
        return cls(targets, frozenset(others), hops.distances(targets, most), hops.distances(others, most), most)

    @property
    def open(self) -> bool:
        """Whether any end can be reached."""
        return any(self.to_end[node] <= self.most for node in self.targets)


def carrying_paths(
    deletions: Deletions, corridor: Corridor, *, direction: float, beam: int, tested: int, progress: bool
) -> list[Path]:
    """The paths that carry a prediction, the strongest first, by beam search outward from the targets.

    Each hop is judged by its own deletion. From every walk in the beam ``tested`` links are tried, those to ends first,
    then strong and specific ones; a walk is worth what its weakest hop carries in the direction of the prediction.

    Args:
        deletions: of the prediction.
        corridor: where paths may run.
        direction: what the graph carries; its sign says which way a path must pull.
        beam: walks that are gone on with.
        tested: links tried from each.
        progress: a bar on stderr.
    """
    sign, least = np.sign(direction), _SMALLEST * abs(direction)
    walks = [Path((node,), np.inf) for node in corridor.targets]
    found: list[Path] = []
    with tqdm(desc="deleting edges", unit="edge", disable=not progress) as bar:
        for step in range(1, corridor.most + 1):
            grown = []
            for walk in walks:
                for node in _ways_on(deletions.hops, corridor, walk, step)[:tested]:
                    hop = hops_of((walk.nodes[-1], node))
                    carried = min(walk.carried, sign * deletions.effect(hop))
                    bar.update()
                    if carried > least:
                        grown.append(Path((*walk.nodes, node), carried))
            grown.sort(key=lambda path: -path.carried)
            found += [path for path in grown if path.nodes[-1] in corridor.ends]
            walks = grown[:beam]
    found.sort(key=lambda path: (-path.carried, len(path.nodes)))
    return [Path(path.nodes, float(sign * path.carried)) for path in found]


def _ways_on(hops: HopGraph, corridor: Corridor, walk: Path, step: int) -> list[int]:
    """Nodes that a walk may go to: ends first, because a measured hub is no specific link and yet may count."""
    left = corridor.most - step
    near = [
        node
        for node in hops.neighbours(walk.nodes[-1]).tolist()
        if corridor.to_end[node] <= left and node not in walk.nodes and node not in corridor.targets
    ]
    return sorted(near, key=lambda node: node not in corridor.ends)  # stable: else as they are


def matched_hops(
    hops: HopGraph, corridor: Corridor, explained: Sequence[Hop], *, rng: np.random.Generator, nearest: int = 20
) -> list[Hop] | None:
    """As many other hops, at the same distance from the targets and between nodes of like degree.

    For each hop one is drawn among the ``nearest`` in log degree of the two nodes together, without a hop of the
    explanation; one that was drawn before is not drawn again while there are others.

    Args:
        hops: of the graph.
        corridor: other hops are taken from it.
        explained: what is matched.
        rng: draws.
        nearest: how many are drawn among.

    Returns:
        The hops; None where the corridor has no others.
    """
    pool = hops.between(corridor.from_target, corridor.to_end, corridor.most)
    own = set(explained)
    pool = np.array([pair for pair in map(tuple, pool.tolist()) if pair not in own], dtype=np.int64).reshape(-1, 2)
    if not len(pool):
        return None
    depth = corridor.from_target[pool].min(axis=1)
    size = np.log(hops.degree[pool]).sum(axis=1)
    free = np.ones(len(pool), dtype=bool)
    drawn = []
    for a, b in explained:
        same = depth == min(corridor.from_target[a], corridor.from_target[b])
        rows = next(np.flatnonzero(mask) for mask in (same & free, same, free, depth >= 0) if mask.any())
        order = np.argsort(np.abs(size[rows] - np.log(hops.degree[[a, b]]).sum()), kind="stable")
        row = int(rng.choice(rows[order[:nearest]]))
        free[row] = False
        drawn.append((int(pool[row, 0]), int(pool[row, 1])))
    return drawn
