"""Effects as a Gaussian process over the edges of a gene graph: what was measured, passed on to what was not."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.models._context import ExpressionInContext
from gnnvcell.models._edge_variances import Matrix, VarianceConfig, Variances, learn_variances, mean_products
from gnnvcell.models._profiles import GraphProfiles
from gnnvcell.models.evidence import Evidence
from gnnvcell.perturbation import Perturbation

AMPLITUDES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)  # of the sum of parts, to choose from
SLOPES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # of how much the expression of a target says, to choose from
PRIOR_COUNT = 3.0  # of the scale of all genes, in each one's
_GENES_AT_ONCE, _PAIRS_AT_ONCE = 1024, 4096
_TOLERANCE, _MAX_STEPS = 1e-5, 60  # of conjugate gradients


def parts_of(name: str) -> list[Perturbation]:
    """The perturbations of one target each that a combination is made of; a control is its own only part."""
    whole = Perturbation.parse(name)
    return [replace(whole, targets=(target,)) for target in whole.targets] or [whole]


@dataclass(frozen=True, eq=False)
class Parts:
    """Perturbations of one target each, and what the graph says of their targets.

    Args:
        place: each one's row.
        edges: (parts, columns) profiles of the targets over all relations, side by side.
    """

    place: dict[Perturbation, int]
    edges: sp.csr_matrix

    @classmethod
    def of(cls, profiles: GraphProfiles, names: Sequence[str] | NDArray) -> "Parts":
        """The parts of some perturbations."""
        place: dict[Perturbation, int] = {}
        for name in names:
            for one in parts_of(str(name)):
                place.setdefault(one, len(place))
        return cls(place, profiles.side_by_side([str(one) for one in place]))

    @cached_property
    def names(self) -> NDArray:
        """(parts,) names."""
        return np.array([str(one) for one in self.place], dtype=str)


@dataclass(frozen=True)
class Amplitudes:
    """How much of each part's effect a perturbation shows.

    Args:
        of_sums: of the parts of a combination.
        slope: of the expression of a target in the cell type: ``2 / (1 + exp(-slope z))``, z its log expression in
            standard deviations over genes; 1 where it is not known. Learned where there are several cell types.
    """

    of_sums: float = 1.0
    slope: float = 0.0

    def hits(self, parts: Parts, names: Sequence[str] | NDArray, expressed: Matrix, where: NDArray) -> sp.csr_matrix:
        """(names, parts) amplitudes.

        Args:
            parts: those of the names, and others.
            names: perturbations.
            expressed: (contexts, parts) z.
            where: (names,) which context each is in.
        """
        told = [[parts.place[one] for one in parts_of(str(name))] for name in names]
        count = np.array([len(some) for some in told], dtype=np.int64)
        row, column = np.repeat(np.arange(len(told)), count), np.concatenate([*told, []]).astype(np.int64)
        sums = np.where(count == 1, 1.0, self.of_sums)[row]
        value = sums * 2 / (1 + np.exp(-self.slope * expressed[where[row], column]))
        return sp.csr_matrix((value, (row, column)), shape=(len(told), len(parts.place)))


class EffectProcess:
    """Effects of perturbations as a Gaussian process over the edges of a gene graph.

    ``y[p, g] = mu[g] + sum_t h[p, t] f[t, g] + noise``, t the targets of p, h their amplitudes, and
    ``cov(f[t], f[u]) = sum_e w_e phi_t[e] phi_u[e] + near (phi_t . phi_u)^2 + own [t = u]``: targets are alike by the
    terms and network nodes e that both have an edge to, each with a variance w_e of its own, by having several of them
    in common, and by being the same, phi the profiles of ``GraphProfiles``. The variances, that of mu among them, are
    learned (``learn_variances``). The prediction is the posterior mean: ``sum_p k(q, p) a[p, g]``, with ``a = K^-1 y``
    on the measured rows of each gene. The amplitudes are those of largest likelihood.

    Args:
        train: effects.
        profiles: of the graph.
        config: of the variances.
        seed: of the rows that are learned from, where not all are.
    """

    def __init__(self, train: EffectTable, profiles: GraphProfiles, config: VarianceConfig, seed: int) -> None:
        self.train, self.profiles = train, profiles
        self.expression = ExpressionInContext.of(train)
        self.parts = Parts.of(profiles, train.perturbations)
        count = np.diff(self.parts.edges.tocsc().indptr)
        self.columns = np.flatnonzero(count >= 2)  # an edge of one part says nothing of others
        rows = np.arange(train.shape[0])
        if len(rows) > config.rows:
            rows = np.sort(np.random.default_rng(seed).choice(rows, config.rows, replace=False))
        self.amplitudes, self.variances = self._learn(rows, config.steps)
        self._solve()

    def _learn(self, rows: NDArray[np.int64], steps: int) -> tuple[Amplitudes, Variances]:
        train = self.train.take(rows)
        gram = mean_products(train.values.astype(np.float64), train.measured)
        edges, near = sp.csr_matrix(self.parts.edges[:, self.columns]), self._near(self.parts)

        def fitted(amplitudes: Amplitudes, steps: int = 0) -> tuple[Variances, float]:
            hits = self._hits_of(amplitudes, train)
            profile = sp.csr_matrix(hits @ edges).toarray().astype(np.float64)
            return learn_variances(profile, hits @ (hits @ near).T, hits.toarray(), gram, steps)

        best = Amplitudes()
        if any(len(parts_of(str(name))) > 1 for name in train.perturbations):
            best = max((replace(best, of_sums=one) for one in AMPLITUDES), key=lambda tried: fitted(tried)[1])
        if self.expression.width and len(self.train.context_names) > 1:
            best = max((replace(best, slope=one) for one in SLOPES), key=lambda tried: fitted(tried)[1])
        return best, fitted(best, steps)[0]

    def _solve(self) -> None:
        """The messages: what each training perturbation tells others of every gene."""
        train = self.train
        self._known_edges = sp.csr_matrix(self.parts.edges[:, self.columns])
        self._largest = self._known_edges.max(axis=0).toarray()[0]
        self._hits = self._hits_of(self.amplitudes, train)
        self._weighted = self._weighted_edges(self.parts)
        kernel = self.covariance(self.parts, self._hits)
        kernel[np.diag_indices(len(kernel))] += self.variances.noise
        factor = cho_factor(kernel, lower=True)
        self._inverse = cho_solve(factor, np.eye(len(kernel)))
        self.messages = _solved(kernel, factor, train.values, train.measured)
        self._scale = _scales(train, self.messages)
        self.mean = (self.variances.mean * self.messages.sum(axis=0)).astype(np.float32)

    def _edges(self, parts: Parts) -> sp.csr_matrix:
        """(parts, columns) edges, none larger than the largest of a part that was learned from."""
        if parts is self.parts:
            return self._known_edges
        edges = sp.csr_matrix(parts.edges[:, self.columns])
        edges.data = np.minimum(edges.data, self._largest[edges.indices])
        return edges

    def _weighted_edges(self, parts: Parts) -> sp.csr_matrix:
        return sp.csr_matrix(self._edges(parts) @ sp.diags(self.variances.edge))

    def _near(self, parts: Parts) -> Matrix:
        """(parts, training parts) squared cosines of the profiles: the product of every two edges that both have."""
        return np.square(sp.csr_matrix(parts.edges @ self.parts.edges.T).toarray().astype(np.float64))

    def covariance(self, parts: Parts, hits: sp.csr_matrix) -> Matrix:
        """(names, train) covariances of perturbations with those of training, without noise.

        Args:
            parts: of the names.
            hits: (names, parts) amplitudes.
        """
        alike = sp.csr_matrix(self._edges(parts) @ self._weighted.T).toarray().astype(np.float64)
        alike += self.variances.near * self._near(parts)
        for one, row in parts.place.items():
            if one in self.parts.place:
                alike[row, self.parts.place[one]] += self.variances.own
        return self.variances.mean + hits @ (self._hits @ alike.T).T

    def heard(self, names: NDArray, context: Context) -> Matrix:
        """(names, train) covariances of perturbations in a cell type with those of training."""
        parts = Parts.of(self.profiles, names)
        return self.covariance(parts, self._hits_in(parts, names, context))

    def predict(self, names: NDArray, context: Context) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(names, genes) effects, and the standard deviation of what would be measured instead."""
        parts = Parts.of(self.profiles, names)
        hits = self._hits_in(parts, names, context)
        heard = self.covariance(parts, hits)
        known = np.einsum("pq,pq->p", heard @ self._inverse, heard)
        left = self._variance(parts, hits) + self.variances.noise - known
        spread = np.sqrt(np.maximum(left, self.variances.noise))[:, None] * self._scale
        return (heard @ self.messages).astype(np.float32), spread.astype(np.float32)

    def _variance(self, parts: Parts, hits: sp.csr_matrix) -> Matrix:
        """(names,) variances of perturbations, without noise: of all pairs of their parts."""
        edges, weighted = self._edges(parts), self._weighted_edges(parts)
        count = np.diff(hits.indptr)
        found = np.full(len(count), self.variances.mean)
        for first, second in product(range(count.max(initial=0)), repeat=2):
            rows = np.flatnonzero(count > max(first, second))
            left, right = hits.indptr[rows] + first, hits.indptr[rows] + second
            one, other = hits.indices[left], hits.indices[right]
            alike = _row_products(edges, weighted, one, other)
            alike += self.variances.near * _row_products(parts.edges, parts.edges, one, other) ** 2
            alike += self.variances.own * (first == second)
            found[rows] += hits.data[left] * hits.data[right] * alike
        return found

    def evidence(self, perturbation: str, column: int, context: Context) -> Evidence:
        """The messages that a prediction is the sum of, beside the mean."""
        heard = self.heard(np.array([perturbation]), context)[0] - self.variances.mean
        share = np.abs(heard) / max(np.abs(heard).sum(), np.finfo(np.float64).tiny)
        mean = float(self.mean[column])
        outcome = np.where(self.train.measured[:, column], self.train.values[:, column] - mean, 0)
        return Evidence.of(self.train.perturbations, share, outcome, heard * self.messages[:, column], mean)

    def with_profiles(self, profiles: GraphProfiles) -> "EffectProcess":
        """The same variances and amplitudes on another graph of the same nodes and relations."""
        other = copy(self)
        other.profiles, other.parts = profiles, Parts.of(profiles, self.train.perturbations)
        other._solve()
        return other

    def _hits_in(self, parts: Parts, names: NDArray, context: Context) -> sp.csr_matrix:
        """(names, parts) amplitudes in one cell type."""
        here = np.zeros(len(names), dtype=np.int64)
        return self.amplitudes.hits(parts, names, self._expressed(parts, [context]), here)

    def _hits_of(self, amplitudes: Amplitudes, train: EffectTable) -> sp.csr_matrix:
        """(rows, parts) amplitudes of rows of the training table."""
        names, where = np.unique(train.contexts, return_inverse=True)
        expressed = self._expressed(self.parts, [train.context_of(str(name)) for name in names])
        return amplitudes.hits(self.parts, train.perturbations, expressed, where)

    def _expressed(self, parts: Parts, contexts: Sequence[Context]) -> Matrix:
        """(contexts, parts) log expression of the targets in standard deviations over genes; 0 where not known."""
        told = [self.expression.parts(parts.names, context)[1].numpy() for context in contexts]
        return np.stack([one[:, 0] if one.shape[1] else np.zeros(len(one)) for one in told]).astype(np.float64)


