"""How the propagation model learns: the readout of its channels, and the gate that says how much of it to believe."""

from collections.abc import Callable
from dataclasses import dataclass

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
SHORTEST_CYCLE = 20  # steps of the schedule, of which the first tenth warms up


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

    def unit(self, kind: str) -> float:
        """What a score of 1 stands for: 1 for labels, the standard deviation of residuals for effects."""
        return float(self.effect.std()) or 1.0 if kind == "delta" else 1.0

    def take(self, which: Tensor) -> "Pairs":
        """Some of them, by a mask or by positions."""
        return Pairs(self.row[which], self.gene[which], self.effect[which], self.group[which])

    @classmethod
    def joined(cls, parts: "list[Pairs]") -> "Pairs":
        """All of them; rows keep their position within their fold."""
        return cls(*(torch.cat([getattr(p, f) for p in parts]) for f in ("row", "gene", "effect", "group")))


class Objective:
    """Loss of scores of some pairs: pairwise ranking for labels, squared error for effects.

    Args:
        pairs: all that there are.
        kind: of the effects.
        which: (chosen,) positions of those that count.
    """

    def __init__(self, pairs: Pairs, kind: str, which: Tensor) -> None:
        self.which, self.effect = which, pairs.effect / pairs.unit(kind)
        chosen = pairs.take(which)
        self.drawn = GenePairs(chosen.group.numpy(), chosen.effect.numpy()) if kind != "delta" else None

    @property
    def usable(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.which) > 0 and (self.drawn is None or len(self.drawn) > 0)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Positions (and weights) of one epoch, in random order."""
        if self.drawn is None:
            return (self.which[torch.from_numpy(rng.permutation(len(self.which))[:MAX_REGRESSION_PAIRS])],)
        above, below, weight = self.drawn.draw(rng)
        order = torch.from_numpy(rng.permutation(len(weight)))
        return self.which[above[order]], self.which[below[order]], weight[order]

    def loss(self, score_of: Callable[[Tensor], Tensor], batch: tuple[Tensor, ...]) -> Tensor:
        """``score_of(positions) -> (members, positions)``."""
        if self.drawn is None:
            (rows,) = batch
            score = score_of(rows)
            return F.mse_loss(score, self.effect[rows].expand_as(score))
        above, below, weight = batch
        high, low = score_of(torch.cat([above, below])).split(len(above), dim=1)
        return pairwise_logistic(high, low, weight)


class ReadoutConfig(Config):
    """How the readouts of channels are trained, one for each fold: AdamW with a one-cycle schedule.

    Args:
        hidden: width of each.
        epochs, lr, weight_decay, batch_pairs: of the training.
    """

    hidden: int = Field(default=32, ge=1)
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
        kind: of the labels.
    """

    channels: Tensor
    features: Tensor
    pairs: Pairs
    fold: Tensor
    base: Tensor
    kind: str


def learn_gated_readout(hidden: HiddenChannels, config: ReadoutConfig, rng: np.random.Generator) -> OutcomeReadout:
    """A readout for each fold, trained on the others, as members of one, and the gate at which each does best on its
    own.
    """
    linear, change = torch.zeros(len(hidden.fold)), torch.zeros(len(hidden.fold))
    readouts, own_folds = [], []
    for fold in hidden.fold.unique():
        others, own = (hidden.fold != fold).nonzero()[:, 0], (hidden.fold == fold).nonzero()[:, 0]
        readout = learn_readout(hidden, others, config, rng)
        with torch.no_grad():
            linear[own], change[own] = (part[0] for part in readout.parts(hidden.channels[own], hidden.features[own]))
        readouts.append(readout)
        own_folds.append(Objective(hidden.pairs, hidden.kind, own))
    joined = OutcomeReadout.joined(readouts)
    best = [_best_gate(linear, change, objective, rng) for objective in own_folds if objective.usable]
    joined.gate.fill_(float(np.mean(best)) if best else 0.0)
    return joined


def _best_gate(linear: Tensor, change: Tensor, objective: Objective, rng: np.random.Generator) -> float:
    """The gate that ranks most pairs of a gene rightly; of equals the smallest."""
    above, below, weight = objective.draw(rng)
    shares = []
    for gate in GATES:
        score = linear + gate * change
        distance = score[above] - score[below]
        shares.append(float(((distance > 0).float() + 0.5 * (distance == 0).float()) @ weight))
    return GATES[int(np.argmax(shares))]


def learn_readout(
    hidden: HiddenChannels, which: Tensor, config: ReadoutConfig, rng: np.random.Generator
) -> OutcomeReadout:
    """Fit a readout on some pairs, whose channels were made without their own perturbations."""
    channels, features = hidden.channels, hidden.features
    readout = OutcomeReadout(channels.shape[1], features.shape[1], base=hidden.base, hidden=config.hidden)
    objective = Objective(hidden.pairs, hidden.kind, which)
    readout.eval()
    if not objective.usable or config.epochs == 0:
        return readout
    decayed = [readout.first, readout.first_bias, readout.last]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": [readout.scale], "weight_decay": 0.0}],
        config.lr,
    )
    per_epoch = -(-len(objective.draw(rng)[0]) // config.batch_pairs)
    steps = max(config.epochs * per_epoch, SHORTEST_CYCLE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=steps, pct_start=0.1)
    readout.train()
    for _ in range(config.epochs):
        for batch in zip(*(part.split(config.batch_pairs) for part in objective.draw(rng)), strict=True):
            loss = objective.loss(lambda rows: readout(channels[rows], features[rows]), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    readout.eval()
    return readout
