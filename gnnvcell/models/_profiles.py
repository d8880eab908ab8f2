"""Profiles: what a gene graph says about genes, relation by relation, and how alike perturbations and readouts are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.graphs.deleting import same_edges
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._last_tables import LastTables
from gnnvcell.models._relation_profiles import (
    Alike,
    Annotation,
    Diffusion,
    Matrix,
    ProfileConfig,
    RelationProfiles,
    Rows,
)
from gnnvcell.models.relations import links, unit_rows
from gnnvcell.models.targets import target_matrix

_MEAN_KEPT = 6000  # readout genes whose mean similarity is kept: 144 MB a table
_MEANS_KEPT = 4
_GRAPHS_KEPT = 2  # a benchmark fits several tables on one graph before it goes on to the next


@dataclass(frozen=True, eq=False)
class Likeness:
    """How like each other some perturbations are.

    Args:
        similarity: (relations, perturbations, perturbations) cosines.
        alike: what each relation says.
    """

    similarity: Matrix
    alike: list[Alike]


class GraphProfiles:
    """Profiles of every relation that touches genes, and the similarities they give.

    Relations among terms (ontology links) touch no gene and are not used: sources close annotations under ancestors.

    Args:
        graph: the gene graph; weights must be >= 0.
        config: how profiles are made.
        like: profiles of a graph with the same nodes; those of relations that have the same edges are taken from there.

    Raises:
        ModelError: no relation of the graph touches a gene.
    """

    def __init__(self, graph: GeneGraph, config: ProfileConfig, like: "GraphProfiles | None" = None) -> None:
        self.graph, self.config = graph, config
        self._mean_readout = LastTables[Matrix](_MEANS_KEPT)
        self._profiles: dict[str, RelationProfiles] = {}
        self._neighbours = sp.csr_matrix((graph.num_genes, graph.num_genes), dtype=np.float32)
        for source, relation, destination in graph.etypes:
            if keys.GENE not in (source, destination):
                continue
            if source == destination:
                self._neighbours = self._neighbours.maximum(links(graph, relation))
            if like is not None and like.has(graph, relation):
                self._profiles[relation] = like._profiles[relation]
            elif source == destination:
                self._profiles[relation] = Diffusion(links(graph, relation), config)
            else:
                adjacency = graph.adjacency(relation)
                incidence = adjacency if source == keys.GENE else adjacency.T.tocsr()
                self._profiles[relation] = Annotation(incidence, config)
        if not self._profiles:
            raise ModelError(
                "no relation of the graph touches a gene", found=", ".join(graph.relations) or "no relation"
            )

    @property
    def relations(self) -> list[str]:
        """The relations used, in the graph's order."""
        return list(self._profiles)

    def targets(self, perturbations: Sequence[str] | NDArray) -> sp.csr_matrix:
        """(perturbations, genes of the graph) share of each target that is in the graph (``target_matrix``)."""
        return target_matrix(self.graph, perturbations)

    def has(self, graph: GeneGraph, relation: str) -> bool:
        """Whether this has a relation with the same edges as a graph of the same nodes."""
        return relation in self._profiles and same_edges(graph, self.graph, relation)

    def of_perturbations(self, perturbations: Sequence[str] | NDArray) -> list[Rows]:
        """Per relation the (perturbations, features) unit profile: the mean over targets, normalised again."""
        targets = self.targets(perturbations)
        return [profile.of_targets(targets) for profile in self._profiles.values()]

    def side_by_side(self, perturbations: Sequence[str] | NDArray) -> sp.csr_matrix:
        """(perturbations, columns) the largest entries of all profiles; relations are as long as each other together.

        A column is a node or term of one relation, the same one in all graphs of the same nodes and relations.
        """
        targets = self.targets(perturbations)
        genes = np.unique(targets.indices).astype(np.int64)
        found = [unit_rows(targets[:, genes] @ profile.everywhere(genes)) for profile in self._profiles.values()]
        return sp.csr_matrix(sp.hstack(found) / np.float32(len(found) ** 0.5))

    def among(self, perturbations: Sequence[str] | NDArray) -> Likeness:
        """How like each other some perturbations are."""
        names = np.asarray(perturbations, dtype=str)
        targets = cache(partial(self.targets, names))
        alike = [profile.among(names, targets) for profile in self._profiles.values()]
        return Likeness(np.stack([one.similarity for one in alike]), alike)

    def between(self, perturbations: Sequence[str] | NDArray, known: Likeness) -> Matrix:
        """(relations, perturbations, known) similarity to known ones."""
        names = np.asarray(perturbations, dtype=str)
        targets = cache(partial(self.targets, names))
        pairs = zip(self._profiles.values(), known.alike, strict=True)
        return np.stack([profile.between(names, targets, alike) for profile, alike in pairs])

    def readout_similarity(self, names: Sequence[str] | NDArray) -> Matrix:
        """(genes, genes) mean over relations of the cosine between readout genes; zero diagonal."""
        names = np.asarray(names, dtype=str)
        kept, position = self._mean_readout.find(names)
        if kept is not None:
            return kept.copy() if position is None else kept[position[:, None], position]
        total = np.zeros((len(names), len(names)), dtype=np.float32)
        genes = self.graph.vocab.lookup(names.tolist())
        for profile in self._profiles.values():
            profile.add_readout_similarity(total, names, genes)
        np.fill_diagonal(total, 0)
        np.maximum(total, 0, out=total)
        total /= np.float32(len(self._profiles))
        if len(names) <= _MEAN_KEPT:
            self._mean_readout.keep(names, total.copy())
        return total

    def support(self, perturbations: Sequence[str] | NDArray, measured: Sequence[str] | NDArray) -> Matrix:
        """(perturbations,) number of measured perturbations that share an edge or a specific term with each."""
        targets, known = self.targets(perturbations), self.targets(measured)
        shared = targets @ self._neighbours @ known.T
        for profile in self._profiles.values():
            if isinstance(profile, Annotation):
                shared = shared + (targets @ profile.specific) @ (known @ profile.specific).T
        return np.diff(sp.csr_matrix(shared).indptr).astype(np.float32)


_kept: dict[tuple[str, ProfileConfig], GraphProfiles] = {}  # in the order of their last use


def graph_profiles(graph: GeneGraph, config: ProfileConfig) -> GraphProfiles:
    """The profiles of a graph; made once per content of the graph and kept for the last two graphs.

    A graph that has relations of one that is kept, such as a part of it, shares what was made of them.
    """
    # Frozen configurations hash by their values; pydantic adds that where type checkers do not look.
    key: tuple[str, ProfileConfig] = graph.digest, config
    made = _kept.pop(key, None)
    if made is None:
        whole = _most_alike(graph, config)
        made = GraphProfiles(graph, config, like=None if whole is None else _kept[whole])
        if whole is not None:
            _kept[whole] = _kept.pop(whole)
    _kept[key] = made
    while len(_kept) > _GRAPHS_KEPT:
        del _kept[next(iter(_kept))]
    return made


def _most_alike(graph: GeneGraph, config: ProfileConfig) -> tuple[str, ProfileConfig] | None:
    """The kept graph with most relations of this one; None if none has any."""
    shared = {
        key: sum(other.has(graph, relation) for relation in graph.relations)
        for key, other in _kept.items()
        if other.config == config and other.graph.vocab is graph.vocab
    }
    best = max(shared, key=lambda key: shared[key], default=None)
    return best if best is not None and shared[best] else None
