"""Cells in which the target was knocked down, and perturbations that have enough of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.cells import Cells
from gnnvcell.data.knockdown import Knockdown
from gnnvcell.errors import DataError

KEPT, FAINT, FEW = "kept", "target not knocked down", "too few cells left"
UNJUDGED, UNJUDGED_DROPPED = "kept, cannot be judged", "cannot be judged"


class KnockdownConfig(Config):
    """Which cells pass. The defaults are those of cell-load, which compares with all controls instead of matched ones.

    Args:
        residual: highest mean expression of the target that a perturbation may have, as a share of that in controls.
        cell_residual: the same of a single cell.
        min_cells: fewest cells of a perturbation (in a cell type) that must be left; perturbations whose knock-down
            cannot be judged need as many.
        drop_unjudged: whether perturbations whose knock-down cannot be judged are dropped, as cell-load does.
    """

    residual: float = 0.30
    cell_residual: float = 0.50
    min_cells: int = 30
    drop_unjudged: bool = False


@dataclass(frozen=True, eq=False)
class Filtered:
    """What passed.

    Args:
        keep: (cells,) bool; controls and cells of unknown perturbation are kept.
        table: the table of ``Knockdown`` with ``cells_kept`` and ``outcome``.
    """

    keep: NDArray[np.bool_]
    table: pd.DataFrame


def filter_knockdown(cells: Cells, knockdown: Knockdown, config: KnockdownConfig) -> Filtered:
    """Drop perturbations whose target is still expressed, then cells in which it is, then perturbations left with few.

    Raises:
        DataError: no perturbation can be judged, or nothing perturbed is left.
    """
    residual = knockdown.table["residual"].to_numpy(dtype=float)
    judged = np.isfinite(residual)
    if not judged.any():
        raise DataError(
            "the knock-down of no perturbation can be judged",
            expected="CRISPRi or KO of genes that are measured, and controls that express them",
            found="; ".join(sorted(set(knockdown.table["reason"]))),
            remedy="leave the filter out",
        )
    arm, faint = knockdown.arm, judged & (residual > config.residual)
    unjudged = ~judged & config.drop_unjudged
    perturbed = arm >= 0
    passes = ~judged[arm] | (knockdown.cell_residual <= config.cell_residual)
    keep = ~perturbed | (passes & ~(faint | unjudged)[arm])
    left = np.bincount(arm[perturbed & keep], minlength=len(residual))
    few = ~faint & ~unjudged & (left < config.min_cells)
    keep &= ~(perturbed & few[arm])
    outcome = np.select([faint, few, unjudged, ~judged], [FAINT, FEW, UNJUDGED_DROPPED, UNJUDGED], KEPT)
    if not (perturbed & keep).any():
        raise DataError(
            "no perturbed cell passes the knock-down filter",
            expected=f"{config.min_cells} cells of some perturbation with at most {config.cell_residual:g} of the "
            f"target, {config.residual:g} on average",
            found=f"residuals from {residual[judged].min():.2f} to {residual[judged].max():.2f}",
            remedy="raise the limits, or leave the filter out",
        )
    kept = np.where(few, 0, left)
    return Filtered(keep, knockdown.table.assign(cells_kept=kept, outcome=outcome))


def require_matched_controls(cells: Cells) -> None:
    """Refuse perturbed cells without controls of the same context and batch.

    Raises:
        DataError: there are no controls at all, or none in a batch (named).
    """
    cells.require_controls()
    place = cells.context_code.astype(np.int64) * len(cells.batches) + cells.batch_code
    bare = np.setdiff1d(place[cells.code >= 0], place[cells.is_control])
    if len(bare):
        context, batch = cells.contexts[bare[0] // len(cells.batches)], cells.batches[bare[0] % len(cells.batches)]
        raise DataError(
            f"{len(bare)} batches have perturbed cells and no control cells",
            expected="controls beside all perturbed cells",
            found=" / ".join(name for name in (str(context), str(batch)) if name) or "no controls",
            remedy="drop those cells, or compare without batches: --batch '', FieldsConfig(batch='')",
        )
