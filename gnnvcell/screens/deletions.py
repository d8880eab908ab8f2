"""Deletions: what goes of one predicted effect when edges are deleted."""

from collections.abc import Iterable
from itertools import combinations
from math import factorial
from typing import Any

from gnnvcell.graphs.deleting import without_edges
from gnnvcell.models.base import EffectPredictor
from gnnvcell.screens.hops import Hop, HopGraph
from gnnvcell.screens.on_graph import ReadsGraph


class Deletions:
    """Predictions of one gene under one perturbation, on graphs with edges deleted; each is made once.

    Args:
        model: predicts on edited graphs.
        hops: of the model's graph.
        perturbation: its name.
        column: of the gene among the model's outputs.
        context: as of the model's ``predict``.
    """

    def __init__(self, model: ReadsGraph, hops: HopGraph, perturbation: str, column: int, context: Any) -> None:
        self.hops = hops
        self._model, self._perturbation, self._column, self._context = model, perturbation, column, context
        self._known: dict[frozenset[Hop], float] = {}
        self.full = self._predicted(model)

    def effect(self, hops: Iterable[Hop]) -> float:
        """The prediction less that without some hops: what they carry."""
        wanted = frozenset(hops)
        if wanted not in self._known:
            self._known[wanted] = self._predicted(self._model.with_graph(self.hops.without(wanted)))
        return self.full - self._known[wanted]

    def of_sources(self, sources: dict[str, list[str]], *, shapley_up_to: int) -> dict[str, tuple[float, float | None]]:
        """Source to what goes of the prediction without it, and its Shapley value.

        The Shapley value is the mean, over all orders in which sources may be added to a graph without edges, of what
        the prediction changes by when it is added [Shapley 1953]; the values add up to the prediction on the whole
        graph less that on a graph without edges. It takes ``2^sources`` predictions, and is None for more sources than
        ``shapley_up_to``.
        """
        names = list(sources)
        by_shares = len(names) <= shapley_up_to
        sizes = range(len(names) + 1) if by_shares else (len(names) - 1, len(names))
        value = {
            frozenset(kept): self._of_kept(sources, kept) for size in sizes for kept in combinations(names, size)
        }
        whole = frozenset(names)
        return {
            name: (value[whole] - value[whole - {name}], _shapley(name, names, value) if by_shares else None)
            for name in names
        }

    def _of_kept(self, sources: dict[str, list[str]], kept: Iterable[str]) -> float:
        gone = [relation for name in sources if name not in set(kept) for relation in sources[name]]
        if not gone:
            return self.full
        return self._predicted(self._model.with_graph(without_edges(self.hops.graph, dict.fromkeys(gone))))

    def _predicted(self, model: EffectPredictor) -> float:
        return float(model.predict([self._perturbation], context=self._context).values[0, self._column])


def _shapley(name: str, names: list[str], value: dict[frozenset[str], float]) -> float:
    others, total = [other for other in names if other != name], 0.0
    for size in range(len(others) + 1):
        share = factorial(size) * factorial(len(others) - size) / factorial(len(names))
        for before in map(frozenset, combinations(others, size)):
            total += share * (value[before | {name}] - value[before])
    return total
