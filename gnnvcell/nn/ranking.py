"""Ranking losses within genes: what a per-gene AUROC measures, made differentiable."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

MAX_PAIRS_PER_GENE = 20  # drawn per gene, fold and epoch


class GenePairs:
    """Draws (positive, negative) row pairs of the same group.

    A group contributes with weight ``(n+ n- / (n+ + n-))^0.5`` in all, between one vote per gene and one vote per
    label.

    Args:
        group: (rows,) group of each row, such as gene x fold.
        label: (rows,) 1 or 0.
    """

    def __init__(self, group: NDArray[np.int64], label: NDArray[np.float32]) -> None:
        positive = label > 0.5
        order = np.lexsort((~positive, group))  # by group, those with label 1 first
        starts = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1] if len(order) else np.zeros(0, np.int64)
        high = np.add.reduceat(positive[order].astype(np.int64), starts) if len(order) else starts
        low = np.diff(np.r_[starts, len(order)]) - high
        both = (high > 0) & (low > 0)
        self._order, self._start, self._high, self._low = order, starts[both], high[both], low[both]
        count = np.minimum(np.maximum(self._high, self._low), MAX_PAIRS_PER_GENE)
        share = np.sqrt(self._high * self._low / (self._high + self._low)) / count
        self._of_pair = np.repeat(np.arange(len(count)), count)
        self._weight = torch.from_numpy(share[self._of_pair].astype(np.float32))

    def __len__(self) -> int:
        return len(self._start)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(pairs,) positive row, (pairs,) negative row, (pairs,) weight."""
        start, high, low = (part[self._of_pair] for part in (self._start, self._high, self._low))
        above, below = start + rng.integers(high), start + high + rng.integers(low)
        return torch.from_numpy(self._order[above]), torch.from_numpy(self._order[below]), self._weight


def pairwise_logistic(
    above: Float[Tensor, "members pairs"], below: Float[Tensor, "members pairs"], weight: Float[Tensor, " pairs"]
) -> Float[Tensor, ""]:
    """Weighted mean over pairs of ``log(1 + exp(below - above))``, summed over members."""
    return (F.softplus(below - above) * weight).sum() / weight.sum()
