"""What one relation of a gene graph says about a gene, as unit vectors whose inner product is similarity."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg.blas import ssyrk  # pyright: ignore[reportAttributeAccessIssue]  (compiled)

from gnnvcell.config import Config
from gnnvcell.models._last_tables import LastTables
from gnnvcell.models.relations import specific_terms, tfidf_rows, unit_rows
from gnnvcell.ops import Adjacency
from gnnvcell.ops.diffusion import personalised_pagerank, transition_weights

Matrix = NDArray[np.float32]
Rows = Matrix | sp.csr_matrix
_SEEDS_AT_ONCE, _MANY_SEEDS = 256, 32
_ROWS_AT_ONCE = 512
_TABLES_KEPT = 4  # whose similarities are kept: a benchmark fits several models and seeds on each before the next graph
_BETWEEN_KEPT = 2**21  # similarities of others that are kept: 8 MB
_READOUT_KEPT, _READOUTS_KEPT = 2500, 2  # readout genes whose similarities are kept, 25 MB, and of how many tables


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


@dataclass(frozen=True, eq=False)
class Alike:
    """How like each other one relation says that some perturbations are.

    Args:
        similarity: (perturbations, perturbations) cosines.
        rows: their profiles, or those of more perturbations; dense ones, most of the memory, in half precision.
        position: (perturbations,) where they are among those; None: they are those.
        others: similarities of the last few others to those.
    """

    similarity: Matrix
    rows: NDArray[np.float16] | sp.csr_matrix
    position: NDArray[np.int64] | None = None
    others: LastTables[Matrix] = field(default_factory=lambda: LastTables[Matrix](_TABLES_KEPT))

    def cut(self, position: NDArray[np.int64]) -> "Alike":
        """That of some of them."""
        outer = position if self.position is None else self.position[position]
        return Alike(self.similarity[position[:, None], position], self.rows, outer, self.others)


class RelationProfiles(ABC):
    """Profiles of the genes in one relation, and the similarities they give, which are kept for the last few tables.

    ``targets`` is a function without arguments that makes the (perturbations, genes) target matrix.
    """

    def __init__(self) -> None:
        self._among = LastTables[Alike](_TABLES_KEPT)
        self._readouts = LastTables[Matrix](_READOUTS_KEPT)

    @abstractmethod
    def rows(self, genes: NDArray[np.int64]) -> Rows:
        """(genes, features) profiles of unit norm; zero for -1 and for genes that are not in the relation."""

    @abstractmethod
    def short(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, features) profiles with their largest entries only, of unit norm."""

    @abstractmethod
    def everywhere(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, nodes of the graph) ``short`` with a column for every node that an edge could lead to."""

    def of_targets(self, targets: sp.csr_matrix) -> Rows:
        """(perturbations, features) unit profiles: the mean over targets, normalised again."""
        genes = np.unique(targets.indices).astype(np.int64)
        return _unit_rows(targets[:, genes] @ self.rows(genes))

    def among(self, names: NDArray, targets: Callable[[], sp.csr_matrix]) -> Alike:
        """How like each other perturbations are; not to be changed."""
        kept, position = self._among.find(names)
        if kept is None:
            rows = self.of_targets(targets())
            made = Alike(cosines(rows), rows.astype(np.float16) if isinstance(rows, np.ndarray) else rows)
        elif position is None:
            return kept
        else:
            made = kept.cut(position)
        self._among.keep(names, made)
        return made

    def between(self, names: NDArray, targets: Callable[[], sp.csr_matrix], known: Alike) -> Matrix:
        """(perturbations, known) similarity to known perturbations; not to be changed."""
        found, position = known.others.find(names)
        if found is None:
            rows = known.rows.astype(np.float32) if isinstance(known.rows, np.ndarray) else known.rows
            found = cosines(self.of_targets(targets()), rows)
            if found.size <= _BETWEEN_KEPT:
                known.others.keep(names, found)
        elif position is not None:
            found = found[position]
        return found if known.position is None else found[:, known.position]

    def add_readout_similarity(self, total: Matrix, names: NDArray, genes: NDArray[np.int64]) -> None:
        """Add the cosines of readout genes; of not too many genes they are kept.

        Args:
            total: (genes, genes) what is added to.
            names: (genes,).
            genes: (genes,) where they are in the graph, -1 for those that are not.
        """
        kept, position = self._readouts.find(names)
        if kept is not None:
            total += kept if position is None else kept[position[:, None], position]
            return
        rows = self.short(genes)
        said = np.zeros_like(total) if len(names) <= _READOUT_KEPT else total
        for start in range(0, len(names), _ROWS_AT_ONCE):  # what is above the diagonal; the rest is the same
            part = slice(start, start + _ROWS_AT_ONCE)
            block = (rows[part] @ rows[start:].T).toarray()
            said[part, start:] += block
            said[start + _ROWS_AT_ONCE :, part] += block[:, _ROWS_AT_ONCE:].T
        if said is not total:
            total += said
            self._readouts.keep(names, said)


class Diffusion(RelationProfiles):
    """Square root of personalised PageRank over a gene-gene relation, read in both directions, unit norm.

    ``f_i[v] = sqrt(pi_i[v] / strength[v]^hub_exponent)``, then divided by its Euclidean norm; a gene without an edge in
    the relation has the zero profile. Signs of edges are not used.
    """

    def __init__(self, links_both_ways: sp.csr_matrix, config: ProfileConfig) -> None:
        super().__init__()
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

    def _spread(self, genes: NDArray[np.int64]) -> torch.Tensor:
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

    def rows(self, genes: NDArray[np.int64]) -> Matrix:
        """(genes, nodes) profiles; zero for -1 and for genes without an edge."""
        for block in self._missing(genes, self._dense):
            rows = self._spread(block).to(torch.float16).numpy()
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
            top, column = self._spread(block).topk(keep, dim=1)
            top = top / top.norm(dim=1, keepdim=True)
            for gene, c, v in zip(block.tolist(), column.to(torch.int32).numpy(), top.numpy(), strict=True):
                self._short[gene] = (c, v)
        found = [(i, *self._short[g]) for i, g in enumerate(genes.tolist()) if g in self._short]
        row = np.repeat([i for i, _, _ in found], keep)
        column = np.concatenate([c for _, c, _ in found]) if found else np.zeros(0, np.int32)
        value = np.concatenate([v for _, _, v in found]) if found else np.zeros(0, np.float32)
        return sp.csr_matrix((value, (row, column)), shape=(len(genes), len(self.nodes)), dtype=np.float32)


    def everywhere(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, genes of the graph) the same with a column for every gene of the graph."""
        found = self.short(genes)
        found.eliminate_zeros()
        return sp.csr_matrix((found.data, self.nodes[found.indices], found.indptr), shape=(len(genes), len(self.local)))


