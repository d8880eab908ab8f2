"""Predictions of long lists of perturbations, a part at a time, so that no screen holds all of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from gnnvcell.errors import ModelError
from gnnvcell.models.base import EffectPredictor, Prediction

BATCH = 256  # perturbations that are predicted at a time


def predictions(
    model: EffectPredictor,
    names: Sequence[str],
    *,
    context: Any = None,
    batch: int = BATCH,
    what: str = "screening",
    progress: bool = False,
) -> Iterator[Prediction]:
    """Predictions of all names in order, ``batch`` at a time.

    Args:
        model: any model of effects.
        names: perturbations.
        context: as the model's ``predict`` takes it.
        batch: perturbations at a time.
        what: on the progress bar.
        progress: a bar on stderr.

    Raises:
        ModelError: the model answers for other perturbations than it was asked, or its genes change between calls.
    """
    genes = None
    with tqdm(total=len(names), desc=what, unit="perturbation", disable=None if progress else True) as bar:
        for start in range(0, len(names), batch):
            part = list(names[start : start + batch])
            found = model.predict(part, context=context)
            if list(map(str, found.perturbations)) != part:
                raise ModelError(
                    "the model answered for other perturbations than it was asked",
                    expected=", ".join(part[:3]),
                    found=", ".join(map(str, found.perturbations[:3])),
                )
            if genes is not None and not np.array_equal(found.genes, genes):
                raise ModelError("the genes of the model's predictions changed between two calls")
            genes = found.genes
            yield found
            bar.update(len(part))


def genes_of(model: EffectPredictor, name: str, *, context: Any = None) -> Prediction:
    """The prediction of one perturbation: what genes the model reads out, and in what context."""
    return next(predictions(model, [name], context=context))
