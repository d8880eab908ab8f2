"""Held-out cell types (zero-shot) and cell types of which little is revealed (few-shot)."""

from collections.abc import Sequence

from gnnvcell import keys
from gnnvcell.data.splits.by_perturbation import strata_of
from gnnvcell.data.splits.conditions import Conditions
from gnnvcell.data.splits.draws import TEST, TRAIN, VAL, draw, numbers_of
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import ConfigError, DataError


def by_cell_type(conditions: Conditions, *, test: Sequence[str], val: Sequence[str] | None = None) -> Split:
    """Whole cell types are test or validation, all others train; perturbations may be known from other cell types.

    Args:
        conditions: of several cell types.
        test: cell types.
        val: cell types; ``()`` asks for no validation part.

    Raises:
        DataError: a cell type is not in the data, is in both lists, none is left to train on, or nothing is said about
            validation.
    """
    if val is None:
        raise DataError(
            "no validation cell type is named",
            remedy="name one, or ask for no validation part (val=(), --no-val); test is never used for it",
        )
    for name in [*test, *val]:
        conditions.require_cell_type(name)
    both = sorted(set(test) & set(val))
    if both or not test:
        problem = f"cell type {both[0]!r} is test and validation" if both else "no test cell type is named"
        raise DataError(problem, remedy="name each cell type once, and at least one for test")
    sides = dict.fromkeys(val, VAL) | dict.fromkeys(test, TEST)
    parts = [sides.get(cell_type, TRAIN) for cell_type in conditions.table[keys.CELL_TYPE]]
    reasons = ["" if part == TRAIN else "held-out cell type" for part in parts]
    settings = {"test": sorted(test), "val": sorted(val)}
    return Split(conditions, parts, strategy="cell-type", reasons=reasons, settings=settings)


def by_few_shot(
    conditions: Conditions,
    *,
    cell_types: Sequence[str],
    revealed: int | float,
    val: int | float,
    seed: int = 0,
    stratify: str | None = None,
    bins: int = 5,
) -> Split:
    """Some perturbations of the held-out cell types are revealed for training, some are validation, the others test.

    A perturbation is on the same side in all held-out cell types; the other cell types are train as a whole.

    Args:
        conditions: to split.
        cell_types: the held-out ones.
        revealed: number (int), or fraction (float in [0, 1)), of the perturbations of the held-out cell types.
        val: number or fraction, likewise; 0 asks for no validation part.
        seed: of the hash of names (see ``draws``).
        stratify: "effect" or "cells", as in ``by_perturbation``.
        bins: number of quantile bins.

    Raises:
        ConfigError: a fraction or number out of range.
        DataError: a cell type is not in the data, or a part would be empty.
    """
    for name in cell_types:
        conditions.require_cell_type(name)
    if not cell_types:
        raise DataError("no held-out cell type is named", remedy=f"name some of {', '.join(conditions.cell_types[:5])}")
    inside = conditions.table[keys.CELL_TYPE].isin(list(cell_types)).to_numpy()
    names = sorted(set(conditions.names[inside].tolist()))
    shown, chosen = _number(revealed, len(names), "revealed"), _number(val, len(names), "val")
    if shown + chosen >= len(names):
        raise DataError(
            "the test part would be empty",
            found=f"{shown} revealed and {chosen} validation of {len(names)} perturbations",
            remedy="reveal fewer",
        )
    drawn = draw(strata_of(conditions, names, stratify, bins), chosen, len(names) - shown - chosen, seed)
    parts = [drawn[name] if here else TRAIN for name, here in zip(conditions.names.tolist(), inside, strict=True)]
    reasons = [
        ("revealed" if part == TRAIN else "held-out cell type") if here else ""
        for part, here in zip(parts, inside, strict=True)
    ]
    settings = {"cell_types": sorted(cell_types), "revealed": revealed, "val": val, "stratify": stratify}
    return Split(conditions, parts, strategy="few-shot", seed=seed, reasons=reasons, settings=settings)


def _number(asked: int | float, total: int, what: str) -> int:
    if isinstance(asked, int):
        if not 0 <= asked <= total:
            raise ConfigError(f"{what} is out of range", expected=f"0 to {total} perturbations", found=str(asked))
        return asked
    if not 0 <= asked < 1:
        raise ConfigError(f"{what} is out of range", expected="a fraction from 0 to below 1", found=f"{asked:g}")
    return numbers_of(total, (1 - asked, asked, 0.0), f"perturbations ({what})")[0]