class Annotation(RelationProfiles):
    """Tf-idf of a gene-term relation (``tfidf_rows``) over terms of 2 to ``max_term_genes`` genes.

    The annotations should be closed under ancestors, as this library's sources give them.
    """

    def __init__(self, incidence: sp.csr_matrix, config: ProfileConfig) -> None:
        super().__init__()
        genes_of = np.diff(incidence.tocsc().indptr)
        self.terms = np.flatnonzero(genes_of >= 2)
        self.matrix = tfidf_rows(incidence[:, self.terms], max_term_genes=config.max_term_genes)
        self.all_terms = len(genes_of)
        self.specific = specific_terms(incidence)

    def rows(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, terms) profiles; zero for -1 and for genes without a term."""
        present = sp.diags((genes >= 0).astype(np.float32))
        return (present @ self.matrix[np.maximum(genes, 0)]).tocsr()

    def short(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """The same: they are short as they are."""
        return self.rows(genes)

    def everywhere(self, genes: NDArray[np.int64]) -> sp.csr_matrix:
        """(genes, terms of the graph) the same with a column for every term of the graph."""
        found = self.rows(genes)
        return sp.csr_matrix((found.data, self.terms[found.indices], found.indptr), shape=(len(genes), self.all_terms))


def cosines(left: Rows, right: Rows | None = None) -> Matrix:
    """(left, right) cosine similarity of unit profiles, >= 0; without a right side of the left with itself."""
    if sp.issparse(left):
        found = sp.csr_matrix(left @ (left if right is None else right).T).toarray()
    elif right is None:
        found = _gram(np.asarray(left))
    else:
        found = (torch.from_numpy(np.asarray(left)) @ torch.from_numpy(np.asarray(right)).T).numpy()
    return np.maximum(found, 0).astype(np.float32, copy=False)


def _unit_rows(rows: Rows) -> Rows:
    if sp.issparse(rows):
        return unit_rows(sp.csr_matrix(rows))
    dense = np.asarray(rows)
    norm = np.sqrt(np.einsum("ij,ij->i", dense, dense))[:, None]
    return np.divide(dense, norm, out=np.zeros_like(dense), where=norm > 0)


def _gram(rows: Matrix) -> Matrix:
    """``rows @ rows.T`` at half the work."""
    if not rows.size:  # a relation without edges; BLAS would complain on stdout
        return np.zeros((len(rows), len(rows)), dtype=np.float32)
    upper = ssyrk(1.0, rows.T, trans=True)
    return np.triu(upper) + np.triu(upper, 1).T
