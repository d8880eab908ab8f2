"""The graph-consistency loss: genes that are near in the graph get near representations."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, EmptyGraphError, GraphIntegrityError, did_you_mean
from gnnvcell.nn.losses.edge_pairs import EdgePairs

Edges = tuple[Tensor, Tensor, Tensor | None]


class GraphConsistencyConfig(Config):
    """Settings.

    Args:
        kind: infonce, margin or bce.
        positives: edges drawn per relation and step.
        negatives: pairs that are no edges, for each of them.
        temperature: that cosines are divided by; of infonce and bce.
        margin: by how much the cosine of an edge should exceed that of a pair that is none; of margin.
        relation_weights: of relations by name; 1 where left out, and 0 leaves a relation out.
        weight: of the whole loss.
        schedule: constant; linear_warmup, from 0 to ``weight`` over ``steps``; cosine_decay, from ``weight`` to
            ``floor`` times it over ``steps``.
        steps: length of the schedule; needed unless it is constant.
        floor: share of the weight that is left after cosine_decay.
    """

    kind: Literal["infonce", "margin", "bce"] = "infonce"
    positives: int = Field(default=1024, ge=1)
    negatives: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.1, gt=0)
    margin: float = Field(default=0.5, gt=0, le=2)
    relation_weights: dict[str, float] = Field(default_factory=dict)
    weight: float = Field(default=1.0, ge=0)
    schedule: Literal["constant", "linear_warmup", "cosine_decay"] = "constant"
    steps: int | None = Field(default=None, ge=1)
    floor: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _usable(self) -> "GraphConsistencyConfig":
        if self.schedule != "constant" and self.steps is None:
            raise ConfigError(f"the schedule {self.schedule!r} has no length", remedy="set steps")
        low = {name: weight for name, weight in self.relation_weights.items() if not weight >= 0}
        if low:
            raise ConfigError("weights of relations are below 0", expected="0 or more", found=str(low))
        return self

    def weight_at(self, step: int) -> float:
        """Weight of the loss at a step, which counts from 0."""
        done = 1.0 if self.steps is None else min(step / self.steps, 1.0)
        if self.schedule == "linear_warmup":
            return self.weight * done
        if self.schedule == "cosine_decay":
            return self.weight * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2)
        return self.weight


class Consistency(NamedTuple):
    """What the loss says.

    Args:
        loss: () scheduled weight times the weighted mean over relations; to be added to a model's loss.
        by_relation: relation to its own (), unweighted and without gradient; for logs.
    """

    loss: Tensor
    by_relation: dict[str, Tensor]


class GraphConsistency:
    """For each relation: cosines of edges against those of pairs that are no edges but have the same degrees.

    With cosine s of an edge (u, v) and cosines n_k of the pairs (u, v_k), the loss of a relation is the mean over drawn
    edges of

    - infonce: ``-log(e^(s/t) / (e^(s/t) + sum_k e^(n_k/t)))``,
    - margin: ``mean_k max(0, margin - s + n_k)``,
    - bce: ``log(1 + e^(-s/t)) + mean_k log(1 + e^(n_k/t))``.

    Edges are drawn in proportion to weight, and v_k as ``EdgePairs`` says; both anew on every call.

    Args:
        graph: a DGL heterograph, or a mapping of relation to (sources, targets, weights or None). Of a heterograph the
            relations from ``node_type`` to itself are used, by their "weight"; reverse relations (``rev_``) are not,
            for they have the same pairs. Memberships say nothing here until they are made gene-gene relations.
        config: settings.
        node_type: whose representations are given.

    Raises:
        ConfigError: weights of relations that the graph does not have.
        EmptyGraphError: no relation between genes, or one without edges.
        GraphIntegrityError: weights that are not above 0.

    Source: van den Oord et al. 2018 (InfoNCE); Mikolov et al. 2013 (negatives by degree).

    Example:
        >>> edges = {"string": (torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 3, 2]), None)}
        >>> loss = GraphConsistency(edges, GraphConsistencyConfig(kind="margin"))
        >>> near = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> loss(near, generator=torch.Generator().manual_seed(0)).loss
        tensor(0.)
    """

    def __init__(
        self,
        graph: Any,
        config: GraphConsistencyConfig | None = None,
        *,
        node_type: str = keys.GENE,
    ) -> None:
        self.config = config or GraphConsistencyConfig()
        relations: dict[str, Edges] = dict(graph) if isinstance(graph, Mapping) else _relations(graph, node_type)
        for name in self.config.relation_weights:
            if name not in relations:
                raise ConfigError(
                    f"the graph has no relation {name!r} between nodes of one type",
                    remedy=did_you_mean(name, relations),
                )
        self.weights = {name: self.config.relation_weights.get(name, 1.0) for name in relations}
        self.pairs = {name: EdgePairs(name, *relations[name]) for name, weight in self.weights.items() if weight}
        if not self.pairs:
            raise EmptyGraphError(
                "there is no relation for the consistency loss",
                expected=f"edges between nodes of the type {node_type!r} whose relation weight is above 0",
            )

    def __call__(
        self, representations: Float[Tensor, "genes d"], *, generator: torch.Generator, step: int = 0
    ) -> Consistency:
        """The loss of representations, which may be on any device.

        Args:
            representations: of all nodes, in the order of the graph's.
            generator: of the draws, on the CPU.
            step: of the schedule, counted from 0.

        Raises:
            GraphIntegrityError: fewer representations than nodes, or a relation of which every drawn pair is an edge.
        """
        by_relation = {name: self._of(pairs, representations, generator) for name, pairs in self.pairs.items()}
        total = torch.stack([self.weights[name] * value for name, value in by_relation.items()]).sum()
        mean = total / sum(self.weights[name] for name in by_relation)
        return Consistency(
            self.config.weight_at(step) * mean, {name: value.detach() for name, value in by_relation.items()}
        )

    def _of(self, pairs: EdgePairs, representations: Tensor, generator: torch.Generator) -> Tensor:
        if len(representations) < pairs.nodes:
            raise GraphIntegrityError(
                f"the relation {pairs.name!r} has nodes without representation",
                expected=f"{pairs.nodes} or more",
                found=f"{len(representations)}",
            )
        drawn = pairs.draw(self.config.positives, self.config.negatives, generator)
        kept = drawn[3].any(dim=1)
        if not bool(kept.any()):
            raise GraphIntegrityError(
                f"every pair of the relation {pairs.name!r} that was drawn is an edge",
                remedy="leave this relation out by a relation weight of 0",
            )
        node, neighbour, others, valid = (part[kept].to(representations.device) for part in drawn)
        anchor, near, far = (F.normalize(F.embedding(i, representations), dim=-1) for i in (node, neighbour, others))
        positive, negative = (anchor * near).sum(dim=-1), (anchor[:, None] * far).sum(dim=-1)
        return _KINDS[self.config.kind](positive, negative, valid, self.config).mean()


def _relations(graph: Any, node_type: str) -> dict[str, Edges]:
    """The relations of a node type with itself, each once."""
    found: dict[str, Edges] = {}
    for src, name, dst in graph.canonical_etypes:
        if src == dst == node_type and not name.startswith(keys.REVERSE_PREFIX):
            ends = graph.edges(etype=(src, name, dst))
            found[name] = (*ends, graph.edges[(src, name, dst)].data.get(keys.WEIGHT))
    return found


def _infonce(positive: Tensor, negative: Tensor, valid: Tensor, config: GraphConsistencyConfig) -> Tensor:
    scores = torch.cat([positive[:, None], negative.masked_fill(~valid, -torch.inf)], dim=1) / config.temperature
    return scores.logsumexp(dim=1) - scores[:, 0]


def _margin(positive: Tensor, negative: Tensor, valid: Tensor, config: GraphConsistencyConfig) -> Tensor:
    return _mean_of_valid((config.margin - positive[:, None] + negative).relu(), valid)


def _bce(positive: Tensor, negative: Tensor, valid: Tensor, config: GraphConsistencyConfig) -> Tensor:
    t = config.temperature
    return F.softplus(-positive / t) + _mean_of_valid(F.softplus(negative / t), valid)


def _mean_of_valid(values: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, values, 0).sum(dim=1) / valid.sum(dim=1)


_KINDS: dict[str, Callable[[Tensor, Tensor, Tensor, GraphConsistencyConfig], Tensor]] = {
    "infonce": _infonce,
    "margin": _margin,
    "bce": _bce,
}
