"""How much of a perturbed gene's expression is left, by perturbation and by cell."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.data.expression import counts_scale
from gnnvcell.data.passes import Reader
from gnnvcell.data.values import ValueKind
from gnnvcell.perturbation import Mode

# What these do to the mRNA of their target is not to lower it.
_NOT_KNOCKED_DOWN = (Mode.CRISPRA, Mode.DRUG, Mode.CONTROL)


@dataclass(frozen=True, eq=False)
class Knockdown:
    """Residual expression of targets: 1 is as in controls, 0 is none.

    Args:
        table: one row per perturbation and context: ``perturbation``, ``context``, ``cells``, ``residual``, ``reason``.
            The residual is the mean expression of the target over the cells, divided by that of control cells of the
            same context and batches (weighted as the cells are), in counts per 10,000; of several targets the highest.
            NaN where it cannot be judged, for ``reason``: mode, unmeasured target, target not expressed in the
            controls, no controls.
        arm: (cells,) row of the table; -1 for controls and cells of unknown perturbation.
        cell_residual: (cells,) float32, expression of the cell's target divided by the same mean of controls; of
            several targets the highest; NaN where it cannot be judged.
    """

    table: pd.DataFrame
    arm: NDArray[np.int64]
    cell_residual: NDArray[np.float32]


class TargetExpression(Reader):
    """Expression of the targets in perturbed cells and in controls, filled by ``passes.read_through``.

    Args:
        cells: counts or log1p values.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        place = {str(gene): at for at, gene in enumerate(cells.genes)}
        slots = max((len(p.targets) for p in cells.targets), default=0)
        self._column = np.full((len(cells.perturbations), slots), -1, dtype=np.int64)
        for row, perturbation in enumerate(cells.targets):
            columns = [place.get(target, -1) for target in perturbation.targets]
            self._column[row, : len(columns)] = columns
        self._wanted = np.unique(self._column[self._column >= 0])
        self._pool = cells.context_code.astype(np.int64) * len(cells.batches) + cells.batch_code
        self._sums = np.zeros((len(cells.contexts) * len(cells.batches), len(self._wanted)))
        self._of_cell = np.full((len(cells), slots), np.nan, dtype=np.float32)

    def add(self, rows: NDArray[np.int64], block: sp.csr_array) -> None:
        """See ``passes.Reader``."""
        if not len(self._wanted):
            return
        picked, scale = sp.csr_matrix(block), self._scale(block)
        code = self._cells.code[rows]
        for slot in range(self._of_cell.shape[1]):
            column = np.where(code >= 0, self._column[np.maximum(code, 0), slot], -1)
            at = np.flatnonzero(column >= 0)
            if not len(at):
                continue
            self._of_cell[rows[at], slot] = self._linear(np.asarray(picked[at, column[at]]).ravel(), scale[at])
        controls = np.flatnonzero(code == Cells.CONTROL)
        if len(controls):
            values = picked[controls][:, self._wanted].toarray()
            np.add.at(self._sums, self._pool[rows[controls]], self._linear(values, scale[controls, None]))

    def _scale(self, block: Any) -> NDArray[np.float64]:
        """(rows,) what brings the counts of each cell to 10,000; ones for log1p values."""
        if self._cells.values is not ValueKind.COUNTS:
            return np.ones(block.shape[0])
        return counts_scale(block)

    def _linear(self, values: NDArray, scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """Counts per 10,000."""
        if self._cells.values is ValueKind.COUNTS:
            return values * scale
        return np.expm1(values.astype(np.float64))

    def knockdown(self) -> Knockdown:
        """What is left of each target, once all cells were read."""
        cells = self._cells
        contexts = len(cells.contexts)
        pair = cells.code.astype(np.int64) * contexts + cells.context_code
        perturbed = cells.code >= 0
        pairs, arm_of, sizes = np.unique(pair[perturbed], return_inverse=True, return_counts=True)
        arm = np.full(len(cells), -1, dtype=np.int64)
        arm[perturbed] = arm_of
        residual, of_cell = self._residuals(arm, pairs // contexts)
        reasons = [self._reason(code) for code in (pairs // contexts).tolist()]
        judged = np.array([not reason for reason in reasons], dtype=bool)
        residual = np.where(judged, residual, np.nan)
        of_cell = np.where((arm >= 0) & np.append(judged, False)[arm], of_cell, np.float32(np.nan))
        lacking = "target not expressed in the controls, or no controls"
        table = pd.DataFrame(
            {
                "perturbation": cells.perturbations[pairs // contexts],
                "context": cells.contexts[pairs % contexts],
                "cells": sizes,
                "residual": residual,
                "reason": [
                    reason or ("" if np.isfinite(left) else lacking)
                    for reason, left in zip(reasons, residual, strict=True)
                ],
            }
        )
        return Knockdown(table, arm, of_cell)

    def _reason(self, code: int) -> str:
        """Why a perturbation cannot be judged; empty where it can."""
        perturbation = self._cells.targets[code]
        if perturbation.mode in _NOT_KNOCKED_DOWN:
            return f"mode {perturbation.mode}"
        if (self._column[code, : len(perturbation.targets)] < 0).any():
            return "target not among the genes"
        return ""

    def _residuals(self, arm: NDArray[np.int64], code: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """(arms,) residual of the least affected target, and (cells,) the same of each cell."""
        cells = self._cells
        controls = np.bincount(self._pool[cells.is_control], minlength=len(self._sums))
        with np.errstate(divide="ignore", invalid="ignore"):
            pool_means = self._sums / controls[:, None]  # NaN where there are no controls
        residual, of_cell = np.full(len(code), -np.inf), np.full(len(arm), -np.inf, dtype=np.float32)
        for slot in range(self._of_cell.shape[1]):
            column = self._column[code, slot]
            inside = np.flatnonzero((arm >= 0) & (np.append(column, -1)[arm] >= 0))
            of_arm = arm[inside]
            expected = pool_means[self._pool[inside], np.searchsorted(self._wanted, column[of_arm])]
            there = np.isfinite(expected)
            usable, of_arm, expected = inside[there], of_arm[there], expected[there]
            sums = np.bincount(of_arm, self._of_cell[usable, slot], len(code))
            matched = np.bincount(of_arm, expected, len(code))
            with np.errstate(divide="ignore", invalid="ignore"):
                left = np.where(matched > 0, sums / matched, np.nan)
                mean = np.where(matched > 0, matched / np.bincount(of_arm, minlength=len(code)), np.nan)
            # NaN wins: a double of which one target cannot be judged cannot be judged.
            residual = np.where(column >= 0, np.maximum(residual, left), residual)
            of_cell[usable] = np.maximum(of_cell[usable], self._of_cell[usable, slot] / mean[of_arm])
        return np.where(np.isneginf(residual), np.nan, residual), np.where(np.isneginf(of_cell), np.nan, of_cell)
