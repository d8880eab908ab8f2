"""Cells to learn from and cells to validate on: a perturbation in a cell type is on one side only."""

import math

import numpy as np

from gnnvcell.config import digest_of
from gnnvcell.data.cells import Cells
from gnnvcell.errors import ModelError


def divided(cells: Cells, given: Cells | None, *, share: float, seed: int) -> tuple[Cells, Cells | None]:
    """Training and validation cells, each with controls.

    Args:
        cells: cells of training.
        given: validation cells; where there are none, a share of the training perturbations is held out.
        share: of the training perturbations, rounded up.
        seed: of the draw.

    Raises:
        ModelError: a perturbation is on both sides, or fewer than two are left to learn from.
        DataError: no controls among the cells.
    """
    cells.require_controls()
    if given is not None:
        both = sorted(_conditions(cells) & _conditions(given))
        if both:
            context, name = both[0]
            raise ModelError(
                f"{name!r} is in training and in validation" + (f", both in {context!r}" if context else ""),
                expected="other perturbations in validation than in training, or other cell types",
                remedy="split by perturbation: gnnvcell data split",
            )
        return cells, given
    names = sorted(cells.perturbations.tolist(), key=lambda name: digest_of([seed, "validation", name]))
    count = math.ceil(share * len(names))
    if len(names) - count < 2:
        raise ModelError(
            "too few perturbations to learn from",
            expected=f"two, beside {count} for validation",
            found=", ".join(names) or "none",
        )
    if not count:
        return cells, None
    chosen = np.isin(cells.perturbations, names[:count])
    held = np.append(chosen, [False, False])[cells.code]  # codes -1 and -2 are the last two
    return cells.take_cells(~held), cells.take_cells(held | cells.is_control)


def _conditions(cells: Cells) -> set[tuple[str, str]]:
    """Cell types and perturbations of which there are cells."""
    perturbed = cells.code >= 0
    pairs = np.unique(np.stack([cells.context_code[perturbed], cells.code[perturbed]]), axis=1).T
    return {(str(cells.contexts[context]), str(cells.perturbations[code])) for context, code in pairs}
