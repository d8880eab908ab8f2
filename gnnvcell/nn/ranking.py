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
        self._groups: list[tuple[NDArray, NDArray]] = []
        order = np.argsort(group, kind="stable")
        starts = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1]
        for rows in np.split(order, starts[1:]):
            positive, negative = rows[label[rows] > 0.5], rows[label[rows] <= 0.5]
            if len(positive) and len(negative):
                self._groups.append((positive, negative))

    def __len__(self) -> int:
        return len(self._groups)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(pairs,) positive row, (pairs,) negative row, (pairs,) weight."""
        positive, negative, weight = [], [], []
        for high, low in self._groups:
            count = min(max(len(high), len(low)), MAX_PAIRS_PER_GENE)
            positive.append(high[rng.integers(len(high), size=count)])
            negative.append(low[rng.integers(len(low), size=count)])
            effective = len(high) * len(low) / (len(high) + len(low))
            weight.append(np.full(count, effective**0.5 / count, dtype=np.float32))
        above, below, share = (torch.from_numpy(np.concatenate(part)) for part in (positive, negative, weight))
        return above, below, share


def pairwise_logistic(
    above: Float[Tensor, "members pairs"], below: Float[Tensor, "members pairs"], weight: Float[Tensor, " pairs"]
) -> Float[Tensor, ""]:
    """Weighted mean over pairs of ``log(1 + exp(below - above))``, summed over members."""
    return (F.softplus(below - above) * weight).sum() / weight.sum()
