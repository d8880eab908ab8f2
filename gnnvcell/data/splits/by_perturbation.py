"""Split by perturbation: a held-out perturbation is unseen in every cell type of every data set."""

from collections.abc import Mapping, Sequence

from gnnvcell.data.splits.conditions import CELLS, EFFECT, Conditions
from gnnvcell.data.splits.draws import (
    DEFAULT_FRACTIONS,
    TEST,
    Fractions,
    check_fractions,
    draw,
    numbers_of,
    quantile_strata,
)
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import ConfigError, DataError, did_you_mean

STRATIFY = {"effect": EFFECT, "cells": CELLS}


def by_perturbation(
    conditions: Conditions,
    *,
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    stratify: str | None = None,
    bins: int = 5,
    test: Sequence[str] | int | None = None,
    combinations: str = "refuse",
) -> Split:
    """Hold out perturbations by a keyed hash of their names (see ``draws``), in exact numbers.

    Args:
        conditions: to split.
        fractions: of train, val and test among perturbations; 0 asks for no such part.
        seed: of the hash.
        stratify: "effect" (mean size of a perturbation's effect) or "cells" (number of its cells): each quantile bin is
            split by the fractions.
        bins: number of quantile bins.
        test: the test perturbations by name, or their number; the others are divided into train and val in the
            proportion of their fractions.
        combinations: what to do with perturbations of several genes: "refuse", or "own": treat them as perturbations of
            their own, whose genes may be known.

    Raises:
        ConfigError: bad fractions, or unknown words.
        DataError: a part that is asked for would be empty, a named test perturbation is not in the data, values to
            stratify by are unknown, or there are combinations and they are to be refused.
    """
    _check_combinations(conditions, combinations)
    names = conditions.perturbations.tolist()
    train, val, held_out = check_fractions(fractions)
    fixed = conditions.resolve(test) if isinstance(test, Sequence) else []
    free = [name for name in names if name not in set(fixed)]
    if test is None:
        number_val, number_test = numbers_of(len(names), (train, val, held_out))
    else:
        number_test = test if isinstance(test, int) else 0
        number_val = _rest(len(free) - number_test, train, val)
    parts = draw(strata_of(conditions, free, stratify, bins), number_val, number_test, seed)
    parts |= dict.fromkeys(fixed, TEST)
    return Split(
        conditions,
        [parts[name] for name in conditions.names.tolist()],
        strategy="combinations" if combinations == "own" else "perturbation",
        seed=seed,
        reasons=["named for test" if name in set(fixed) else "" for name in conditions.names.tolist()],
        settings={
            "fractions": [train, val, held_out],
            "stratify": stratify,
            "bins": bins if stratify else None,
            "test": sorted(fixed) if fixed else test,
        },
    )


def strata_of(conditions: Conditions, names: Sequence[str], stratify: str | None, bins: int) -> dict[str, int]:
    """Name to its quantile bin; one bin for all when nothing is said to stratify by.

    Raises:
        ConfigError: unknown word.
        DataError: the values are unknown for some perturbation.
    """
    if stratify is None:
        return dict.fromkeys(names, 0)
    if stratify not in STRATIFY:
        raise ConfigError(f"cannot stratify by {stratify!r}", remedy=did_you_mean(stratify, STRATIFY))
    values: Mapping[str, float] = conditions.by_perturbation(STRATIFY[stratify])
    return quantile_strata({name: values[name] for name in names}, bins)


def _rest(total: int, train: float, val: float) -> int:
    """Validation's number among ``total`` that are not test."""
    if total < 1:
        raise DataError("no perturbation is left to train on", remedy="name fewer for test")
    if train + val <= 0:
        raise ConfigError("train and val are both 0", remedy="give them fractions above 0")
    shares: Fractions = (train / (train + val), val / (train + val), 0.0)
    return numbers_of(total, shares, "perturbations that are not test")[0]


def _check_combinations(conditions: Conditions, combinations: str) -> None:
    if combinations not in ("refuse", "own"):
        raise ConfigError(f"unknown way with combinations {combinations!r}", expected="refuse or own")
    several = [name for name in conditions.perturbations.tolist() if len(conditions.targets(name)) > 1]
    if several and combinations == "refuse":
        raise DataError(
            f"{len(several)} perturbations have several genes",
            expected="one gene each: a held-out gene would be known from a combination in train",
            found=", ".join(several[:3]),
            remedy="use the strategy doubles, or combinations 'own' to treat each as a perturbation of its own",
        )
