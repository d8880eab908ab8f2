"""How the propagation model learns: mixtures of relations first, then the readout of the channels they make."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gnnvcell.models._outcomes import Outcomes
from gnnvcell.nn.outcome_readout import OutcomeReadout
from gnnvcell.nn.ranking import GenePairs, pairwise_logistic
from gnnvcell.nn.relation_mixture import RelationMixture
from gnnvcell.ops import Adjacency, aggregate

MAX_REGRESSION_PAIRS = 100_000  # pairs of a "delta" table that one epoch looks at
_NO_EVIDENCE = 1e-6  # what the floor of a mixture leaves of unrelated perturbations; less would overflow gradients
_START_SCALE = 4.0  # of the scores that the mixtures are trained with


@dataclass(frozen=True, eq=False)
class Pairs:
    """Measured pairs of hidden perturbations.

    Args:
        row: (pairs,) int64 position of the perturbation among the hidden ones.
        gene: (pairs,) int64.
        effect: (pairs,) float32, the label, or the residual for kind "delta".
        group: (pairs,) int64, gene x fold: pairs that are ranked against each other.
    """

    row: Tensor
    gene: Tensor
    effect: Tensor
    group: Tensor

    @classmethod
    def hidden(cls, values: NDArray, measured: NDArray, kind: str, gene_mean: Tensor, fold: int) -> "Pairs":
        """The measured pairs of the rows of one fold."""
        row, gene = (torch.from_numpy(part) for part in np.nonzero(measured))
        effect = torch.from_numpy(values[measured])
        if kind == "delta":
            effect = effect - gene_mean[gene]
        return cls(row, gene, effect, gene + fold * values.shape[1])

    @classmethod
    def joined(cls, parts: "list[Pairs]") -> "Pairs":
        """All of them; rows keep their position within their fold."""
        return cls(*(torch.cat([getattr(p, f) for p in parts]) for f in ("row", "gene", "effect", "group")))


class Objective:
    """Loss of scores of some pairs: pairwise ranking for labels, squared error for effects."""

    def __init__(self, pairs: Pairs, kind: str) -> None:
        self.kind, self.pairs = kind, pairs
        self.spread = float(pairs.effect.std()) or 1.0
        self.drawn = GenePairs(pairs.group.numpy(), pairs.effect.numpy()) if kind != "delta" else None

    @property
    def usable(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.pairs.effect) > 0 and (self.drawn is None or len(self.drawn) > 0)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Rows (and weights) of one epoch, in random order."""
        if self.drawn is None:
            count = min(len(self.pairs.effect), MAX_REGRESSION_PAIRS)
            return (torch.from_numpy(rng.permutation(len(self.pairs.effect))[:count]),)
        sample = self.drawn.draw(rng)
        order = torch.from_numpy(rng.permutation(len(sample[0])))
        return tuple(part[order] for part in sample)

    def loss(self, score_of, batch: tuple[Tensor, ...]) -> Tensor:
        """``score_of(rows) -> (members, rows)``."""
        if self.drawn is None:
            (rows,) = batch
            score = score_of(rows)
            return F.mse_loss(score, (self.pairs.effect[rows] / self.spread).expand_as(score))
        above, below, weight = batch
        return pairwise_logistic(score_of(above), score_of(below), weight)


