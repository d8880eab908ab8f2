"""Profiles: what each relation of a gene graph says about a gene, as unit vectors whose inner product is similarity."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg.blas import ssyrk  # pyright: ignore[reportAttributeAccessIssue]  (compiled)

from gnnvcell import keys
from gnnvcell.config import Config, digest_of
from gnnvcell.errors import ModelError
from gnnvcell.graphs.deleting import same_edges
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._by_digest import GraphByDigest
from gnnvcell.models.relations import SPECIFIC_TERM_GENES, links, tfidf_rows, unit_rows
from gnnvcell.models.targets import target_matrix
from gnnvcell.ops import Adjacency
from gnnvcell.ops.diffusion import personalised_pagerank, transition_weights

Matrix = NDArray[np.float32]
T = TypeVar("T")
_SEEDS_AT_ONCE, _MANY_SEEDS = 256, 32
_ROWS_AT_ONCE = 512
_READOUT_KEPT = 2500  # readout genes whose similarities are kept: 25 MB a relation
_MEAN_KEPT = 6000  # readout genes whose mean similarity is kept: 144 MB a table
_TABLES_KEPT = 4  # whose similarities are kept: a benchmark fits several models and seeds on each before the next graph
_BETWEEN_KEPT = 2**24  # similarities of others that are kept: 64 MB
_GRAPHS_KEPT = 2  # a benchmark fits several tables on one graph before it goes on to the next


class ProfileConfig(Config):
    """How relations become profiles.

    Args:
        steps: steps of the diffusion over a gene-gene relation.
        restart: probability of returning to the gene before each step.
        hub_exponent: a node's mass is divided by its weighted degree to this power, so that hubs say less.
        max_term_genes: terms with more genes than this say nothing.
        readout_profile_size: largest entries of a diffusion profile that are kept for readout genes.
    """

    steps: int = Field(default=4, ge=1)
    restart: float = Field(default=0.3, gt=0, le=1)
    hub_exponent: float = Field(default=0.5, ge=0, le=1)
    max_term_genes: int = Field(default=1500, ge=2)
    readout_profile_size: int = Field(default=256, ge=1)


class _Diffusion:
    """Square root of personalised PageRank over a gene-gene relation, read in both directions, unit norm.

    ``f_i[v] = sqrt(pi_i[v] / strength[v]^hub_exponent)``, then divided by its Euclidean norm; a gene without an edge in
    the relation has the zero profile. Signs of edges are not used.
    """

    def __init__(self, links_both_ways: sp.csr_matrix, config: ProfileConfig) -> None:
        both = links_both_ways.tocoo()
        self.config = config
        self.nodes = np.unique(both.row)
        self.local = np.full(len(links_both_ways.indptr) - 1, -1, dtype=np.int64)
        self.local[self.nodes] = np.arange(len(self.nodes))
        src, dst = torch.from_numpy(self.local[both.row]), torch.from_numpy(self.local[both.col])
        self.adjacency = Adjacency(src, dst, len(self.nodes), len(self.nodes))
        weight = torch.from_numpy(both.data.astype(np.float32))
        self.probability = transition_weights(self.adjacency, weight)
        strength = torch.zeros(len(self.nodes)).index_add_(0, src, weight)
        self.discount = strength.clamp_min(torch.finfo(torch.float32).tiny) ** -config.hub_exponent
        self._dense: dict[int, NDArray[np.float16]] = {}
        self._short: dict[int, tuple[NDArray[np.int32], Matrix]] = {}

    def _rows(self, genes: NDArray[np.int64]) -> torch.Tensor:
        """(genes, nodes) profiles of genes that are in the relation."""
        seeds = torch.from_numpy(self.local[genes])
        # Hubs spread a seed over most of a relation within a few steps: of many seeds dense steps are the faster ones.
        method = "dense" if len(seeds) >= _MANY_SEEDS else "auto"
        mass = personalised_pagerank(
            self.adjacency, self.probability, seeds, steps=self.config.steps, restart=self.config.restart, method=method
        )
        profile = (mass * self.discount[:, None]).clamp_min(0).sqrt().T
        return profile / profile.norm(dim=1, keepdim=True)

    def _missing(self, genes: NDArray[np.int64], have: dict) -> list[NDArray[np.int64]]:
        wanted = np.array([g for g in np.unique(genes[genes >= 0]) if self.local[g] >= 0 and g not in have], np.int64)
        return [wanted[i : i + _SEEDS_AT_ONCE] for i in range(0, len(wanted), _SEEDS_AT_ONCE)]

    def dense(self, genes: NDArray[np.int64]) -> Matrix:
        """(genes, nodes) profiles; zero for -1 and for genes without an edge."""
        for block in self._missing(genes, self._dense):
            rows = self._rows(block).to(torch.float16).numpy()
            self._dense.update(zip(block.tolist(), rows, strict=True))
        out = np.zeros((len(genes), len(self.nodes)), dtype=np.float32)
        for i, gene in enumerate(genes.tolist()):
            if gene in self._dense:
                out[i] = self._dense[gene]
        return out

    def short(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, nodes) profiles with their largest entries only, unit norm."""
        keep = min(self.config.readout_profile_size, len(self.nodes))
        for block in self._missing(genes, self._short):
            top, column = self._rows(block).topk(keep, dim=1)
            top = top / top.norm(dim=1, keepdim=True)
            for gene, c, v in zip(block.tolist(), column.to(torch.int32).numpy(), top.numpy(), strict=True):
                self._short[gene] = (c, v)
        found = [(i, *self._short[g]) for i, g in enumerate(genes.tolist()) if g in self._short]
        row = np.repeat([i for i, _, _ in found], keep)
        column = np.concatenate([c for _, c, _ in found]) if found else np.zeros(0, np.int32)
        value = np.concatenate([v for _, _, v in found]) if found else np.zeros(0, np.float32)
        return sp.csr_matrix((value, (row, column)), shape=(len(genes), len(self.nodes)), dtype=np.float32)


