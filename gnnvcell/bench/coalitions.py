"""Sets of a graph's sources: which graphs they make, what these are called, and what a source adds to the others.

The whole graph is called ``g``, one source of it ``g/string``, all sources but one ``g/all but string``, another set
``g/string+reactome``.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import factorial

from gnnvcell.errors import ConfigError

MAX_SOURCES = 8  # 255 graphs
_ALL_BUT = "all but "


def is_part(graph: str) -> bool:
    """Whether a graph's name is that of a part of a graph."""
    return "/" in graph


def is_single(graph: str) -> bool:
    """Whether a graph's name is that of one source alone."""
    part = graph.partition("/")[2]
    return bool(part) and "+" not in part and not part.startswith(_ALL_BUT)


def coalition_name(graph: str, members: Iterable[str], sources: Sequence[str]) -> str:
    """What the graph of some sources is called; ``sources`` are all of the graph, in their order."""
    kept = [source for source in sources if source in set(members)]
    left_out = [source for source in sources if source not in kept]
    if not left_out:
        return graph
    if len(left_out) == 1 and len(kept) > 1:
        return f"{graph}/{_ALL_BUT}{left_out[0]}"
    return f"{graph}/{'+'.join(kept)}"


def sources_named(graph: str, names: Iterable[str]) -> list[str]:
    """The sources of a graph, from the names of the graphs that were scored."""
    found: dict[str, None] = {}
    for name in names:
        whole, _, part = name.partition("/")
        if whole == graph and part:
            found.update(dict.fromkeys(part.removeprefix(_ALL_BUT).split("+")))
    return list(found)


def coalition_sets(name: str, sources: Sequence[str], *, every: bool = False) -> list[tuple[str, ...]]:
    """Sets of a graph's sources, without that of all.

    Args:
        name: the graph's name.
        sources: of the graph, in their order.
        every: all sets, for Shapley values; otherwise all sources but one, for each.

    Raises:
        ConfigError: fewer than two sources, or more than ``MAX_SOURCES`` of which every set is asked for.
    """
    if len(sources) < 2:
        raise ConfigError(f"the graph {name!r} has no sources to leave out", found=f"sources {', '.join(sources)}")
    if every and len(sources) > MAX_SOURCES:
        raise ConfigError(
            f"the graph {name!r} has too many sources to score every set of them",
            expected=f"at most {MAX_SOURCES}",
            found=f"{len(sources)}: {2 ** len(sources) - 1} graphs",
            remedy="leave them out one at a time",
        )
    sizes = range(1, len(sources)) if every else [len(sources) - 1]
    return [members for size in sizes for members in combinations(sources, size)]


def shapley_terms(graph: str, source: str, sources: Sequence[str]) -> dict[str, float]:
    """The Shapley value of a source as a sum over graphs: name to coefficient.

    ``phi_i = sum over sets S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))``: what a source adds, averaged
    over all orders in which the sources could have been added. The values of all sources sum to that of the whole graph
    less that of none [Shapley 1953].

    Returns:
        Coefficients by name; that of no source at all under the name "".
    """
    n = len(sources)
    others = [name for name in sources if name != source]
    terms: dict[str, float] = {}
    for size in range(n):
        weight = factorial(size) * factorial(n - size - 1) / factorial(n)
        for members in combinations(others, size):
            terms[coalition_name(graph, [*members, source], sources)] = weight
            terms[coalition_name(graph, members, sources) if members else ""] = -weight
    return terms
