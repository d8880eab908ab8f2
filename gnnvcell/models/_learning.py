"""How the propagation model learns: the readout of its channels, and the gate that says how much of it to believe."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gnnvcell.config import Config
from gnnvcell.nn.outcome_readout import OutcomeReadout
from gnnvcell.nn.ranking import GenePairs, pairwise_logistic

MAX_REGRESSION_PAIRS = 100_000  # pairs of a "delta" table that one epoch looks at
GATES = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
MAX_GATE_PAIRS = 500_000  # hidden pairs that the gate is fitted on; of more, so many are drawn


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

    def take(self, which: Tensor) -> "Pairs":
        """Some of them, by a mask or by positions."""
        return Pairs(self.row[which], self.gene[which], self.effect[which], self.group[which])

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


class ReadoutConfig(Config):
    """How the readout of channels is trained: AdamW with a one-cycle schedule.

    Args:
        hidden, members, dropout: of the readout.
        judged_members: of the readouts that the gate is fitted with, one for each fold.
        epochs, lr, weight_decay, batch_pairs: of the training.
    """

    hidden: int = Field(default=32, ge=1)
    members: int = Field(default=4, ge=1)
    judged_members: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    epochs: int = Field(default=12, ge=0)
    lr: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    batch_pairs: int = Field(default=2048, ge=1)


@dataclass(frozen=True, eq=False)
class HiddenChannels:
    """What was measured of hidden perturbations, and the channels that were made without them.

    Args:
        channels: (pairs, channels), standardised.
        features: (pairs, features) of each pair's gene.
        pairs: what was measured.
        fold: (pairs,) which block of perturbations was hidden.
        base: channels of the linear part.
        kind: of the effects.
    """

    channels: Tensor
    features: Tensor
    pairs: Pairs
    fold: Tensor
    base: Tensor
    kind: str

    def take(self, which: Tensor) -> "HiddenChannels":
        """Some pairs, by a mask or by positions."""
        return replace(
            self,
            channels=self.channels[which],
            features=self.features[which],
            pairs=self.pairs.take(which),
            fold=self.fold[which],
        )


def learn_gated_readout(
    hidden: HiddenChannels, config: ReadoutConfig, rng: np.random.Generator
) -> tuple[OutcomeReadout, float]:
    """A readout trained on all folds, with the gate at which readouts do best on folds that they were not trained on.

    Returns:
        The readout, and the unit of its score: 1 for labels, the standard deviation of residuals for effects.
    """
    readout, unit = learn_readout(hidden, config, rng)
    count = len(hidden.fold)
    some = hidden
    if count > MAX_GATE_PAIRS:
        some = hidden.take(torch.from_numpy(np.sort(rng.choice(count, MAX_GATE_PAIRS, replace=False))))
    for_gate = config.model_copy(update={"members": config.judged_members})
    linear, change = torch.zeros(len(some.fold)), torch.zeros(len(some.fold))
    for fold in some.fold.unique():
        outside = some.fold == fold
        judged, _ = learn_readout(some.take(~outside), for_gate, rng)
        with torch.no_grad():
            parts = judged.parts(some.channels[outside], some.features[outside])
        linear[outside], change[outside] = (part.mean(dim=0) for part in parts)
    readout.gate.fill_(_best_gate(linear, change, Objective(some.pairs, hidden.kind), rng))
    return readout, unit


def _best_gate(linear: Tensor, change: Tensor, objective: "Objective", rng: np.random.Generator) -> float:
    """For labels the gate that ranks most pairs of a gene rightly (of equals the smallest), else least squares."""
    if objective.kind == "delta":
        wanted = objective.pairs.effect / objective.spread - linear
        return float((change @ wanted / (change @ change).clamp_min(torch.finfo(torch.float32).tiny)).clamp(0, 1))
    if not objective.usable:
        return 0.0
    above, below, weight = objective.draw(rng)
    shares = []
    for gate in GATES:
        score = linear + gate * change
        distance = score[above] - score[below]
        shares.append(float(((distance > 0).float() + 0.5 * (distance == 0).float()) @ weight))
    return GATES[int(np.argmax(shares))]


def learn_readout(
    hidden: HiddenChannels, config: ReadoutConfig, rng: np.random.Generator
) -> tuple[OutcomeReadout, float]:
    """Fit a readout on channels that were made without the pairs' own perturbations; returns it and its unit."""
    channels, features, kind = hidden.channels, hidden.features, hidden.kind
    readout = OutcomeReadout(
        channels.shape[1], features.shape[1], base=hidden.base,
        hidden=config.hidden, members=config.members, dropout=config.dropout,
    )  # fmt: skip
    objective = Objective(hidden.pairs, kind)
    unit = objective.spread if kind == "delta" else 1.0
    if kind == "delta":
        _start_at_least_squares(readout, channels, hidden.pairs.effect / objective.spread)
    readout.eval()
    if not objective.usable or config.epochs == 0:
        return readout, unit
    decayed = [readout.first, readout.first_bias, readout.last]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": [readout.scale], "weight_decay": 0.0}],
        config.lr,
    )
    per_epoch = -(-len(objective.draw(rng)[0]) // config.batch_pairs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.lr, total_steps=config.epochs * per_epoch, pct_start=0.1
    )
    readout.train()
    for _ in range(config.epochs):
        for batch in zip(*(part.split(config.batch_pairs) for part in objective.draw(rng)), strict=True):
            loss = objective.loss(lambda rows: readout(channels[rows], features[rows]), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    readout.eval()
    return readout, unit


def _start_at_least_squares(readout: OutcomeReadout, channels: Tensor, effect: Tensor) -> None:
    base = channels[:, readout.base].mean(dim=1)
    slope = (base @ effect) / (base @ base).clamp_min(torch.finfo(torch.float32).tiny)
    with torch.no_grad():
        readout.scale.fill_(float(slope))
