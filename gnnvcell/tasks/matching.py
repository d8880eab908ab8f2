"""Bring predicted and real cells together by name: genes, perturbations and contexts."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError, did_you_mean

_LISTED = 5  # names in a message


@dataclass(frozen=True, eq=False)
class Match:
    """Which parts of a prediction stand against which parts of the truth.

    Args:
        columns: (real genes,) column of the prediction for each real gene.
        perturbations: (rows,) names as the real cells have them.
        contexts: (rows,) cell type or line of each row.
        predicted_rows: (predicted cells,) int64 row of each predicted cell; -1 for cells that are not scored.
        real_rows: (real cells,) int64, likewise.
        notes: what was left out, in sentences; empty when all fits.
    """

    columns: NDArray[np.int64]
    perturbations: NDArray
    contexts: NDArray
    predicted_rows: NDArray[np.int64]
    real_rows: NDArray[np.int64]
    notes: list[str]


def match_cells(predicted: Cells, real: Cells, *, held_out: NDArray | None = None) -> Match:
    """Align a prediction with the truth by the names of genes, perturbations and contexts.

    Genes the prediction has beyond the real ones are left out, and so are perturbations that only one side has; both
    are told in ``notes``. "A+B" and "B+A" are one perturbation.

    Args:
        predicted: predicted cells.
        real: real cells.
        held_out: (real cells,) bool, where a split says what is scored: these perturbations alone, and all of them.

    Raises:
        DataError: the prediction has no gene names, lacks a real gene, shares no perturbation or no context with the
            real cells, or lacks a held-out perturbation.
    """
    columns, notes = match_genes(predicted.genes, real.genes)
    contexts = _match_contexts(predicted, real)
    rows_real = _rows(real, np.arange(len(real.contexts)), held_out)
    rows_predicted = _rows(predicted, contexts)
    shared = [key for key in rows_real if key in rows_predicted]
    if not shared:
        raise DataError(
            "the prediction and the real cells have no perturbation in common",
            expected=f"some of {_listed(real.perturbations)}",
            found=_listed(predicted.perturbations),
            remedy="is the perturbation column the right one? name it with --perturbation",
        )
    lacking, beyond = rows_real.keys() - rows_predicted.keys(), rows_predicted.keys() - rows_real.keys()
    if held_out is not None and lacking:
        raise DataError(
            f"the prediction lacks {len(lacking)} of {len(rows_real)} held-out perturbations",
            expected="a prediction for every held-out perturbation of the split",
            found=f"nothing for {_listed(_names(lacking))}",
        )
    notes += _left_out("perturbations of the real cells are not predicted", lacking)
    whose = "the real cells" if held_out is None else "the held-out ones"
    notes += _left_out(f"predicted perturbations are not among {whose}", beyond)
    number = {key: i for i, key in enumerate(shared)}
    return Match(
        columns=columns,
        perturbations=np.array([str(real.perturbations[rows_real[key][0][0]]) for key in shared]),
        contexts=np.array([str(real.contexts[key[1]]) for key in shared]),
        predicted_rows=_row_of_cells(predicted, rows_predicted, number),
        real_rows=_row_of_cells(real, rows_real, number),
        notes=notes,
    )


def match_genes(
    predicted: NDArray, real: NDArray | list[str], *, whose: str = "the prediction"
) -> tuple[NDArray[np.int64], list[str]]:
    """The column of the prediction for each real gene, and what was left out.

    Names are what leaves a perturbation's own target out of its scores: a prediction that has none could score
    near 1 by the knock-down alone, so it is refused.

    Args:
        predicted: (predicted genes,) names.
        real: (real genes,) names.
        whose: the first, for messages.

    Raises:
        DataError: numbers as names, no gene in common, or a real gene is missing.
    """
    if all(str(name).isdigit() for name in predicted):
        raise DataError(
            f"the genes of {whose} have numbers for names",
            expected=f"gene names, as the real cells have them: {_listed(real)}",
            found=_listed(predicted),
            remedy="keep the names in var: without them a perturbation's own target cannot be left out of its scores, "
            "and predicting the knock-down alone would score nearly 1",
        )
    position = {str(name): i for i, name in enumerate(predicted)}
    missing = [str(name) for name in real if str(name) not in position]
    if missing:
        raise DataError(
            f"{whose} lacks {len(missing):,} of {len(real):,} genes",
            expected=f"all of them, in any order; missing: {_listed(missing)}",
            found=_listed(predicted),
            remedy=did_you_mean(missing[0], position)
            if len(missing) < len(real)
            else "are the names of another kind (symbols, Ensembl)? name the var column with --gene-names",
        )
    extra = len(position) - len(real)
    notes = [f"{extra:,} predicted genes are not among the real ones and were left out"] if extra else []
    return np.array([position[str(name)] for name in real], dtype=np.int64), notes


def _match_contexts(predicted: Cells, real: Cells) -> NDArray[np.int64]:
    """For each context of the prediction the number of the real one; two single contexts are taken as one."""
    if len(predicted.contexts) == 1 and len(real.contexts) == 1:
        return np.zeros(1, dtype=np.int64)
    position = {str(name): i for i, name in enumerate(real.contexts)}
    unknown = [str(name) for name in predicted.contexts if str(name) not in position]
    if unknown:
        raise DataError(
            f"{len(unknown)} cell types of the prediction are not among the real cells",
            expected=_listed(real.contexts),
            found=_listed(unknown),
            remedy=did_you_mean(unknown[0], position),
        )
    return np.array([position[str(name)] for name in predicted.contexts], dtype=np.int64)


_Key = tuple[frozenset[str], int]


def _rows(
    cells: Cells, contexts: NDArray[np.int64], inside: NDArray | None = None
) -> dict[_Key, list[tuple[int, int]]]:
    """(targets, real context) -> (perturbation code, context code) pairs that have cells, in the order of the names."""
    perturbed = (cells.code >= 0) & (True if inside is None else np.asarray(inside, dtype=bool))
    pairs = np.unique(np.stack([cells.code[perturbed], cells.context_code[perturbed]], axis=1), axis=0)
    rows: dict[_Key, list[tuple[int, int]]] = {}
    for code, context in pairs.tolist():
        rows.setdefault((targets_of(cells.perturbations[code]), int(contexts[context])), []).append((code, context))
    return rows


def targets_of(name: object) -> frozenset[str]:
    """The targets of a perturbation, whatever their order: "A+B" and "B+A" are the same."""
    return frozenset(part.strip() for part in str(name).split("+"))


def first_spelling(perturbations: NDArray) -> NDArray[np.int64]:
    """(perturbations,) the first of the names with the same targets."""
    first: dict[frozenset[str], int] = {}
    return np.array([first.setdefault(targets_of(name), i) for i, name in enumerate(perturbations)], dtype=np.int64)


def _row_of_cells(
    cells: Cells, rows: dict[_Key, list[tuple[int, int]]], number: dict[_Key, int]
) -> NDArray[np.int64]:
    table = np.full((len(cells.perturbations) + 1, len(cells.contexts)), -1, dtype=np.int64)
    for key, pairs in rows.items():
        for code, context in pairs:
            table[code, context] = number.get(key, -1)
    return table[np.maximum(cells.code, -1), cells.context_code]  # controls and unknown cells have the last row


def _left_out(what: str, keys: Iterable[_Key]) -> list[str]:
    names = _names(keys)
    return [f"{len(names)} {what}: {_listed(names)}"] if names else []


def _names(keys: Iterable[_Key]) -> list[str]:
    return sorted({"+".join(sorted(targets)) for targets, _ in keys})


def _listed(names: Iterable) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
