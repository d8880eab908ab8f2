"""Reading an OBO ontology (through obonet) into live terms, their links, and where other identifiers lead."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import obonet
from numpy.typing import NDArray

from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_text
from gnnvcell.graphs.sources._hierarchy import Links

# What is needed of a term. The rest (definitions, synonyms, cross references) is most of the file and of the time.
_TAGS = ("id:", "name:", "namespace:", "alt_id:", "is_a:", "relationship:", "is_obsolete:", "replaced_by:")
_HEADER_TAGS = ("format-version:", "data-version:", "default-namespace:", "ontology:")

OBSOLETE = -1
UNKNOWN = -2


@dataclass(frozen=True, eq=False)
class Ontology:
    """The live terms of the wanted namespaces.

    Args:
        ids: (terms,) identifiers.
        names: (terms,) readable names.
        namespaces: (terms,) namespace of each term.
        links: relation to (child, parent) codes, for the relations that were asked for.
        index: every identifier, also alternative and replaced ones, to its term, or ``OBSOLETE``.
        version: the file's ``data-version``, or "".
        notes: counted facts.
    """

    ids: NDArray
    names: NDArray
    namespaces: NDArray
    links: Mapping[str, Links]
    index: Mapping[str, int]
    version: str
    notes: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def lookup(self, identifiers: Sequence[str]) -> NDArray[np.int64]:
        """(identifiers,) the term of each, ``OBSOLETE`` or ``UNKNOWN``."""
        return np.array([self.index.get(str(name), UNKNOWN) for name in identifiers], dtype=np.int64)


def read_ontology(path: Path, relations: Sequence[str], namespaces: Sequence[str]) -> Ontology:
    """Read ``.obo`` or ``.obo.gz``.

    Obsolete terms are left out; where one names exactly one live replacement, its identifier leads there. Alternative
    identifiers lead to their term.

    Args:
        path: the file.
        relations: links to keep: "is_a" or the name of a relationship.
        namespaces: namespaces whose terms are wanted.

    Raises:
        FileFormatError: not an OBO file, a term given twice, or no term of these namespaces.
    """
    graph = _parse(path)
    default = "".join(graph.graph.get("default-namespace", []))
    terms = {name: data for name, data in graph.nodes(data=True) if data}
    obsolete = {name for name, data in terms.items() if data.get("is_obsolete") == "true"}
    spaces = {name: data.get("namespace", default) for name, data in terms.items() if name not in obsolete}
    live = [name for name, space in spaces.items() if space in namespaces]
    if not live:
        found = ", ".join(f"{space or '(none)'} ({n})" for space, n in Counter(spaces.values()).most_common(5))
        raise FileFormatError(
            f"{path} has no live terms of the Gene Ontology",
            expected=f"terms of the namespaces {', '.join(namespaces)}",
            found=found or "no terms",
            remedy="is it another ontology, or another file?",
        )
    index = {name: code for code, name in enumerate(live)}
    led, notes = _other_identifiers(terms, live, obsolete, index)
    links, dropped = _links(graph, relations, led)
    if dropped:
        notes.append(f"{dropped:,} links to obsolete or unknown terms left out of {path.name}")
    notes += [f"{path.name} has no {relation} links" for relation, (child, _) in links.items() if not len(child)]
    return Ontology(
        ids=np.array(live),
        names=np.array([str(terms[name].get("name", name)) for name in live]),
        namespaces=np.array([spaces[name] for name in live]),
        links=links,
        index=led,
        version=str(graph.graph.get("data-version", "")),
        notes=notes,
    )


def _parse(path: Path) -> nx.MultiDiGraph:
    text, repeated = _needed_lines(path)
    if repeated:
        raise FileFormatError(f"{path} gives the term {repeated} twice", remedy="keep one of them")
    try:
        graph = obonet.read_obo(io.StringIO(text), ignore_obsolete=False)
    except (ValueError, KeyError) as error:
        raise FileFormatError(
            f"{path} is not a valid OBO file",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:120]}",
            remedy="download it again",
        ) from error
    return graph


def _needed_lines(path: Path) -> tuple[str, str]:
    """The lines of the header and of the terms that are read, and the first term that comes twice (or "")."""
    kept: list[str] = []
    seen: set[str] = set()
    repeated, wanted, stanza = "", _HEADER_TAGS, ""
    with open_text(path) as handle:
        for line in handle:
            if line.startswith("["):
                # A blank line before each stanza is what obonet separates them by.
                stanza, wanted, line = line.strip(), _TAGS, f"\n{line}"
            elif not line.startswith(wanted):
                continue
            elif stanza == "[Term]" and line.startswith("id:"):
                name = line[3:].split("!")[0].strip()
                repeated = repeated or (name if name in seen else "")
                seen.add(name)
            if stanza in ("", "[Term]"):
                kept.append(line)
    if not kept or not seen or not any(line.startswith("format-version:") for line in kept[:10]):
        raise FileFormatError(
            f"{path} is not an OBO file",
            expected="a header with format-version, then [Term] stanzas",
            found=f"{len(seen)} terms" if seen else "no [Term]",
            remedy="give the ontology as .obo or .obo.gz",
        )
    if not any(line.startswith("ontology:") for line in kept[:10]):
        kept.insert(0, "ontology: unnamed\n")
    return "".join(kept), repeated


def _other_identifiers(
    terms: Mapping[str, Any], live: Sequence[str], obsolete: set[str], index: Mapping[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Every identifier to its live term: its own, alternative ones, and obsolete ones with one replacement."""
    claims: dict[str, set[int]] = {}
    for name in live:
        for other in terms[name].get("alt_id", []):
            claims.setdefault(other, set()).add(index[name])
    led = {other: codes.copy().pop() for other, codes in claims.items() if len(codes) == 1}
    led |= index
    replaced = {}
    for name in obsolete - led.keys():
        heirs = {led[heir] for heir in terms[name].get("replaced_by", []) if heir in led}
        replaced[name] = heirs.pop() if len(heirs) == 1 else OBSOLETE
    gone = sum(code == OBSOLETE for code in replaced.values())
    doubtful = sum(len(codes) > 1 for codes in claims.values())
    counts = (
        (len(replaced) - gone, "obsolete terms stand for their one replacement"),
        (gone, "obsolete terms without one replacement left out"),
        (doubtful, "alternative identifiers that belong to several terms left out"),
    )
    return led | replaced, [f"{count:,} {fact}" for count, fact in counts if count]


def _links(graph: nx.MultiDiGraph, relations: Sequence[str], led: Mapping[str, int]) -> tuple[dict[str, Links], int]:
    found: dict[str, set[tuple[int, int]]] = {relation: set() for relation in relations}
    dropped = 0
    for child, parent, relation in graph.edges(keys=True):
        if relation not in found or led.get(child, UNKNOWN) < 0:
            continue
        if led.get(parent, UNKNOWN) < 0:
            dropped += 1
        else:
            found[relation].add((led[child], led[parent]))
    links = {}
    for relation, pairs in found.items():
        codes = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        links[relation] = (codes[:, 0].copy(), codes[:, 1].copy())
    return links, dropped
