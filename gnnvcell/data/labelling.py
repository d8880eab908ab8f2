"""From labels in obs to perturbations, batches and cell types of cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.data.fields import Fields
from gnnvcell.errors import PerturbationError
from gnnvcell.perturbation import CONTROL_NAMES, Mode, Perturbation


@dataclass(frozen=True, eq=False)
class Labelling:
    """Which perturbation each cell has.

    Args:
        names: (perturbations,) unique names, in alphabetical order.
        perturbations: the same, parsed.
        code: (cells,) int32 position in ``names``; -1 control, -2 not known.
    """

    names: NDArray
    perturbations: list[Perturbation]
    code: NDArray[np.int32]


def factorise(obs: pd.DataFrame, column: str | None) -> tuple[NDArray, NDArray[np.int32]]:
    """Names in a column that cells have, and (cells,) int32 codes; one name "" where there is no column.

    Cells without a value are named "" too.
    """
    if column is None:
        return np.array([""]), np.zeros(len(obs), dtype=np.int32)
    codes, values = pd.factorize(obs[column], use_na_sentinel=True)  # fast where the column is categorical
    missing = bool((codes < 0).any())
    written = np.array([*map(str, values), *[""] * missing], dtype=str)
    names, place = np.unique(written, return_inverse=True)
    return names, place[codes].astype(np.int32)  # the code -1 is the last, the name of missing values


def label_cells(obs: pd.DataFrame, fields: Fields) -> Labelling:
    """Read the labels of cells.

    A perturbation is named by its targets ("A+B"). Where the same targets occur in several modes or doses, mode and
    dose are in the name ("JQ1|drug@1uM").

    Args:
        obs: annotations of cells.
        fields: the columns.

    Raises:
        PerturbationError: a label, mode or dose cannot be read.
    """
    columns = [fields.perturbation, *(name for name in (fields.mode, fields.dose) if name)]
    coded = [factorise(obs, column) for column in columns]
    combined = np.ravel_multi_index([code for _, code in coded], [len(names) for names, _ in coded])
    first, group = np.unique(combined, return_index=True, return_inverse=True)[1:]
    parsed = [_parse({c: str(n[k[row]]) for c, (n, k) in zip(columns, coded, strict=True)}, fields) for row in first]
    names = unambiguous_names([p for p in parsed if p is not None and not p.is_control])
    name_of = [names.get(p, "") if p is not None and not p.is_control else "" for p in parsed]
    unique = sorted(set(name_of) - {""})
    place = {name: at for at, name in enumerate(unique)}
    codes = [
        -2 if p is None else -1 if p.is_control else place[name] for p, name in zip(parsed, name_of, strict=True)
    ]
    by_name: dict[str, Perturbation] = {}
    for p, name in zip(parsed, name_of, strict=True):
        if p is not None and name:
            by_name.setdefault(name, p)  # the first, whose targets are in the order of the name
    return Labelling(
        np.array(unique, dtype=str), [by_name[name] for name in unique], np.array(codes, dtype=np.int32)[group]
    )


def _parse(row: dict[str, str], fields: Fields) -> Perturbation | None:
    """The perturbation of one combination of label, mode and dose; None where it is not known."""
    label = row[fields.perturbation].strip()
    if label.casefold() in fields.unassigned and label != fields.control:
        return None
    controls = (*CONTROL_NAMES, fields.control) if fields.control else CONTROL_NAMES
    if label.casefold() in {name.casefold() for name in controls}:
        return Perturbation((), Mode.CONTROL)
    mode = row[fields.mode] if fields.mode else fields.perturbation_mode
    perturbation = Perturbation.parse(label, mode or None, controls)
    if fields.dose and perturbation.mode is Mode.DRUG and perturbation.amount is None:
        return _with_dose(perturbation, row[fields.dose].strip(), fields.dose)
    return perturbation


def _with_dose(perturbation: Perturbation, dose: str, column: str) -> Perturbation:
    """A drug with its dose; a number without unit is in uM."""
    if not dose:
        return perturbation
    try:
        float(dose)
        dose += "uM"
    except ValueError:
        pass  # it has a unit, or parsing says what is wrong
    try:
        return Perturbation.parse(f"{perturbation.name}|{Mode.DRUG.value}@{dose}")
    except PerturbationError as error:
        raise PerturbationError(
            f"the dose {dose!r} of {perturbation.name} in {column!r} cannot be read",
            expected="a number in uM, or one with a unit, such as 500nM",
        ) from error


def unambiguous_names(perturbations: Sequence[Perturbation]) -> dict[Perturbation, str]:
    """Perturbation to name, with mode and dose only where needed; equal ones (A+B, B+A) have one name."""
    unique = list(dict.fromkeys(perturbations))
    by_targets: dict[frozenset[str], int] = {}
    for perturbation in unique:
        targets = frozenset(perturbation.targets)
        by_targets[targets] = by_targets.get(targets, 0) + 1
    return {p: p.name if by_targets[frozenset(p.targets)] == 1 else str(p) for p in unique}