def _solved(kernel: Matrix, factor: tuple[Matrix, bool], values: NDArray, measured: NDArray[np.bool_]) -> Matrix:
    """(rows, genes) ``K^-1 y`` of each gene on its measured rows, 0 elsewhere.

    Conjugate gradients, preconditioned by the inverse of all rows, by its factor: one step where all were measured.
    """
    found = np.zeros(values.shape)
    for start in range(0, values.shape[1], _GENES_AT_ONCE):
        part = slice(start, start + _GENES_AT_ONCE)
        known = measured[:, part]
        left = np.where(known, values[:, part], 0).astype(np.float64)
        solution, enough = np.zeros_like(left), _TOLERANCE**2 * np.square(left).sum(axis=0)
        step = scaled = known * cho_solve(factor, left)
        energy = np.einsum("ij,ij->j", left, scaled)
        for _ in range(_MAX_STEPS):
            if (np.square(left).sum(axis=0) <= enough).all():
                break
            product = known * (kernel @ step)
            length = _divided(energy, np.einsum("ij,ij->j", step, product))
            solution += length * step
            left = left - length * product
            scaled = known * cho_solve(factor, left)
            before, energy = energy, np.einsum("ij,ij->j", left, scaled)
            step = scaled + _divided(energy, before) * step
        found[:, part] = solution
    return found


def _scales(train: EffectTable, messages: Matrix) -> Matrix:
    """(genes,) standard deviation of a gene, in units of the process: that of largest likelihood, ``y K^-1 y / n``,
    drawn towards that of all genes.
    """
    count = train.measured.sum(axis=0)
    total = np.einsum("pg,pg->g", np.where(train.measured, train.values, 0).astype(np.float64), messages)
    overall = total.sum() / max(int(count.sum()), 1)
    return np.sqrt((total + PRIOR_COUNT * overall) / (count + PRIOR_COUNT))


def _row_products(left: sp.csr_matrix, right: sp.csr_matrix, one: NDArray, other: NDArray) -> Matrix:
    """(pairs,) products of a row of the left with one of the right."""
    found = np.zeros(len(one))
    for start in range(0, len(one), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        found[part] = np.asarray(left[one[part]].multiply(right[other[part]]).sum(axis=1)).ravel()
    return found


def _divided(left: Matrix, right: Matrix) -> Matrix:
    return np.divide(left, right, out=np.zeros_like(left), where=right > np.finfo(np.float64).tiny)
