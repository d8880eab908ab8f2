"""The conditions of a screen, which splits divide: what was perturbed, in which cell type, of which data set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.splits.identity import Identity
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.genes import GeneVocab
from gnnvcell.perturbation import CONTROL_NAMES

if TYPE_CHECKING:
    from gnnvcell.data.cells import Cells

DATASET, LABEL, CELLS, EFFECT = "dataset", "label", "cells", "effect"
KEY = [DATASET, keys.CELL_TYPE, keys.PERTURBATION]


class Conditions:
    """Every (data set, cell type, perturbation) of one or several screens; controls are not among them.

    Args:
        table: columns ``dataset``, ``cell_type``, ``perturbation`` (text), and optionally ``label`` (how the file
            writes the perturbation), ``cells`` (number of cells) and ``effect`` (size of the effect, any unit; NaN
            where unknown).
        identity: which spellings are the same perturbation.

    Raises:
        DataError: a column is missing, there is no condition, one is there twice, or one is a control.
    """

    def __init__(self, table: pd.DataFrame, identity: Identity | None = None) -> None:
        missing = [column for column in KEY if column not in table]
        if missing:
            raise DataError(
                f"a table of conditions needs the column {missing[0]!r}", remedy=did_you_mean(missing[0], table.columns)
            )
        self.identity = identity or Identity()
        # Any: pandas has no types of its own, and a checker takes every column for an array.
        self.table: Any = table.assign(
            **{column: table[column].astype(str) for column in KEY},
            **{LABEL: table[LABEL if LABEL in table else keys.PERTURBATION].astype(str)},
            **{column: table.get(column, pd.Series(np.nan, table.index)) for column in (CELLS, EFFECT)},
        )[[*KEY, LABEL, CELLS, EFFECT]].reset_index(drop=True)
        self.names: NDArray = np.array([self.identity.name(text) for text in self.table[keys.PERTURBATION]], dtype=str)
        self._check()

    def _check(self) -> None:
        if not len(self.table):
            raise DataError("there is no condition to split", expected="at least one perturbation that is no control")
        controls = self.names == keys.CONTROL
        if controls.any():
            raise DataError(
                "a control is no condition: controls are in every part",
                found=str(self.table[keys.PERTURBATION][controls].iloc[0]),
                remedy="leave controls out of the table",
            )
        twice = self.table.duplicated([*KEY, LABEL]).to_numpy()
        if twice.any():
            raise DataError(
                f"{int(twice.sum())} conditions are there twice",
                expected="each perturbation once in a cell type of a data set",
                found=" / ".join(self.table[KEY][twice].iloc[0]),
                remedy="merge the rows first",
            )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def perturbations(self) -> NDArray:
        """(perturbations,) distinct perturbations under their common name, sorted."""
        return np.unique(self.names)

    @property
    def cell_types(self) -> NDArray:
        """(cell types,) distinct names, sorted."""
        return np.unique(self.table[keys.CELL_TYPE].to_numpy(dtype=str))

    def targets(self, name: str) -> tuple[str, ...]:
        """The genes of a perturbation by its common name."""
        return self.identity.targets(name)

    def require_cell_type(self, name: str) -> None:
        """Raise a ``DataError`` with the nearest names unless some condition is of that cell type."""
        if name not in self.cell_types:
            raise DataError(f"no condition has cell type {name!r}", remedy=did_you_mean(name, self.cell_types.tolist()))

    def resolve(self, names: Sequence[str]) -> list[str]:
        """The common names of perturbations however spelled, in order, each once.

        Raises:
            DataError: one of them is not among the conditions (with the nearest).
        """
        known = set(self.perturbations.tolist())
        found = [self.identity.name(name) for name in names]
        absent = [given for given, name in zip(names, found, strict=True) if name not in known]
        if absent:
            raise DataError(
                f"{len(absent)} of {len(names)} named perturbations are not in the data",
                found=", ".join(map(repr, absent[:5])),
                remedy=did_you_mean(absent[0], known),
            )
        return list(dict.fromkeys(found))

    def by_perturbation(self, column: str) -> dict[str, float]:
        """One value per perturbation: the number of its cells in all conditions, or its mean effect.

        Raises:
            DataError: unknown for some perturbation.
        """
        values = self.table[column].groupby(self.names).agg("sum" if column == CELLS else "mean")
        unknown = self.table[column].isna().groupby(self.names).any()
        if unknown.any():
            raise DataError(
                f"{int(unknown.sum())} perturbations have no value for {column!r}",
                found=str(unknown.index[unknown][0]),
                remedy="stratify by something else, or drop them first",
            )
        return {str(name): float(value) for name, value in values.items()}

    @classmethod
    def of_cells(
        cls,
        cells: "Cells",
        *,
        dataset: str,
        effect: Mapping[tuple[str, str], float] | None = None,
        vocab: GeneVocab | None = None,
    ) -> "Conditions":
        """The conditions of the cells of one data set, one for each label that a perturbation has in a cell type.

        Args:
            cells: with their fields resolved.
            dataset: its name in the split.
            effect: (cell type, perturbation as in ``cells.perturbations``) to the size of the effect.
            vocab: joins a gene's names.
        """
        control_names = (*CONTROL_NAMES, cells.fields.control) if cells.fields.control else CONTROL_NAMES
        identity = Identity(vocab, cells.fields.perturbation_mode, control_names)
        perturbed = cells.code >= 0
        labels = cells.obs[cells.fields.perturbation].astype(str).str.strip().to_numpy(dtype=str)
        columns = {"context": cells.context_code, "code": cells.code, LABEL: labels}
        rows = pd.DataFrame({name: values[perturbed] for name, values in columns.items()})
        counts = rows.value_counts(sort=False).reset_index(name=CELLS).sort_values(["context", "code", LABEL])
        contexts, names = np.asarray(cells.contexts, dtype=str), np.asarray(cells.perturbations, dtype=str)
        counts[keys.CELL_TYPE] = contexts[counts["context"].to_numpy()]
        counts[keys.PERTURBATION] = names[counts["code"].to_numpy()]
        table = counts.assign(**{DATASET: dataset})
        if effect is not None:
            pairs = zip(table[keys.CELL_TYPE], table[keys.PERTURBATION], strict=True)
            table[EFFECT] = [effect.get(pair, np.nan) for pair in pairs]
        return cls(_merged(table), identity)

    @classmethod
    def joined(cls, parts: "Sequence[Conditions]") -> "Conditions":
        """The conditions of several files or data sets, those of several files once, with the first one's identity."""
        return cls(_merged(pd.concat([part.table for part in parts], ignore_index=True)), parts[0].identity)


def _merged(table: Any) -> Any:
    """One row per condition: cells are added up, effects averaged; what is unknown in one file stays unknown."""
    columns = {CELLS: lambda values: values.sum(skipna=False), EFFECT: lambda values: values.mean(skipna=False)}
    present = {name: how for name, how in columns.items() if name in table}
    full = [*KEY, LABEL]
    return table.groupby(full, sort=True, as_index=False).agg(present) if table.duplicated(full).any() else table
