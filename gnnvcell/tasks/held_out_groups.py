"""Which perturbations are held out together: one by one, in folds, combinations from their singles, or all."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import NDArray

from gnnvcell.errors import DataError
from gnnvcell.perturbation import Perturbation


@dataclass(frozen=True)
class HeldOutGroup:
    """Perturbations that are held out together.

    Args:
        test: their names.
        train: names of the perturbations to learn from.
    """

    test: tuple[str, ...]
    train: tuple[str, ...]


def leave_one_out(names: Sequence[str] | NDArray) -> list[HeldOutGroup]:
    """Each perturbation in turn; others that share a target with it are not learned from."""
    targets = {name: set(Perturbation.parse(name).targets) for name in map(str, names)}
    return [
        HeldOutGroup((name,), tuple(other for other in targets if not targets[other] & targets[name]))
        for name in targets
    ]


def all_at_once(test: Sequence[str] | NDArray, train: Sequence[str] | NDArray) -> list[HeldOutGroup]:
    """All perturbations of a cell type that is held out, to be predicted from those of the others.

    Args:
        test: those of the cell type.
        train: those of the others; the same ones may be among them.

    Raises:
        DataError: there is none on one of the sides.
    """
    if not len(test) or not len(train):
        raise DataError("no perturbation to hold out, or none to learn from", found=f"{len(test)} and {len(train)}")
    return [HeldOutGroup(tuple(map(str, test)), tuple(map(str, train)))]


def in_folds(names: Sequence[str] | NDArray, folds: int) -> list[HeldOutGroup]:
    """Perturbations in sorted order, dealt out to folds held out in turn; fold k has every ``folds``-th from the
    k-th on. Others that share a target with a held-out one are not learned from.

    Raises:
        DataError: fewer perturbations than folds, or fewer than two folds.
    """
    targets = {name: set(Perturbation.parse(name).targets) for name in sorted(map(str, names))}
    if not 2 <= folds <= len(targets):
        raise DataError(f"{len(targets)} perturbations cannot be held out in {folds} folds", expected="2 or more folds")
    groups = []
    for fold in range(folds):
        test = tuple(targets)[fold::folds]
        of_test = set[str]().union(*(targets[name] for name in test))
        groups.append(HeldOutGroup(test, tuple(name for name in targets if not targets[name] & of_test)))
    return groups


def singles_to_doubles(names: Sequence[str] | NDArray, *, singles_seen: int = 2) -> list[HeldOutGroup]:
    """All combinations of which ``singles_seen`` targets were measured alone, to be predicted from all singles.

    Raises:
        DataError: there is no such combination, or no single.
    """
    targets = {str(name): Perturbation.parse(str(name)).targets for name in names}
    singles = tuple(name for name, genes in targets.items() if len(genes) == 1)
    seen = {targets[name][0] for name in singles}
    doubles = tuple(
        name for name, genes in targets.items() if len(genes) > 1 and sum(g in seen for g in genes) == singles_seen
    )
    if not doubles or not singles:
        raise DataError(
            f"no combination has {singles_seen} targets that were measured alone",
            found=f"{len(singles)} singles, {len(targets) - len(singles)} combinations",
        )
    return [HeldOutGroup(doubles, singles)]
