"""The screen's design: which genes are knocked down, how well, and which knock-downs are held out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring

_REGULATORS_FAVOURED = 4.0  # screens choose genes that are expected to do something
_RESIDUAL_SPREAD = 0.4  # of the log residual expression
_RESIDUAL_RANGE = (0.02, 0.8)


@dataclass(frozen=True, eq=False)
class KnockDowns:
    """The knock-downs of a screen.

    Args:
        targets: (knock-downs,) int64 gene indices, ascending.
        residual: (knock-downs,) float64 expression left of the target, as a share of the control.
        null: (knock-downs,) bool: the target regulates nothing.
        split: (knock-downs,) "train" or "test".
    """

    targets: NDArray[np.int64]
    residual: NDArray[np.float64]
    null: NDArray[np.bool_]
    split: NDArray


def choose_knockdowns(config: SimulatorConfig, wiring: Wiring) -> KnockDowns:
    """Draw the design; hubs and complex members are chosen more often than other genes."""
    rng = stream(config.seed, "knock-downs")
    weight = np.where(wiring.hub | (wiring.complex >= 0), _REGULATORS_FAVOURED, 1.0)
    targets = np.sort(rng.choice(config.genes, size=config.targets, replace=False, p=weight / weight.sum()))
    residual = config.residual * np.exp(rng.normal(0, _RESIDUAL_SPREAD, config.targets))
    null = np.zeros(config.targets, dtype=bool)
    null[rng.permutation(config.targets)[: round(config.null_targets * config.targets)]] = True
    test = rng.permutation(config.targets)[: round(config.test_share * config.targets)]
    split = np.full(config.targets, "train")
    split[test] = "test"
    return KnockDowns(targets, np.clip(residual, *_RESIDUAL_RANGE), null, split)
