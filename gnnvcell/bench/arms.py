"""Arms of a benchmark: a graph or a part of it, real or a control that was drawn with a seed.

A control is drawn of the whole graph and its parts are taken from it. A relation is rewired, and the genes are
permuted, alike whatever other relations there are, so that a part of the control is the control of the part; and every
source of a size-matched control has relations of one size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from gnnvcell.bench.coalitions import coalition_name, coalition_sets
from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.graphs.gene_graph import GeneGraph

REAL = "real"
ALL, EACH, LEAVE_ONE_OUT, COALITIONS = "all", "each", "leave_one_out", "coalitions"
PARTS = (ALL, EACH, LEAVE_ONE_OUT, COALITIONS)
SEEDLESS = ("empty", "dense", "complete")  # controls that every seed gives alike
WHOLE_ONLY = ("dense", "complete")  # controls that have none of the graph's relations, and so no parts


class Whole:
    """A graph of which parts and controls are compared.

    The control and the part that were asked for last are kept: arms come in an order in which they are needed again.

    Args:
        name: of the graph.
        graph: whose manifest tells which source gave which relation.
    """

    def __init__(self, name: str, graph: GeneGraph) -> None:
        self.name, self.graph = name, graph
        self._drawn = lru_cache(maxsize=1)(self._draw)
        self.of = lru_cache(maxsize=1)(self._of)

    @cached_property
    def digest(self) -> str:
        """Of the graph."""
        return self.graph.digest

    def parts(self, selection: str) -> dict[str, tuple[str, ...]]:
        """Name to relations of the graphs of a selection.

        Args:
            selection: "all": the graph itself; "each" source; "leave_one_out": all sources but one, for each;
                "coalitions": every set of sources but all of them.

        Raises:
            ConfigError: another selection, or sources are to be left out of a graph that has one, or too many.
        """
        sources = self.graph.source_relations
        if selection == ALL:
            return {self.name: tuple(self.graph.relations)}
        if selection == EACH:
            return {f"{self.name}/{source}": tuple(relations) for source, relations in sources.items()}
        if selection not in PARTS:
            raise ConfigError(f"unknown parts {selection!r} of a graph", remedy=did_you_mean(selection, PARTS))
        sets = coalition_sets(self.name, list(sources), every=selection == COALITIONS)
        return {
            coalition_name(self.name, members, list(sources)): tuple(r for name in members for r in sources[name])
            for members in sets
        }

    def _of(self, relations: tuple[str, ...], control: str, seed: int) -> GeneGraph:
        """The graph of some relations, real or a control."""
        graph = self.graph if control == REAL else self._drawn(control, 0 if control in SEEDLESS else seed)
        whole = control in WHOLE_ONLY or len(relations) == len(self.graph.relations)
        return graph if whole else graph.select(relations)

    def _draw(self, control: str, seed: int) -> GeneGraph:
        return CONTROLS.get(control)(self.graph, seed=seed)


@dataclass(frozen=True)
class Selected:
    """Some parts of a graph, and what is done with them.

    Args:
        parts: which, one of ``PARTS``.
        controls: names in ``CONTROLS`` that they are compared with.
        models: labels of the models that are fitted; None for all.
    """

    parts: str = ALL
    controls: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Arm:
    """One graph to fit on; it is made when it is asked for.

    Args:
        whole: the graph it is of.
        name: of the part.
        relations: of the part.
        control: name in ``CONTROLS``, or "real".
        seed: of the control, and of the model that is fitted.
        models: labels of the models that are fitted; None for all.
    """

    whole: Whole
    name: str
    relations: tuple[str, ...]
    control: str
    seed: int
    models: tuple[str, ...] | None = None

    @property
    def graph(self) -> GeneGraph:
        """The graph itself."""
        return self.whole.of(self.relations, self.control, 0 if self.control == REAL else self.seed)

    @property
    def group(self) -> tuple[str, str, int]:
        """What arms share that are of one drawn graph."""
        return (self.whole.name, self.control, 0 if self.control in (REAL, *SEEDLESS) else self.seed)

    def identity(self, *, seeded: bool) -> dict[str, Any]:
        """What a result depends on, for its key.

        Args:
            seeded: whether the model is another one with another seed.
        """
        repeatable = self.control in (REAL, *SEEDLESS) and not seeded
        return {
            "graph": self.whole.digest,
            "relations": sorted(self.relations),
            "control": self.control,
            "seed": 0 if repeatable else self.seed,
        }


def arms_of(whole: Whole, selections: Sequence[Selected], seeds: int) -> list[Arm]:
    """Arms of a graph, those of one drawn graph one after the other, and among them those of one part.

    Args:
        whole: the graph.
        selections: parts of it; a part that is in two of them has the controls and models of both.
        seeds: number of seeds, from 0.

    Raises:
        ConfigError: an unknown control or part, or sources cannot be left out.
    """
    for selected in selections:
        for control in selected.controls:
            CONTROLS.get(control)
    arms = {}
    for control in (REAL, *dict.fromkeys(name for selected in selections for name in selected.controls)):
        for selected in selections:
            if control == REAL or control in selected.controls:
                for name, relations in whole.parts(selected.parts).items():
                    for seed in range(seeds):
                        before = arms.get((name, control, seed))
                        models = selected.models if before is None else _both(before.models, selected.models)
                        arms[name, control, seed] = Arm(whole, name, relations, control, seed, models)
    order = {group: place for place, group in enumerate(dict.fromkeys(arm.group for arm in arms.values()))}
    return sorted(arms.values(), key=lambda arm: order[arm.group])


def _both(some: tuple[str, ...] | None, others: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if some is None or others is None else tuple(dict.fromkeys([*some, *others]))