def learn_mixture(
    mixture: RelationMixture,
    similarity: Tensor,
    folds: NDArray[np.int64],
    outcomes: list[Outcomes],
    hidden: list[Pairs],
    *,
    kind: str,
    epochs: int,
    lr: float,
    rng: np.random.Generator,
) -> None:
    """Fit relation weights and exponents so that the other folds' outcomes rank the hidden fold's.

    Args:
        mixture: changed in place.
        similarity: (relations, train, train), zero diagonal.
        folds: (train,) fold of each perturbation.
        outcomes: per fold those of the other folds' perturbations.
        hidden: per fold its measured pairs.
        kind: of the effects.
        epochs, lr: of Adam with a one-cycle schedule; one step is one fold.
        rng: draws pairs and the order of folds.
    """
    scale = nn.Parameter(torch.tensor(_START_SCALE).log())
    halfway = nn.Parameter(torch.zeros(len(mixture.logits)))
    objectives = [Objective(pairs, kind) for pairs in hidden]
    usable = [k for k, objective in enumerate(objectives) if objective.usable]
    if not usable or epochs == 0:
        return
    optimiser = torch.optim.Adam([*mixture.parameters(), scale, halfway], lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=epochs * len(usable), pct_start=0.2)
    graphs = [_outcome_graph(outcome) for outcome in outcomes]
    blocks = [similarity[:, folds == k][:, :, folds != k] for k in range(len(hidden))]
    for _ in range(epochs):
        for k in rng.permutation(usable):
            adjacency, residual = graphs[k]
            scores = _own_gene_scores(mixture(blocks[k]), adjacency, residual, hidden[k], halfway) * scale.exp()
            loss = objectives[k].loss(lambda rows, s=scores: s[None, rows], objectives[k].draw(rng))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _outcome_graph(outcomes: Outcomes) -> tuple[Adjacency, Tensor]:
    """Edges perturbation -> measured gene, and the residual on each."""
    row, gene = outcomes.measured.nonzero(as_tuple=True)
    count, genes = outcomes.measured.shape
    return Adjacency(row, gene, count, genes), outcomes.residual[row, gene]


def _own_gene_scores(kernels: Tensor, adjacency: Adjacency, residual: Tensor, pairs: Pairs, halfway: Tensor) -> Tensor:
    """(pairs,) mean over heads of the shrunken average of the gene's own outcomes."""
    total = residual.new_zeros(len(pairs.row))
    for kernel, log_halfway in zip(kernels, halfway, strict=True):
        feat = kernel.T.contiguous()
        value = aggregate(adjacency, feat, residual)[pairs.gene, pairs.row]
        evidence = aggregate(adjacency, feat)[pairs.gene, pairs.row]
        total = total + value / (evidence + log_halfway.exp() * _typical(evidence.detach()))
    return total / len(kernels)


def _typical(evidence: Tensor) -> Tensor:
    """Median evidence; where most pairs have none, that of the others; 1 where there is none at all."""
    median = evidence.median()
    if median > _NO_EVIDENCE:
        return median
    present = evidence[evidence > _NO_EVIDENCE]
    return present.median() if len(present) else evidence.new_ones(())


def learn_readout(
    readout: OutcomeReadout,
    channels: Tensor,
    features: Tensor,
    pairs: Pairs,
    *,
    kind: str,
    epochs: int,
    lr: float,
    weight_decay: float,
    batch_pairs: int,
    rng: np.random.Generator,
) -> float:
    """Fit the readout on channels that were made without the pairs' own perturbations.

    Args:
        readout: changed in place.
        channels: (pairs, channels), standardised.
        features: (pairs, features) of each pair's gene.
        pairs: what was measured.
        kind, epochs, lr, weight_decay, batch_pairs: AdamW with a one-cycle schedule.
        rng: draws pairs.

    Returns:
        Unit of the score: 1 for labels, the standard deviation of residuals for effects.
    """
    objective = Objective(pairs, kind)
    if kind == "delta":
        _start_at_least_squares(readout, channels, pairs.effect / objective.spread)
    if not objective.usable or epochs == 0:
        return objective.spread if kind == "delta" else 1.0
    decayed = [readout.first, readout.first_bias, readout.last]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": [readout.scale], "weight_decay": 0.0}], lr
    )
    per_epoch = -(-len(objective.draw(rng)[0]) // batch_pairs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=epochs * per_epoch, pct_start=0.1)
    readout.train()
    for _ in range(epochs):
        for batch in zip(*(part.split(batch_pairs) for part in objective.draw(rng)), strict=True):
            loss = objective.loss(lambda rows: readout(channels[rows], features[rows]), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    readout.eval()
    return objective.spread if kind == "delta" else 1.0


def _start_at_least_squares(readout: OutcomeReadout, channels: Tensor, effect: Tensor) -> None:
    base = channels[:, readout.base].mean(dim=1)
    slope = (base @ effect) / (base @ base).clamp_min(torch.finfo(torch.float32).tiny)
    with torch.no_grad():
        readout.scale.fill_(float(slope))
