"""Evidence: the training outcomes that a prediction was made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ModelError, did_you_mean


@dataclass(frozen=True, eq=False)
class Evidence:
    """Training perturbations behind the prediction of one gene, the largest contribution first.

    Args:
        perturbations: (n,) names.
        weight: (n,) how much the model listened to each.
        outcome: (n,) what was measured under each, less the gene's mean.
        contribution: (n,) what each brought to the prediction, in the unit of the effect.
        baseline: what is predicted without any of them.
        additive: whether baseline and contributions add up to the prediction.
    """

    perturbations: NDArray
    weight: NDArray[np.float32]
    outcome: NDArray[np.float32]
    contribution: NDArray[np.float32]
    baseline: float
    additive: bool

    @classmethod
    def of(
        cls,
        perturbations: NDArray,
        weight: NDArray,
        outcome: NDArray,
        contribution: NDArray,
        baseline: float,
        *,
        additive: bool = True,
    ) -> "Evidence":
        """Of all training perturbations those that were listened to, in order."""
        heard = np.flatnonzero(weight != 0)
        order = heard[np.argsort(-np.abs(contribution[heard]), kind="stable")]
        weight, outcome, contribution = (part[order].astype(np.float32) for part in (weight, outcome, contribution))
        return cls(perturbations[order], weight, outcome, contribution, baseline, additive)


def column_of(gene: str, genes: NDArray) -> int:
    """The column of a readout gene.

    Raises:
        ModelError: the model does not predict it.
    """
    found = np.flatnonzero(genes == gene)
    if not len(found):
        raise ModelError(f"the model does not predict the gene {gene!r}", remedy=did_you_mean(gene, genes.tolist()))
    return int(found[0])
