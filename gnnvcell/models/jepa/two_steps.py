"""Perturbations in two steps: one target first, and then the others."""

from dataclasses import replace

import torch

from gnnvcell.nn.perturbation_batch import MODES, PerturbationBatch
from gnnvcell.perturbation import Mode

_CONTROL = MODES.index(Mode.CONTROL)


def first_and_rest(conditions: PerturbationBatch) -> tuple[PerturbationBatch, PerturbationBatch]:
    """A + B + C as A and then B + C; a single perturbation as itself and then a control.

    Mode and strength are those of the whole, but a control has no strength.

    Example:
        >>> from gnnvcell.perturbation import Perturbation
        >>> given = [Perturbation.parse("MYC+TP53|KO"), Perturbation.parse("MYC|KO")]
        >>> first, rest = first_and_rest(PerturbationBatch.of(given, genes=["MYC", "TP53"]))
        >>> first.target.tolist(), rest.target.tolist(), rest.mode.tolist()
        ([0, 0], [1], [2, 4])
    """
    owner = conditions.owner
    leads = torch.ones_like(owner, dtype=torch.bool)
    leads[1:] = owner[1:] != owner[:-1]
    first, rest = _of_targets(conditions, leads), _of_targets(conditions, ~leads)
    empty = torch.bincount(rest.owner, minlength=len(conditions)) == 0
    rest = replace(
        rest,
        mode=rest.mode.masked_fill(empty, _CONTROL),
        strength=rest.strength.masked_fill(empty[:, None], 0.0),
        has_strength=rest.has_strength & ~empty,
    )
    return first, rest


def controls_like(conditions: PerturbationBatch) -> PerturbationBatch:
    """As many controls as there are perturbations."""
    none = torch.zeros_like(conditions.owner, dtype=torch.bool)
    return replace(
        _of_targets(conditions, none),
        mode=torch.full_like(conditions.mode, _CONTROL),
        strength=torch.zeros_like(conditions.strength),
        has_strength=torch.zeros_like(conditions.has_strength),
    )


def _of_targets(conditions: PerturbationBatch, which: torch.Tensor) -> PerturbationBatch:
    return replace(
        conditions,
        target=conditions.target[which],
        is_compound=conditions.is_compound[which],
        owner=conditions.owner[which],
    )
