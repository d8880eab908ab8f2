"""Graph-kNN: the average of what was measured in a target's graph neighbours."""

from copy import copy

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.deleting import same_edges
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.evidence import Evidence, column_of
from gnnvcell.models.gene_mean import shrunk_gene_mean, shrunk_gene_variance
from gnnvcell.models.relations import is_gene_gene, links, require_gene_relations, tfidf_rows
from gnnvcell.models.targets import target_matrix


class KnnConfig(Config):
    """Settings of ``Knn``.

    Args:
        k: neighbours among the training perturbations.
        prior_count: pseudo-measurements of the gene's mean in the average, in units of similarity.
        max_term_genes: terms with more genes say too little and are left out.
    """

    k: int = Field(default=50, ge=1)
    prior_count: float = Field(default=1.0, gt=0)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("knn")
class Knn(EffectModel):
    """Average of the training outcomes of a target's k nearest training targets in the graph (one hop).

    ``s[p, q]`` is the mean over relations of the weight of the edge p - q (gene-gene relations) or of the tf-idf cosine
    of the terms of p and q (relations to terms). With N(p) the k training perturbations of largest s, r the training
    effects minus the gene's mean m, and c the ``prior_count``:
    ``y[p, g] = m[g] + sum_q s[p, q] r[q, g] / (sum_q s[p, q] [q, g measured] + c)``.

    The spread is how far the neighbours' own outcomes lie from y, where the prior counts as c outcomes with the gene's
    variance v over all training perturbations:
    ``spread^2 = (sum_q s[p, q] r[q, g]^2 + c v[g]) / (sum_q s[p, q] [q, g measured] + c) - (y[p, g] - m[g])^2``.

    This is the bar for every learned model on the same graph [Ahlmann-Eltze et al., Nat Methods 2025; PEREGGRN].

    Example:
        >>> model = Knn(KnnConfig(k=20))
    """

    config_class = KnnConfig
    config: KnnConfig

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Keep the training outcomes; nothing is learned and the seed is not used."""
        self._mean = shrunk_gene_mean(train, self.config.prior_count)
        residual = np.where(train.measured, train.values - self._mean, 0)
        self._variance = shrunk_gene_variance(residual, train.measured, self.config.prior_count)
        self._residual, self._measured = residual.astype(np.float32), train.measured.astype(np.float32)
        self._genes, self._graph = train.genes, graph
        self._train_targets, self._train_names = target_matrix(graph, train.perturbations), train.perturbations
        self._links = {name: self._of_relation(graph, name) for name in require_gene_relations(graph, "knn")}

    @property
    def graph(self) -> GeneGraph:
        """The gene graph that predictions read."""
        return self._graph

    def with_graph(self, graph: GeneGraph) -> "Knn":
        """The fitted model on another graph of the same nodes: the same outcomes, averaged over its neighbours."""
        other = copy(self)
        other._graph = graph
        other._links = {
            name: self._links[name]
            if name in self._links and same_edges(graph, self._graph, name)
            else self._of_relation(graph, name)
            for name in require_gene_relations(graph, "knn")
        }
        return other

    def evidence(self, perturbation: str, gene: str) -> Evidence:
        """Which training perturbations a prediction is made of: it is the gene's mean plus their contributions.

        Raises:
            ModelError: the gene is no readout gene.
        """
        column = column_of(gene, self._genes)
        near = self._nearest(target_matrix(self._graph, [perturbation])).toarray()[0] * self._measured[:, column]
        weight, outcome = near / (near.sum() + self.config.prior_count), self._residual[:, column]
        return Evidence.of(self._train_names, weight, outcome, weight * outcome, float(self._mean[column]))

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """Average over neighbours; support is the sum of their similarities."""
        near = self._nearest(target_matrix(self._graph, names))
        prior = self.config.prior_count
        evidence = near @ self._measured + prior
        moved = near @ self._residual / evidence
        square = (near @ self._residual**2 + prior * self._variance) / evidence
        spread = np.sqrt(np.maximum(square - moved**2, 0)).astype(np.float32)
        values = (self._mean + moved).astype(np.float32)
        support = np.asarray(near.sum(axis=1)).ravel()
        return Prediction(values, names, self._genes, support.astype(np.float32), spread=spread)

    def _nearest(self, targets: sp.csr_matrix) -> sp.csr_matrix:
        """(perturbations, training perturbations) similarity, the k largest of each row."""
        total = sum(self._similarity(relation, targets) for relation in self._links) / len(self._links)
        return _keep_largest(sp.csr_matrix(total), self.config.k)

    def _similarity(self, relation: str, targets: sp.csr_matrix) -> sp.csr_matrix:
        matrix = self._links[relation]
        if is_gene_gene(self._graph, relation):
            return sp.csr_matrix(targets @ matrix @ self._train_targets.T)
        return sp.csr_matrix((targets @ matrix) @ (self._train_targets @ matrix).T)

    def _of_relation(self, graph: GeneGraph, relation: str) -> sp.csr_matrix:
        """(genes, genes) edges over the largest weight, or (genes, terms) tf-idf."""
        if is_gene_gene(graph, relation):
            weight = links(graph, relation)
            largest = weight.data.max(initial=0)
            return sp.csr_matrix(weight / (largest if largest > 0 else 1))
        return tfidf_rows(graph.adjacency(relation), max_term_genes=self.config.max_term_genes)


def _keep_largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The k largest entries of every row; ties go to the first column."""
    values, starts = np.asarray(matrix.data, dtype=np.float32), np.asarray(matrix.indptr, dtype=np.int64)
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((matrix.indices, -values, rows))
    rank = np.arange(len(order)) - starts[rows]
    kept = order[rank < k]
    return sp.csr_matrix((values[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)