class _Annotation:
    """Tf-idf of a gene-term relation (``tfidf_rows``) over terms of 2 to ``max_term_genes`` genes.

    The annotations should be closed under ancestors, as this library's sources give them.
    """

    def __init__(self, incidence: sp.csr_matrix, config: ProfileConfig) -> None:
        genes_of = np.diff(incidence.tocsc().indptr)
        self.matrix = tfidf_rows(incidence[:, genes_of >= 2], max_term_genes=config.max_term_genes)
        self.specific: sp.csr_matrix = incidence[:, (genes_of >= 2) & (genes_of <= SPECIFIC_TERM_GENES)]

    def short(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, terms) profiles; zero for -1 and for genes without a term."""
        present = sp.diags((genes >= 0).astype(np.float32))
        return (present @ self.matrix[np.maximum(genes, 0)]).tocsr()


@dataclass(frozen=True, eq=False)
class Likeness:
    """How like each other some perturbations are.

    Args:
        similarity: (relations, perturbations, perturbations) cosines.
        profiles: theirs, relation by relation, or those of more perturbations.
        position: (perturbations,) where they are among those; None: they are those.
        others: similarities of the last few others to those, for the models that are asked of the same ones in turn.
    """

    similarity: Matrix
    profiles: list[Matrix | sp.csr_matrix]
    position: NDArray[np.int64] | None = None
    others: "_LastTables[Matrix]" = field(default_factory=lambda: _LastTables[Matrix]())

    def cut(self, position: NDArray[np.int64]) -> "Likeness":
        """That of some of them."""
        outer = position if self.position is None else self.position[position]
        return Likeness(self.similarity[:, position[:, None], position], self.profiles, outer, self.others)


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
        self.graph = graph
        self._readout: dict[str, tuple[str, Matrix]] = {}
        self._mean_readout = _LastTables[Matrix]()
        self._among = _LastTables[Likeness]()
        self._profiles: dict[str, _Diffusion | _Annotation] = {}
        self._neighbours = sp.csr_matrix((graph.num_genes, graph.num_genes), dtype=np.float32)
        for source, relation, destination in graph.etypes:
            if keys.GENE not in (source, destination):
                continue
            if source == destination:
                self._neighbours = self._neighbours.maximum(links(graph, relation))
            if like is not None and relation in like._profiles and same_edges(graph, like.graph, relation):
                self._profiles[relation] = like._profiles[relation]
                self._readout |= {name: kept for name, kept in like._readout.items() if name == relation}
            elif source == destination:
                self._profiles[relation] = _Diffusion(links(graph, relation), config)
            else:
                adjacency = graph.adjacency(relation)
                incidence = adjacency if source == keys.GENE else adjacency.T.tocsr()
                self._profiles[relation] = _Annotation(incidence, config)
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

    def of_perturbations(self, perturbations: Sequence[str] | NDArray) -> list[Matrix | sp.csr_matrix]:
        """Per relation the (perturbations, features) unit profile: the mean over targets, normalised again."""
        targets = self.targets(perturbations)
        genes = np.unique(targets.indices).astype(np.int64)
        mixing = targets[:, genes]
        profiles = []
        for profile in self._profiles.values():
            rows = profile.dense(genes) if isinstance(profile, _Diffusion) else profile.short(genes)
            profiles.append(_unit_rows(mixing @ rows))
        return profiles

    def among(self, perturbations: Sequence[str] | NDArray) -> "Likeness":
        """How like each other some perturbations are; not to be changed, because the last few are kept."""
        names = np.asarray(perturbations, dtype=str)
        kept, position = self._among.find(names)
        if kept is None:
            profiles = self.of_perturbations(names)
            made = Likeness(similarities(profiles), profiles)
        elif position is None:
            return kept
        else:
            made = kept.cut(position)
        self._among.keep(names, made)
        return made

    def between(self, perturbations: Sequence[str] | NDArray, known: Likeness) -> Matrix:
        """(relations, perturbations, known) similarity to known ones; not to be changed, as ``among``."""
        names = np.asarray(perturbations, dtype=str)
        found, position = known.others.find(names)
        if found is None:
            found = similarities(self.of_perturbations(names), known.profiles)
            if found.size <= _BETWEEN_KEPT:
                known.others.keep(names, found)
        elif position is not None:
            found = found[:, position]
        return found if known.position is None else found[:, :, known.position]

    def readout_similarity(self, names: Sequence[str] | NDArray) -> Matrix:
        """(genes, genes) mean over relations of the cosine between readout genes; zero diagonal."""
        names = np.asarray(names, dtype=str)
        kept, position = self._mean_readout.find(names)
        if kept is not None:
            return kept.copy() if position is None else kept[position[:, None], position]
        total = np.zeros((len(names), len(names)), dtype=np.float32)
        for relation in self._profiles:
            self._add_readout_similarity(total, relation, names)
        np.fill_diagonal(total, 0)
        np.maximum(total, 0, out=total)
        total /= np.float32(len(self._profiles))
        if len(names) <= _MEAN_KEPT:
            self._mean_readout.keep(names, total.copy())
        return total

    def _add_readout_similarity(self, total: Matrix, relation: str, names: NDArray) -> None:
        """Add what one relation says; of not too many genes that is kept, for profiles that are made ``like`` these."""
        digest = digest_of(names.tolist()) if len(names) <= _READOUT_KEPT else ""
        if digest and relation in self._readout and self._readout[relation][0] == digest:
            total += self._readout[relation][1]
            return
        rows = self._profiles[relation].short(self.graph.vocab.lookup(names.tolist()))
        said = total
        if digest:
            said = np.zeros_like(total)
            self._readout[relation] = digest, said
        for start in range(0, len(names), _ROWS_AT_ONCE):  # what is above the diagonal; the rest is the same
            part = slice(start, start + _ROWS_AT_ONCE)
            block = (rows[part] @ rows[start:].T).toarray()
            said[part, start:] += block
            said[start + _ROWS_AT_ONCE :, part] += block[:, _ROWS_AT_ONCE:].T
        if digest:
            total += said

    def support(self, perturbations: Sequence[str] | NDArray, measured: Sequence[str] | NDArray) -> Matrix:
        """(perturbations,) number of measured perturbations that share an edge or a specific term with each."""
        targets, known = self.targets(perturbations), self.targets(measured)
        shared = targets @ self._neighbours @ known.T
        for profile in self._profiles.values():
            if isinstance(profile, _Annotation):
                shared = shared + (targets @ profile.specific) @ (known @ profile.specific).T
        return np.diff(sp.csr_matrix(shared).indptr).astype(np.float32)


class _LastTables(Generic[T]):
    """The last few tables, by the names of their rows."""

    def __init__(self) -> None:
        self._kept: list[tuple[NDArray, dict[str, int], T]] = []

    def find(self, names: NDArray) -> tuple[T, NDArray[np.int64] | None] | tuple[None, None]:
        """A table of these names, or one of more and where they are in it."""
        larger = None
        for kept, place, table in reversed(self._kept):
            if np.array_equal(kept, names):
                return table, None
            if larger is None and all(name in place for name in names):
                larger = table, np.array([place[name] for name in names], dtype=np.int64)
        return larger or (None, None)

    def keep(self, names: NDArray, table: T) -> None:
        """Keep a table; the oldest goes when there are too many."""
        self._kept = [*self._kept, (names, {name: row for row, name in enumerate(names)}, table)][-_TABLES_KEPT:]


def _unit_rows(rows: Matrix | sp.csr_matrix) -> Matrix | sp.csr_matrix:
    if sp.issparse(rows):
        return unit_rows(sp.csr_matrix(rows))
    dense = np.asarray(rows)
    norm = np.sqrt(np.einsum("ij,ij->i", dense, dense))[:, None]
    return np.divide(dense, norm, out=np.zeros_like(dense), where=norm > 0)


def similarities(
    left: Sequence[Matrix | sp.csr_matrix], right: Sequence[Matrix | sp.csr_matrix] | None = None
) -> Matrix:
    """(relations, left, right) cosine similarity per relation, >= 0; without a right side of the left with itself."""
    blocks = []
    for a, b in zip(left, left if right is None else right, strict=True):
        if sp.issparse(a):
            blocks.append(sp.csr_matrix(a @ b.T).toarray())
        elif right is None:
            blocks.append(_gram(np.asarray(a)))
        else:
            blocks.append((torch.from_numpy(np.asarray(a)) @ torch.from_numpy(np.asarray(b)).T).numpy())
    return np.maximum(np.stack(blocks), 0).astype(np.float32)


def _gram(rows: Matrix) -> Matrix:
    """``rows @ rows.T`` at half the work."""
    if not rows.size:  # a relation without edges; BLAS would complain on stdout
        return np.zeros((len(rows), len(rows)), dtype=np.float32)
    upper = ssyrk(1.0, rows.T, trans=True)
    return np.triu(upper) + np.triu(upper, 1).T


def graph_profiles(graph: GeneGraph, config: ProfileConfig) -> GraphProfiles:
    """The profiles of a graph; made once per content of the graph and kept for the last two graphs."""
    # Frozen configurations hash by their values; pydantic adds that where type checkers do not look.
    return _by_digest(GraphByDigest(graph), config)  # type: ignore[arg-type]


@lru_cache(maxsize=_GRAPHS_KEPT)
def _by_digest(graph: GraphByDigest, config: ProfileConfig) -> GraphProfiles:
    return GraphProfiles(graph.graph, config)
