"""Combinations by the rules of their neighbours: what is made of the parts, learned from measured pairs nearby."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines.perturbation_mean import mean_effect
from gnnvcell.models.embedding import spectral_embedding
from gnnvcell.models.knn import Knn, KnnConfig
from gnnvcell.perturbation import Perturbation

POWERS = (1.0, 2.0, 4.0, 8.0, 16.0)
RULES = 2  # features of a combination: the sum of its parts, and the larger part in every gene


class PairRulesConfig(Config):
    """Settings of ``PairRules``.

    Args:
        power: of the similarity of targets; chosen by leaving measured pairs out, one by one, when left out.
        prior: pseudo-pairs that follow the mean rule of all pairs, in units of similarity.
        dim: length of the graph embedding that targets are compared by.
        max_term_genes: larger terms are left out.
    """

    power: float | None = Field(default=None, gt=0)
    prior: float = Field(default=1.0, gt=0)
    dim: int = Field(default=64, ge=1)
    max_term_genes: int = Field(default=1500, ge=2)


@MODELS.register("pair_rules")
class PairRules(EffectModel):
    """A combination is its parts' sum and a mixture of two features, with weights learned from pairs of like targets.

    ``y[A+B] = s + alpha s + beta l`` with s = d[A] + d[B] the sum and l the larger of d[A], d[B] in every gene, d the
    measured effects of singles (of targets not measured alone, that of ``Knn``). ``alpha = beta = 0`` is ``Additive``,
    ``alpha = -1, beta = 1`` gene by gene the ``LargerSingle``; alpha above 0 is synergy. (alpha, beta) solve a ridge
    regression over the measured pairs (C, D), each weighted by ``max(k(A,C) k(B,D), k(A,D) k(B,C))``, drawn towards the
    solution over all pairs. k is 1 for the same target and else the positive cosine of the graph embeddings to a power,
    which is the one of ``POWERS`` that predicts left-out measured pairs best.

    The weights of a pair are those of Norman et al. (Science 2019), who regress doubles on their singles to describe
    them; here they are borrowed from neighbours to predict them. Singles are predicted by ``Knn``, or as measured.
    Support is the least over the targets of the kNN evidence, plus 1 where the target was measured alone.

    Example:
        >>> model = PairRules(PairRulesConfig(power=4.0))
    """

    config_class = PairRulesConfig
    config: PairRulesConfig
    kinds = ("delta",)

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        targets = [Perturbation.parse(str(name)).targets for name in train.perturbations]
        alone = np.array([len(genes) == 1 for genes in targets])
        singles = train.take(alone) if alone.any() else train
        self._genes, self._graph = train.genes, graph
        self._knn = Knn(KnnConfig(max_term_genes=self.config.max_term_genes)).fit(singles, graph, seed=seed)
        rows: dict[str, list[int]] = {}
        for row in np.flatnonzero(alone).tolist():
            rows.setdefault(targets[row][0], []).append(row)
        self._single = {gene: train.take(np.array(found)) for gene, found in rows.items()}
        vectors = spectral_embedding(graph, self.config.dim, max_term_genes=self.config.max_term_genes)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        self._learn(train.take(np.array([len(genes) == 2 for genes in targets])))

    def _learn(self, doubles: EffectTable) -> None:
        """Normal equations of every measured pair, the mean rule, and the power."""
        self._pairs = [tuple(Perturbation.parse(str(name)).targets) for name in doubles.perturbations]
        self._gram, self._moment = np.zeros((len(self._pairs), RULES, RULES)), np.zeros((len(self._pairs), RULES))
        residual, features = self._beyond(doubles)
        for row in range(len(self._pairs)):
            self._gram[row], self._moment[row] = features[row] @ features[row].T, features[row] @ residual[row]
        self._mean_gram = self._gram.mean(axis=0) if len(self._pairs) else np.eye(RULES)
        self._mean_rule = _solved(self._mean_gram, self._moment.mean(axis=0)) if len(self._pairs) else np.zeros(RULES)
        self._power = self.config.power or POWERS[0]
        if self.config.power is None and len(self._pairs) > 1:
            self._power = min(POWERS, key=lambda power: self._left_out_error(power, residual, features))

    def _beyond(self, doubles: EffectTable) -> tuple[NDArray, NDArray]:
        """(pairs, genes) measured less the sum of the parts, and (pairs, features, genes); 0 where not measured."""
        if not len(self._pairs):
            return np.zeros((0, len(self._genes))), np.zeros((0, RULES, len(self._genes)))
        features = np.stack([_features(self._parts(pair)) for pair in self._pairs]) * doubles.measured[:, None]
        residual = np.where(doubles.measured, doubles.values, 0.0) - features[:, 0]
        return residual, features

    def _left_out_error(self, power: float, residual: NDArray, features: NDArray) -> float:
        weight = self._weights(self._pairs, power)
        weight[[[set(a) == set(b) for b in self._pairs] for a in self._pairs]] = 0.0
        rules = self._rules(weight)
        return float(((residual - np.einsum("pf,pfg->pg", rules, features)) ** 2).sum())

    def _rules(self, weight: NDArray) -> NDArray[np.float64]:
        """(queries, features) weights of the features from (queries, measured pairs) similarities."""
        gram = np.einsum("qp,pij->qij", weight, self._gram) + self.config.prior * self._mean_gram
        moment = weight @ self._moment + self.config.prior * self._mean_gram @ self._mean_rule
        return np.stack([_solved(g, m) for g, m in zip(gram, moment, strict=True)]) if len(gram) else moment

    def _weights(self, queries: list[tuple[str, ...]], power: float) -> NDArray[np.float64]:
        """(queries, measured pairs) similarity of pairs of targets."""
        if not self._pairs or not queries:
            return np.zeros((len(queries), len(self._pairs)))
        a, b = ([pair[side] for pair in queries] for side in (0, 1))
        c, d = ([pair[side] for pair in self._pairs] for side in (0, 1))
        straight = self._alike(a, c, power) * self._alike(b, d, power)
        return np.maximum(straight, self._alike(a, d, power) * self._alike(b, c, power))

    def _alike(self, names: list[str], others: list[str], power: float) -> NDArray[np.float64]:
        rows, columns = (self._graph.vocab.lookup(side) for side in (names, others))
        x, y = (self._vectors[at] * (at >= 0)[:, None] for at in (rows, columns))
        same = np.array(names)[:, None] == np.array(others)[None, :]
        return np.where(same, 1.0, np.maximum(x @ y.T, 0.0).astype(np.float64) ** power)

    def _parts(self, targets: tuple[str, ...]) -> NDArray[np.float64]:
        """(targets, genes) effects of each alone, as measured or by its neighbours."""
        parts = self._knn.predict(list(targets)).values.astype(np.float64)
        for row, target in enumerate(targets):
            if target in self._single:
                table = self._single[target]
                parts[row] = np.where(table.measured.any(axis=0), mean_effect(table), parts[row])
        return parts

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        values = np.zeros((len(names), len(self._genes)), dtype=np.float32)
        support = np.zeros(len(names), dtype=np.float32)
        for row, name in enumerate(names):
            targets = tuple(Perturbation.parse(str(name)).targets)
            features = _features(self._parts(targets))
            change = features[0].copy()
            if len(targets) > 1:
                rules = self._rules(self._weights(list(combinations(targets, 2)), self._power))
                change += rules.mean(axis=0) @ features
            known = np.array([target in self._single for target in targets], dtype=np.float32)
            values[row], support[row] = change, (self._knn.predict(list(targets)).support + known).min()
        return Prediction(values, names, self._genes, support)

    @property
    def power(self) -> float:
        """The power of the similarity that was given or chosen."""
        return self._power


def _features(parts: NDArray) -> NDArray[np.float64]:
    """(features, genes) of the effects of a combination's parts: their sum, and the larger one in every gene."""
    largest = np.abs(parts).argmax(axis=0)
    return np.stack([parts.sum(axis=0), parts[largest, np.arange(parts.shape[1])]])


def _solved(gram: NDArray, moment: NDArray) -> NDArray[np.float64]:
    """Least squares, the shortest solution where the features are one."""
    return np.linalg.lstsq(gram + 1e-6 * np.trace(gram) * np.eye(len(gram)), moment, rcond=None)[0]
