"""Seeded draws that move little when perturbations come or go.

Each name has a place in [0, 1) that depends on (seed, name) alone: BLAKE2b of the name, keyed by the seed. Within a
stratum the names are ordered by place; the first ones are test, the next validation, the rest train. How many is exact:
``round(fraction * number)`` over all names, shared out among strata by largest remainder. So a name added or dropped
never changes the order of the others; it only shifts the two cuts, and only names beside a cut can change sides. With
strata by quantile a name may also fall into the next bin, where it keeps its place and meets nearly the same cuts.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from gnnvcell.errors import ConfigError, DataError

TRAIN, VAL, TEST = PARTS = ("train", "val", "test")
Fractions = tuple[float, float, float]
DEFAULT_FRACTIONS: Fractions = (0.64, 0.16, 0.20)


def place(name: str, seed: int) -> float:
    """The name's place in [0, 1) for this seed, the same on every machine."""
    digest = hashlib.blake2b(name.encode(), key=f"gnnvcell split {seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def in_order(names: Sequence[str], seed: int) -> list[str]:
    """The names by their place."""
    return sorted(names, key=lambda name: (place(name, seed), name))


def check_fractions(fractions: Sequence[float]) -> Fractions:
    """The fractions of train, val and test.

    Raises:
        ConfigError: not three numbers >= 0 whose sum is 1.
    """
    values = tuple(float(value) for value in fractions)
    if len(values) != 3 or not all(0 <= value <= 1 for value in values) or abs(sum(values) - 1) > 1e-6:
        raise ConfigError(
            "bad fractions of train, validation and test",
            expected="three numbers >= 0 with sum 1, such as 0.64 0.16 0.20",
            found=" ".join(f"{value:g}" for value in values),
        )
    return values


def numbers_of(total: int, fractions: Fractions, what: str = "perturbations") -> tuple[int, int]:
    """How many of ``total`` are validation and test, by rounding.

    Raises:
        DataError: a part whose fraction is above 0 would be empty; validation never falls back to test.
    """
    _, val, test = (round(total * fraction) for fraction in fractions)
    for part, number, fraction in zip(PARTS, (total - val - test, val, test), fractions, strict=True):
        if fraction > 0 and number <= 0:
            raise DataError(
                f"the {part} part would be empty",
                expected=f"at least one of {total} {what}",
                found=f"{fraction:g} of {total}",
                remedy=f"raise the fraction of {part}, or ask for no {part} part by 0",
            )
    return val, test


def draw(strata: Mapping[str, int], number_val: int, number_test: int, seed: int) -> dict[str, str]:
    """The part of each name.

    Args:
        strata: name to its stratum.
        number_val: exact number of validation names.
        number_test: exact number of test names.
        seed: of the places.
    """
    members: dict[int, list[str]] = {}
    for name, stratum in strata.items():
        members.setdefault(stratum, []).append(name)
    order = sorted(members)
    sizes = [len(members[stratum]) for stratum in order]
    tests = _shared_out(number_test, sizes)
    vals = _shared_out(number_val, [size - test for size, test in zip(sizes, tests, strict=True)])
    parts = {}
    for stratum, test, val in zip(order, tests, vals, strict=True):
        for rank, name in enumerate(in_order(members[stratum], seed)):
            parts[name] = TEST if rank < test else VAL if rank < test + val else TRAIN
    return parts


def quantile_strata(values: Mapping[str, float], bins: int) -> dict[str, int]:
    """Name to its bin: equally many names in each bin of rising value; ties are ordered by name.

    Raises:
        ConfigError: fewer than one bin.
    """
    if bins < 1:
        raise ConfigError("a split needs at least one stratum", found=str(bins))
    order = sorted(values, key=lambda name: (values[name], name))
    return {name: rank * bins // len(order) for rank, name in enumerate(order)}


def _shared_out(number: int, sizes: Sequence[int]) -> list[int]:
    """``number`` shared out in proportion to sizes, by largest remainder; ties go to the earlier stratum."""
    exact = np.array(sizes) * (number / max(sum(sizes), 1))
    shares = np.floor(exact + 1e-9).astype(int)
    for i in np.argsort(-(exact - shares), kind="stable")[: number - shares.sum()]:
        shares[i] += 1
    return shares.tolist()
