"""What a model predicts of two perturbations done together, beside each alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gnnvcell.errors import ModelError
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.screens.gallery import pair_name
from gnnvcell.screens.predicting import BATCH, predictions
from gnnvcell.screens.steerable import Steerable


class Together(NamedTuple):
    """Predictions of pairs.

    Args:
        first, second, both: (pairs, genes) float32 effects of each part alone, and of both.
        variance: (pairs, genes) float32 of the error of ``both - first - second``, errors taken as independent; NaN
            where the model knows none.
        support: (pairs,) least support of the three.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    both: NDArray[np.float32]
    variance: NDArray[np.float32]
    support: NDArray[np.float32]


def combined_names(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """How pairs are called: "A+B", or "A|KO & JQ1|drug@1uM" where no name says it."""
    return [pair_name(*pair) or " & ".join(pair) for pair in pairs]


def together(
    model: EffectPredictor, pairs: Sequence[tuple[str, str]], *, context: Any = None, batch: int = BATCH
) -> Together:
    """Predict pairs, and their parts.

    Pairs with one name are predicted by it. Others (a drug beside anything, genes perturbed in different ways) are
    predicted from the sum of the parts' actions, where the model is ``Steerable``.

    Args:
        model: any model of effects.
        pairs: names of two perturbations each.
        context: as the model's ``predict`` takes it.
        batch: perturbations at a time.

    Raises:
        ModelError: a pair has no name and the model is not steerable.
    """
    parts = list(dict.fromkeys(name for pair in pairs for name in pair))
    alone = _joined(list(predictions(model, parts, context=context, batch=batch)))
    place = {name: at for at, name in enumerate(parts)}
    first, second = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    values = [alone.values[first].copy(), alone.values[second].copy(), np.zeros((len(pairs), len(alone.genes)), "f4")]
    support = np.minimum(alone.support[first], alone.support[second])
    variance = np.full(values[2].shape, np.nan, dtype=np.float32)
    names = [pair_name(*pair) for pair in pairs]
    named = np.flatnonzero([name is not None for name in names])
    if len(named):
        found = _joined(list(predictions(model, [str(names[at]) for at in named], context=context, batch=batch)))
        values[2][named] = found.values
        support[named] = np.minimum(support[named], found.support)
        if found.spread is not None and alone.spread is not None:
            of_parts = (alone.spread[side[named]] ** 2 for side in (first, second))
            variance[named] = found.spread**2 + sum(of_parts)
    unnamed = np.setdiff1d(np.arange(len(pairs)), named)
    if len(unnamed):
        for of_all, of_these in zip(values, _by_actions(model, [pairs[at] for at in unnamed], context), strict=True):
            of_all[unnamed] = of_these
    return Together(values[0], values[1], values[2], variance, support)


def _by_actions(model: Any, pairs: list[tuple[str, str]], context: Any) -> list[NDArray[np.float32]]:
    """Effects of the first parts, the second parts, and both; all three by actions, so that they compare."""
    if not isinstance(model, Steerable):
        raise ModelError(
            f"{' and '.join(pairs[0])} have no name as one perturbation, and {type(model).__name__} has no actions",
            expected="genes perturbed in the same way, or a model with actions_of and effects_of_actions",
            remedy="take a trained StateTransition or Jepa model, or pairs of genes",
        )
    with torch.no_grad():
        # At once: a model may read an action as a mixture of those that it was asked for last.
        first, second = model.actions_of([pair[side] for side in (0, 1) for pair in pairs]).chunk(2)
        found = [model.effects_of_actions(one, context=context) for one in (first, second, first + second)]
    return [one.float().cpu().numpy() for one in found]


def _joined(found: list[Prediction]) -> Prediction:
    """One prediction of the parts of a list."""
    spreads = [one.spread for one in found if one.spread is not None]
    return Prediction(
        np.concatenate([one.values for one in found]),
        np.concatenate([one.perturbations for one in found]),
        found[0].genes,
        np.concatenate([one.support for one in found]),
        found[0].context,
        np.concatenate(spreads) if len(spreads) == len(found) else None,
    )
