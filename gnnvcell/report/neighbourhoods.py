"""What a graph links held-out perturbations to: measured neighbours, paths to them, and partners in complexes.

It is made from the saved graph once and kept in the benchmark's folder, so that the page needs the folder alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.folder import BenchFolder
from gnnvcell.bench.units import Units
from gnnvcell.errors import ConfigError, FileFormatError, did_you_mean
from gnnvcell.files import open_text, write_text
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.measured_neighbours import measured_neighbours
from gnnvcell.models.relations import gene_relations, is_gene_gene
from gnnvcell.models.targets import target_matrix
from gnnvcell.perturbation import Perturbation
from gnnvcell.screens.hops import HopGraph

NEIGHBOURS, PATHS = 10, 8  # that are kept of a perturbation
_TERM_GENES = 50  # paths run through smaller terms
_COMPLEX_GENES = 100  # a larger "complex" is a class of complexes
_COMPLEX_TERM = "GO:0032991"  # protein-containing complex
_IS_A, _COMPONENT = "is_a", "annotated_cc"


Near = dict[tuple[str, str, str], dict[str, "Neighbourhood"]]  # by graph, line and task


@dataclass(frozen=True)
class Neighbourhood:
    """One held-out perturbation in the graph.

    Args:
        measured: training perturbations next to it in any gene-gene relation.
        partner: whether a member of a complex of its target is a training perturbation; None where the graph names no
            complexes.
        neighbours: (training perturbation, relation to weight), those with the strongest links first.
        paths: (names of the nodes from the target to a training perturbation, strength), through one gene or term, to
            those that are no neighbours; the strongest first.
    """

    measured: int
    partner: bool | None
    neighbours: list[tuple[str, dict[str, float]]]
    paths: list[tuple[list[str], float]]

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "Neighbourhood":
        """From what ``asdict`` made of one, where tuples have become lists."""
        near, paths = ([tuple(one) for one in content[name]] for name in ("neighbours", "paths"))
        return cls(content["measured"], content["partner"], near, paths)


def neighbourhoods(graph: GeneGraph, units: Units) -> dict[str, Neighbourhood]:
    """Every held-out perturbation in the graph.

    A link counts by its weight over the largest of its relation; a path by the product of its two, over the square root
    of the degree of the node between, so that hubs do not stand between everything.

    Args:
        graph: the real graph that was scored.
        units: held-out and training perturbations.
    """
    hops = HopGraph(graph, max_term_genes=_TERM_GENES)
    ends = _nodes_of(graph, units.train)
    in_reach = np.zeros(len(hops.degree), dtype=bool)
    in_reach[list(ends)] = True
    counts = measured_neighbours(graph, units.perturbations, units.train)
    partners = _partners(graph, units)
    links = {name: graph.adjacency(name) for name in gene_relations(graph) if is_gene_gene(graph, name)}
    found = {}
    for place, name in enumerate(units.perturbations):
        starts = list(_nodes_of(graph, [name]))
        near = _neighbours(links, starts, ends)
        found[name] = Neighbourhood(
            int(counts[place]),
            None if partners is None else bool(partners[place]),
            near[:NEIGHBOURS],
            _paths(hops, starts, ends, in_reach),
        )
    return found


def neighbourhoods_of(bench: BenchFolder, graphs: Mapping[str, str | Path]) -> Near:
    """The neighbourhoods in the whole graphs that were scored: those that the folder keeps, and of others where the
    graph is given or, from a suite, in the folder itself.

    Args:
        bench: a finished benchmark.
        graphs: name in the benchmark to the folder of a saved graph.

    Raises:
        ConfigError: a graph that was not scored, or another one of the same name.
    """
    scored = {str(run["graph"]) for run in bench.records if not is_part(str(run["graph"]))}
    digests = {str(name): str(digest) for name, digest in bench.provenance.get("graphs", {}).items()}
    given = {name: _checked(name, GeneGraph.load(folder), digests) for name, folder in graphs.items()}
    found: Near = {}
    for name, digest in ((name, digest) for name, digest in digests.items() if name in scored):
        for (line, task), units in bench.units.items():
            path = bench.path / "neighbours" / name / f"{line}-{task}.json"
            kept = _load(path, digest, units) if path.exists() else None
            built = bench.path / "graphs" / name
            if kept is None and name not in given and built.is_dir():
                given[name] = _checked(name, GeneGraph.load(built), digests)
            if kept is None and name in given:
                kept = neighbourhoods(given[name], units)
                _save(path, digest, kept)
            if kept is not None:
                found[name, line, task] = kept
    return found


def _checked(name: str, graph: GeneGraph, digests: Mapping[str, str]) -> GeneGraph:
    if name not in digests:
        raise ConfigError(f"the graph {name!r} was not scored", remedy=did_you_mean(name, digests))
    if graph.digest != digests[name]:
        raise ConfigError(
            f"the graph {name!r} is not the one that was scored",
            expected=f"digest {digests[name][:12]}",
            found=graph.digest[:12],
            remedy="give the saved graph that the benchmark was run on",
        )
    return graph


def _save(path: Path, digest: str, found: Mapping[str, Neighbourhood]) -> None:
    content = {"graph": digest, "perturbations": {name: asdict(one) for name, one in found.items()}}
    write_text(path, json.dumps(content, separators=(",", ":")))


def _load(path: Path, digest: str, units: Units) -> dict[str, Neighbourhood] | None:
    """What ``_save`` wrote; None where it is of another graph or of other labels."""
    with open_text(path) as handle:
        text = handle.read()
    try:
        content = json.loads(text)
        found = {name: Neighbourhood.of_json(one) for name, one in content["perturbations"].items()}
        same = content["graph"] == digest and list(found) == units.perturbations
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(
            f"{path} is damaged", found=str(error), remedy="delete it, and give the graph again with --graph DIR"
        ) from error
    return found if same else None


def _nodes_of(graph: GeneGraph, perturbations: Sequence[str]) -> dict[int, str]:
    """The targets that the graph has, each with the first perturbation of it."""
    found: dict[int, str] = {}
    for name in perturbations:
        for node in graph.vocab.lookup(list(Perturbation.parse(name).targets)).tolist():
            if node >= 0:
                found.setdefault(node, name)
    return found


def _neighbours(
    links: Mapping[str, Any], starts: Sequence[int], ends: Mapping[int, str]
) -> list[tuple[str, dict[str, float]]]:
    """Measured perturbations next to a start, with the weight of each relation between them."""
    found: dict[str, dict[str, float]] = {}
    order: dict[str, float] = {}
    for relation, adjacency in links.items():
        top = float(np.max(adjacency.data, initial=0.0)) or 1.0
        for start in starts:
            row = adjacency[[start]]
            for node, weight in zip(row.indices.tolist(), row.data.tolist(), strict=True):
                if node in ends and node not in starts:
                    name = ends[node]
                    of_name = found.setdefault(name, {})
                    of_name[relation] = round(max(weight, of_name.get(relation, 0.0)), 4)
                    order[name] = order.get(name, 0.0) + weight / top
    return sorted(found.items(), key=lambda one: -order[one[0]])


def _paths(
    hops: HopGraph, starts: Sequence[int], ends: Mapping[int, str], in_reach: NDArray[np.bool_]
) -> list[tuple[list[str], float]]:
    """The strongest ways of two hops to measured perturbations that are not one hop away."""
    best: dict[int, tuple[float, int, int]] = {}
    for start in starts:
        row = hops.matrix[[start]]
        between = row.indices
        strength = row.data / np.sqrt(np.maximum(hops.degree[between], 1))
        onward = sp.csr_matrix(sp.diags(strength) @ hops.matrix[between]).tocoo()
        kept = in_reach[onward.col] & ~np.isin(onward.col, [*starts, *between])
        for middle, end, value in zip(onward.row[kept], onward.col[kept], onward.data[kept], strict=True):
            if value > best.get(int(end), (0.0, 0, 0))[0]:
                best[int(end)] = (float(value), start, int(between[middle]))
    ranked = sorted(best.items(), key=lambda one: (-one[1][0], one[0]))[:PATHS]
    return [([hops.name(a), hops.name(b), hops.name(end)], round(value, 4)) for end, (value, a, b) in ranked]


def _partners(graph: GeneGraph, units: Units) -> NDArray[np.bool_] | None:
    """(held-out,) whether a perturbation shares a complex of the Gene Ontology with a training perturbation."""
    if not {_IS_A, _COMPONENT} <= set(graph.relations):
        return None
    terms = graph.etype(_COMPONENT)[2]
    names = {str(name): row for row, name in enumerate(graph.names(terms))}
    if _COMPLEX_TERM not in names or graph.etype(_COMPONENT)[0] != keys.GENE:
        return None
    member = sp.csr_matrix(graph.adjacency(_COMPONENT) != 0, dtype=np.float32)
    complexes = _below(sp.csr_matrix(graph.adjacency(_IS_A)), names[_COMPLEX_TERM])
    size = np.asarray(member.sum(axis=0)).ravel()
    kept = sp.diags((complexes & (size <= _COMPLEX_GENES)).astype(np.float32))
    member = sp.csr_matrix(member @ kept)
    trained = np.asarray((target_matrix(graph, units.train) @ member).sum(axis=0)).ravel() > 0
    shared = target_matrix(graph, units.perturbations) @ (member @ trained.astype(np.float32))
    return np.asarray(shared).ravel() > 0


def _below(is_a: sp.csr_matrix, root: int) -> NDArray[np.bool_]:
    """(terms,) whether a term is the root or below it; rows of ``is_a`` are children."""
    parents = sp.csr_matrix(is_a != 0, dtype=np.float32)
    found = np.zeros(len(parents.indptr) - 1, dtype=bool)
    found[root] = True
    while True:
        grown = found | (parents @ found.astype(np.float32) > 0)
        if (grown == found).all():
            return found
        found = grown
