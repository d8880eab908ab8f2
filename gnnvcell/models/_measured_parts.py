"""What was measured, here or in another context, and combinations as sums of their parts."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.data.effects import EffectTable
from gnnvcell.models._solved_messages import RIDGE, SolvedMessages
from gnnvcell.perturbation import Perturbation

LARGEST_AMPLITUDE = 2.0  # few combinations of weak parts could say anything


def parts_of(name: str) -> list[Perturbation]:
    """The perturbations of one target each that a combination is made of; a control is its own only part."""
    whole = Perturbation.parse(name)
    return [replace(whole, targets=(target,)) for target in whole.targets] or [whole]


@dataclass(frozen=True, eq=False)
class MeasuredParts:
    """Training perturbations of one target as they were measured, less part of the noise.

    What training perturbation p does beyond the mean effect mu is the mean of the Gaussian process of
    ``SolvedMessages`` there: what p itself says, and those that are like it, ``sum_q (K + .1 I)[p, q] m[q]`` with m the
    messages of q. In a context where p was not measured it is the same without p's own .1, which no other context
    shares. Of a combination these are added, and mu, which also holds what all measured effects share, such as the
    noise of their controls, counts once.

    Args:
        rows: (context, perturbation of one target) to the row of the training table.
        anywhere: perturbation of one target to one of its rows, which K takes for equal.
        kernel: (train, train) K + .1 I.
        messages: (train, genes) own and graph messages together.
        amplitude: of sums: least squares over the training combinations whose parts were measured alone, between 0 and
            ``LARGEST_AMPLITUDE``; 1 without any.
    """

    rows: dict[tuple[str, Perturbation], int]
    anywhere: dict[Perturbation, int]
    kernel: Tensor
    messages: Tensor
    amplitude: float

    @classmethod
    @torch.no_grad()
    def of(
        cls, train: EffectTable, kernel: Float[Tensor, "train train"], solved: SolvedMessages, prior: Tensor
    ) -> "MeasuredParts":
        """Of a table of effects with the mean ``prior``, with the kernel that was solved with."""
        parts, contexts = [parts_of(str(name)) for name in train.perturbations], [str(name) for name in train.contexts]
        rows = {(contexts[row], one[0]): row for row, one in enumerate(parts) if len(one) == 1}
        anywhere = {one: row for (_, one), row in rows.items()}
        found = cls(rows, anywhere, kernel.clone().fill_diagonal_(1 + RIDGE), solved.own + solved.graph, 1.0)
        sums = [
            row
            for row, several in enumerate(parts)
            if len(several) > 1 and all((contexts[row], one) in rows for one in several)
        ]
        if not sums:
            return found
        measured = train.measured[sums]
        alone = [torch.stack([found.beyond_mean(contexts[row], one) for one in parts[row]]) for row in sums]
        expected = torch.stack([effects.sum(dim=0) for effects in alone]).numpy()[measured]
        squares = max(float(expected @ expected), float(np.finfo(np.float32).tiny))
        beyond = (train.values[sums] - prior.numpy())[measured]
        amplitude = min(max(float(expected @ beyond) / squares, 0.0), LARGEST_AMPLITUDE)
        return replace(found, amplitude=amplitude)

    def beyond_mean(self, context: str, one: Perturbation) -> Float[Tensor, " genes"]:
        """What one target does beyond the mean effect."""
        return self.heard(context, one) @ self.messages

    def heard(self, context: str, one: Perturbation) -> Float[Tensor, " train"]:
        """How much a measured target listens to each training perturbation, itself among them."""
        if (context, one) in self.rows:
            return self.kernel[self.rows[context, one]]
        row = self.anywhere[one]
        kernel = self.kernel[row].clone()
        kernel[row] = 1
        return kernel

    def contributions(self, context: str, one: Perturbation, column: int) -> Float[Tensor, " train"]:
        """What each training perturbation brings to the effect of a measured target on one gene."""
        return self.heard(context, one) * self.messages[:, column]
