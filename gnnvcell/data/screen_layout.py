"""ScreenLayout: which cells of a screen are tested against which."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from gnnvcell.data.rank_sum import p_values, rank_sums
from gnnvcell.errors import DataError


@dataclass(frozen=True, eq=False)
class ScreenLayout:
    """The cells of one cell type: perturbed ones by perturbation, controls by batch.

    Args:
        context: the cell type.
        names: (perturbations,) names.
        group: (cells,) perturbation, or number of perturbations + batch of a control cell; -1 in other cell types.
        share: (perturbations, batches) share of a perturbation's cells in each batch.
        sizes: (perturbations + batches,) number of cells.
    """

    context: str
    names: NDArray
    group: NDArray[np.int32]
    share: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(
        cls, labels: NDArray, control: str, batches: NDArray, inside: NDArray, context: str, min_cells: int
    ) -> "ScreenLayout":
        """Lay out the cells that are ``inside``.

        Args:
            labels: (cells,) perturbation of each cell.
            control: the label of control cells.
            batches: (cells,) names or codes of batches.
            inside: (cells,) whether they are of the cell type.
            context: the cell type.
            min_cells: fewest cells of a perturbation.

        Raises:
            DataError: a perturbation has fewer cells, or a batch has perturbed and no control cells.
        """
        is_control, perturbed = inside & (labels == control), inside & (labels != control)
        names, arm = np.unique(labels[perturbed], return_inverse=True)
        where = f" of cell type {context!r}" if context else ""
        batch_names, batch = np.unique(batches, return_inverse=True)
        group = np.full(len(labels), -1, dtype=np.int32)
        group[perturbed], group[is_control] = arm, len(names) + batch[is_control]
        sizes = np.bincount(group[group >= 0], minlength=len(names) + len(batch_names))
        if len(names):
            _check_numbers(names, sizes[: len(names)], min_cells, where)
            _check_controls(np.bincount(batch[perturbed], minlength=len(batch_names)), sizes[len(names) :], where)
        share = np.zeros((len(names), len(batch_names)))
        np.add.at(share, (arm, batch[perturbed]), 1.0)
        return cls(context, names, group, share / np.maximum(share.sum(axis=1, keepdims=True), 1), sizes)

    def tested(self, matrix: sp.csr_array | NDArray, scale: NDArray | None, threads: int) -> dict[str, NDArray]:
        """The fields of a ``DifferentialExpression`` for the rows of this cell type."""
        arms = len(self.names)
        in_group, by_batch = self.sizes[:arms], self.sizes[arms:]
        found = rank_sums(matrix, self.group, arms, control_groups=len(by_batch), scale=scale, threads=threads)
        p_value = p_values(found, in_group, int(by_batch.sum()))
        mean = found.sums[:arms] / in_group[:, None]
        of_batch = found.sums[arms:] / np.maximum(by_batch, 1)[:, None]
        control_mean = found.sums[arms:].sum(axis=0) / by_batch.sum()
        return {
            "perturbations": self.names,
            "cells": in_group,
            "p_value": p_value,
            "q_value": stats.false_discovery_control(p_value, axis=1),
            "delta": mean - self.share @ of_batch,
            "statistic": found.u,
            "mean": mean,
            "control_mean": np.broadcast_to(control_mean, mean.shape),
            "controls": np.full(arms, by_batch.sum()),
            "contexts": np.full(arms, self.context),
        }


def _check_numbers(names: NDArray, numbers: NDArray, min_cells: int, where: str) -> None:
    if numbers.min() < min_cells:
        raise DataError(
            f"{int((numbers < min_cells).sum())} perturbations{where} have fewer than {min_cells} cells",
            found=f"{names[numbers.argmin()]}: {numbers.min()}",
            remedy="drop them, or lower min_cells",
        )


def _check_controls(perturbed: NDArray, controls: NDArray, where: str) -> None:
    bare = (perturbed > 0) & (controls == 0)
    if bare.any():
        raise DataError(
            f"{int(bare.sum())} batches{where} have perturbed cells and no control cells",
            expected="controls in every batch",
            remedy="drop those batches, or pass batch_key=None",
        )
