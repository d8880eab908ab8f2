"""Galleries: lists of perturbations that a screen goes through, checked before a model is asked anything."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import PerturbationError
from gnnvcell.perturbation import Mode, Perturbation


def checked_gallery(names: Iterable[str], *, what: str = "gallery") -> list[str]:
    """The names of perturbations, each once, in the order given.

    Args:
        names: "A", "A+B", "A|KO", "compound|drug@1uM".
        what: what the list is, for messages.

    Raises:
        PerturbationError: no name, a name that cannot be read, or a control.
    """
    found = list(dict.fromkeys(str(name).strip() for name in names))
    if not found:
        raise PerturbationError(f"the {what} is empty", expected="one perturbation or more, such as TP53 or A+B")
    controls = [name for name in found if Perturbation.parse(name).is_control]
    if controls:
        raise PerturbationError(
            f"{controls[0]!r} in the {what} is a control", expected="perturbations", remedy="leave it out"
        )
    return found


def pair_name(first: str, second: str) -> str | None:
    """The name of two perturbations done together, or None where no name says it.

    Genes perturbed in the same way and as strongly have one ("A+B", "A+B|KO"). A drug beside anything, or genes
    perturbed in different ways, have none: ``combined`` predicts those by the actions of a ``Steerable`` model.

    Raises:
        PerturbationError: a name cannot be read.

    Example:
        >>> pair_name("A|KO", "B|KO"), pair_name("A", "JQ1|drug@1uM")
        ('A+B|KO', None)
    """
    a, b = Perturbation.parse(first), Perturbation.parse(second)
    if Mode.DRUG in (a.mode, b.mode) or (a.mode, a.amount) != (b.mode, b.amount):
        return None
    if set(a.targets) & set(b.targets):
        return None
    return str(Perturbation((*a.targets, *b.targets), a.mode, a.amount))


def shares_target(first: str, second: str) -> bool:
    """Whether two perturbations hit the same gene or compound."""
    return bool(set(Perturbation.parse(first).targets) & set(Perturbation.parse(second).targets))


def all_pairs(names: Sequence[str], others: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """Pairs of a list, or of a list with another one; none twice in either order, none of a perturbation with itself.

    Args:
        names: perturbations.
        others: what each is paired with, such as a genome; ``names`` themselves when left out.
    """
    if others is None:
        return [pair for pair in combinations(names, 2) if not shares_target(*pair)]
    seen: dict[frozenset[str], tuple[str, str]] = {}
    for name in names:
        for other in others:
            if not shares_target(name, other):
                seen.setdefault(frozenset((name, other)), (name, other))
    return list(seen.values())


def own_targets(names: Sequence[str] | NDArray, genes: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the (perturbation, gene) pairs in which a perturbation's own target is read out."""
    place = {str(gene): at for at, gene in enumerate(genes)}
    pairs = [
        (row, place[target])
        for row, name in enumerate(names)
        for target in Perturbation.parse(str(name)).targets
        if target in place
    ]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
