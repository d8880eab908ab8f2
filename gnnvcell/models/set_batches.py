"""SetBatches: batches of cell sets with all that a network reads beside the cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnvcell import keys
from gnnvcell.data.cell_sets import CellSets
from gnnvcell.data.cell_sets.loader import SetLoader
from gnnvcell.models.effect_prior import EffectPrior
from gnnvcell.nn.perturbation_batch import PerturbationBatch


@dataclass(frozen=True, eq=False)
class SetFacts:
    """What is known of the perturbations, contexts and batches of a data set of sets.

    Args:
        conditions: of its perturbations, in their order.
        batch: (batches,) position of each of its batches among those the model knows, -1 where it is none of them.
        field: (contexts, perturbations, genes + 1) effects by a model that did not see them, and its evidence
            (``PriorEffects.field``); None where nobody reads them.
        weights: (contexts, perturbations, genes) weights of genes in the loss; None for none.
        embeddings: (cells, d) embeddings of its cells; None outside of embedding space.
        log_totals: (cells,) log total count of its cells; None where nobody reads them.
        control_means: (contexts, batches, genes) means of matching controls; None where nobody reads them.
    """

    conditions: PerturbationBatch
    batch: Tensor
    field: Tensor | None = None
    weights: Tensor | None = None
    embeddings: Tensor | None = None
    log_totals: Tensor | None = None
    control_means: Tensor | None = None

    @classmethod
    def of(
        cls,
        sets: CellSets,
        *,
        conditions: PerturbationBatch,
        batches: Sequence[str],
        prior: EffectPrior | None = None,
        weights: Tensor | None = None,
        embeddings: Tensor | None = None,
        log_totals: Tensor | None = None,
        control_means: Tensor | None = None,
    ) -> "SetFacts":
        """Look everything up once."""
        place = {name: at for at, name in enumerate(batches)}
        batch = torch.tensor([place.get(str(name), -1) for name in sets.batches])
        field = None
        if prior is not None:
            parts = [prior.effects(sets.perturbations, str(context)).field for context in sets.contexts]
            field = torch.from_numpy(np.stack(parts))
        return cls(conditions, batch, field, weights, embeddings, log_totals, control_means)


class SetBatches:
    """A loader of sets (``SetLoader``) whose batches have the form that ``loss`` of networks over sets takes.

    Args:
        loader: of the sets.
        facts: what is known of them.
    """

    def __init__(self, loader: SetLoader, facts: SetFacts) -> None:
        self.loader, self.facts = loader, facts

    def __len__(self) -> int:
        """Batches of a pass."""
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.bound, self.loader)

    def batch(self, number: int) -> dict[str, Any]:
        """The batch of a number, numbers going on over epochs."""
        return self.bound(self.loader.batch(number))

    def batches_of(self, epochs: int, processes: int) -> int:
        """See ``SetLoader``."""
        return self.loader.batches_of(epochs, processes)

    def bound(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """A batch of sets, with what ``SetFacts`` knows in place of codes."""
        facts, code, context = self.facts, batch[keys.PERTURBATION], batch[keys.CONTEXT]
        out: dict[str, Any] = {
            keys.PERTURBED_CELLS: batch[keys.PERTURBED_CELLS],
            keys.CONTROL_CELLS: batch[keys.CONTROL_CELLS],
            keys.CELL_MASK: batch[keys.CELL_MASK],
            keys.CONDITIONS: facts.conditions.take(code),
            keys.BATCH: facts.batch[batch[keys.BATCH]],
        }
        if facts.field is not None:
            out[keys.FIELD] = facts.field[context, code]
        if facts.weights is not None:
            out[keys.GENE_WEIGHTS] = facts.weights[context, code]
        if facts.embeddings is not None:
            out[keys.PERTURBED_EMBEDDING] = facts.embeddings[batch[keys.CELL_ROWS]]
            out[keys.CONTROL_EMBEDDING] = facts.embeddings[batch[keys.CONTROL_ROWS]]
        if facts.log_totals is not None:
            out[keys.PERTURBED_LOG_TOTAL] = facts.log_totals[batch[keys.CELL_ROWS]]
            out[keys.CONTROL_LOG_TOTAL] = facts.log_totals[batch[keys.CONTROL_ROWS]]
        if facts.control_means is not None:
            out[keys.CONTROL_MEAN] = facts.control_means[context, batch[keys.BATCH]]
        return out
