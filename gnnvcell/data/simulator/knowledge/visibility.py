"""How much of the truth reaches a database: study bias, genes that nobody studied, and made-up facts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring


@dataclass(frozen=True, eq=False)
class Visibility:
    """Study bias of a world.

    Args:
        isolated: (genes,) bool: known by name alone.
        attention: (genes,) float64 > 0: popularity to the power of the hub bias; 1 for all where there is no bias.
    """

    isolated: NDArray[np.bool_]
    attention: NDArray[np.float64]

    def seen(self, missed: float, *genes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """(facts,) whether each fact is known: missed with probability ``missed`` to the power of the attention.

        Args:
            missed: share missed at attention 1.
            genes: one or more (facts,) arrays of the genes a fact is about; one isolated gene hides it.
            rng: the caller's stream.
        """
        attention = np.exp(np.mean([np.log(self.attention[g]) for g in genes], axis=0))
        hidden = np.any([self.isolated[g] for g in genes], axis=0)
        return (rng.random(len(attention)) >= missed**attention) & ~hidden

    def random_genes(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(count,) genes for made-up facts, by attention, never isolated ones."""
        weight = np.where(self.isolated, 0.0, self.attention)
        return rng.choice(len(weight), size=count, p=weight / weight.sum())


def make_visibility(config: SimulatorConfig, wiring: Wiring) -> Visibility:
    """Draw which genes nobody knows about."""
    rng = stream(config.seed, "visibility")
    isolated = np.zeros(config.genes, dtype=bool)
    isolated[rng.permutation(config.genes)[: round(config.knowledge.isolated * config.genes)]] = True
    return Visibility(isolated, wiring.popularity**config.knowledge.hub_bias)
