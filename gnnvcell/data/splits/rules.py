"""What each strategy promises, and so what its leak check refuses."""

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean

UNKNOWN_STRATEGY = "given"


class LeakRules(Config):
    """What may be on both sides of a split.

    Args:
        other_cell_types: a perturbation held out in one cell type or data set may be in train in another one.
        genes: a gene that is held out alone may be part of a combination in train.
    """

    other_cell_types: bool = False
    genes: bool = False


# A split that was written by hand promises what the strictest one does until its strategy is said.
STRATEGIES = {
    "perturbation": LeakRules(),
    "combinations": LeakRules(genes=True),
    "doubles": LeakRules(),
    "complexes": LeakRules(),
    "cell-type": LeakRules(other_cell_types=True, genes=True),
    "few-shot": LeakRules(other_cell_types=True, genes=True),
    UNKNOWN_STRATEGY: LeakRules(),
}


def rules_of(strategy: str) -> LeakRules:
    """The rules of a strategy.

    Raises:
        ConfigError: there is none of that name.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"unknown strategy {strategy!r}", remedy=did_you_mean(strategy, STRATEGIES))
    return STRATEGIES[strategy]
