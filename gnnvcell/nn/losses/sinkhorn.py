"""The debiased Sinkhorn divergence between sets of cells."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnnvcell.errors import ConfigError
from gnnvcell.nn.losses.distances import CentredSet, between, full_precision, safe_reciprocal, slope_of, within
from gnnvcell.nn.losses.gradients import attach, wanted
from gnnvcell.nn.losses.sets import GeneWeights, SetPair, paired
from gnnvcell.ops.eager import eager

# Exponent that counts as none: smaller results would be denormal numbers, which take a CPU ten times as long.
LOWEST = -80.0


@eager
def sinkhorn_divergence(
    predicted: Float[Tensor, "batch cells d"],
    observed: Float[Tensor, "batch others d"],
    *,
    blur: float = 0.05,
    p: int = 2,
    scaling: float = 0.5,
    predicted_mask: Bool[Tensor, "batch cells"] | None = None,
    observed_mask: Bool[Tensor, "batch others"] | None = None,
    gene_weights: GeneWeights | None = None,
) -> Float[Tensor, " batch"]:
    """``OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2`` of entropic transport, as ``geomloss.SamplesLoss("sinkhorn")``.

    OT is the cost of the best transport plan for ``C = |x - y|^p / p``, blurred by an entropy of temperature
    ``epsilon = blur^p``. Potentials are found in the log domain by symmetric steps, one at each temperature from the
    diameter of the sets down to the blur; the plans of the last step give the gradient (envelope theorem), through no
    earlier step. Everything is held per set, so that a set's number does not depend on its batch.

    Args:
        predicted: predicted cells.
        observed: observed cells.
        blur: in units of distance; costs far above ``blur^p`` leave the plan sharp and the potentials rough.
        p: 1 or 2.
        scaling: ratio of a step's blur to that of the step before, between 0 and 1; near 1 is slower and more exact.
        predicted_mask: True where a predicted cell is real; all are when left out.
        observed_mask: the same of observed cells.
        gene_weights: 0 or more, of genes, for all sets or for each.

    Shapes: result (batch,).

    Raises:
        ConfigError: blur, p or scaling out of range.
        ModelError: shapes that do not go together.
        DataError: a set without cells, or a weight below 0.

    Source: Feydy et al. 2019, "Interpolating between optimal transport and MMD using Sinkhorn divergences"; Feydy 2020,
    thesis, algorithm 3.5.

    Example:
        >>> sinkhorn_divergence(torch.zeros(1, 2, 1), torch.full((1, 3, 1), 4.0))  # 4^2 / 2
        tensor([8.])
    """
    if not blur > 0 or p not in (1, 2) or not 0 < scaling < 1:
        raise ConfigError(
            "the settings of the Sinkhorn divergence cannot be used",
            expected="blur above 0, p 1 or 2, scaling between 0 and 1",
            found=f"blur {blur:g}, p {p}, scaling {scaling:g}",
        )
    pair = paired(
        predicted, observed, predicted_mask=predicted_mask, observed_mask=observed_mask, gene_weights=gene_weights
    )
    x, y, x_share, y_share = pair
    need_x, need_y = wanted(x), wanted(y)
    with torch.no_grad(), full_precision(x.device):
        left, right = CentredSet.of(x, x_share), CentredSet.of(y, y_share)
        xx, xy, yy = within(left), between(left, right), within(right)
        problem = _Problem.of(xx, xy, yy, x_share, y_share, p)
        last = problem.annealed(_diameter(pair).clamp_min(blur), blur, p, scaling)
        epsilon = x.new_full((len(x), 1), blur**p)
        found = problem.step(last, epsilon)
        x_slope = y_slope = None
        if need_x:
            to_x, to_y = problem.plans_of_x(last, epsilon)
            x_slope = slope_of(left, right, _pull(to_x, xx, x_share, p).neg_(), _pull(to_y, xy, x_share, p))
        if need_y:
            to_y, to_x = problem.plans_of_y(last, epsilon)
            y_slope = slope_of(right, left, _pull(to_y, yy, y_share, p).neg_(), _pull(to_x, xy.mT, y_share, p))
        value = (x_share * (found.f_xy - found.f_xx)).sum(dim=1) + (y_share * (found.g_yx - found.g_yy)).sum(dim=1)
    return attach(value, x, y, x_slope, y_slope)


class _Potentials(NamedTuple):
    """Dual potentials: on x against x, on x against y, on y against x, on y against y."""

    f_xx: Tensor
    f_xy: Tensor
    g_yx: Tensor
    g_yy: Tensor


class _Problem(NamedTuple):
    """Costs between cells, and logarithms of their shares."""

    xx: Tensor
    xy: Tensor
    yx: Tensor
    yy: Tensor
    x_log: Tensor
    y_log: Tensor

    @classmethod
    def of(cls, xx: Tensor, xy: Tensor, yy: Tensor, x_share: Tensor, y_share: Tensor, p: int) -> "_Problem":
        xx, xy, yy = (distance if p == 1 else distance.square().div_(2) for distance in (xx, xy, yy))
        return cls(xx, xy, xy.mT.contiguous(), yy, x_share.log(), y_share.log())

    def step(self, at: _Potentials, epsilon: Tensor) -> _Potentials:
        """The best potentials on each side given those on the other side; epsilon is (batch, 1)."""
        return _Potentials(
            _soft_minimum(self.xx, self.x_log + at.f_xx / epsilon, epsilon),
            _soft_minimum(self.xy, self.y_log + at.g_yx / epsilon, epsilon),
            _soft_minimum(self.yx, self.x_log + at.f_xy / epsilon, epsilon),
            _soft_minimum(self.yy, self.y_log + at.g_yy / epsilon, epsilon),
        )

    def annealed(self, start: Tensor, blur: float, p: int, scaling: float) -> _Potentials:
        """Potentials after one symmetric step at every temperature from ``start`` (batch,), twice there, to the blur.

        A set whose temperatures are used up waits for the others of its batch.
        """
        count = (start / blur).log().div(-math.log(scaling)).ceil().nan_to_num(nan=0, posinf=0)
        none = [torch.zeros_like(log) for log in (self.x_log, self.x_log, self.y_log, self.y_log)]
        at = self.step(_Potentials(*none), start[:, None] ** p)
        for turn in range(int(count.max()) + 2):
            epsilon = (start * scaling ** max(turn - 1, 0)).clamp_min(blur) ** p
            active = (count + 1 >= turn)[:, None]
            new = self.step(at, epsilon[:, None])
            at = _Potentials(*(torch.where(active, (a + b) / 2, a) for a, b in zip(at, new, strict=True)))
        return at

    def plans_of_x(self, at: _Potentials, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """Where each x goes: shares (batch, cells, cells) among x and (batch, cells, others) among y."""
        return (
            _plan(self.xx, self.x_log + at.f_xx / epsilon, epsilon),
            _plan(self.xy, self.y_log + at.g_yx / epsilon, epsilon),
        )

    def plans_of_y(self, at: _Potentials, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """Where each y goes: among y, and among x."""
        return (
            _plan(self.yy, self.y_log + at.g_yy / epsilon, epsilon),
            _plan(self.yx, self.x_log + at.f_xy / epsilon, epsilon),
        )


def _soft_minimum(cost: Tensor, log_weight: Tensor, epsilon: Tensor) -> Tensor:
    """``-epsilon log sum_j exp(log_weight_j - cost_ij / epsilon)``."""
    powers, highest = _powers(cost, log_weight, epsilon)
    return -epsilon * (powers.sum(dim=2).log_() + highest)


def _plan(cost: Tensor, log_weight: Tensor, epsilon: Tensor) -> Tensor:
    """Softmax of the same scores: (batch, cells, others), rows that sum to 1."""
    powers, _ = _powers(cost, log_weight, epsilon)
    return powers.div_(powers.sum(dim=2, keepdim=True))


def _powers(cost: Tensor, log_weight: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Exponentials of scores over the highest of their row, and the highest (batch, cells)."""
    scores = torch.addcdiv(log_weight[:, None, :], cost, epsilon[:, :, None], value=-1)
    highest = scores.amax(dim=2, keepdim=True)
    return scores.sub_(highest).clamp_min_(LOWEST).exp_(), highest[:, :, 0]


def _pull(plan: Tensor, distance: Tensor, share: Tensor, p: int) -> Tensor:
    """What multiplies the differences of cells in the gradient of the cost of a plan, in place."""
    plan.mul_(share[:, :, None])
    return plan if p == 2 else plan.mul_(safe_reciprocal(distance))


def _diameter(pair: SetPair) -> Tensor:
    """(batch,) diagonal of the box around both sets, which no distance exceeds."""
    lows, highs = [], []
    for cells, share in ((pair.predicted, pair.predicted_share), (pair.observed, pair.observed_share)):
        real = share[..., None] > 0
        lows.append(torch.where(real, cells, torch.inf).amin(dim=1))
        highs.append(torch.where(real, cells, -torch.inf).amax(dim=1))
    return (torch.maximum(*highs) - torch.minimum(*lows)).norm(dim=1)
