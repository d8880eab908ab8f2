"""Interactions: how what two perturbations do together departs from the sum of what each does."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config

ADDITIVE, SYNERGY, BUFFERING = "additive", "synergy", "buffering"
NEOMORPHIC, SUPPRESSION, REDUNDANCY, DOMINANCE = "neomorphic", "suppression", "redundancy", "dominance"
INTERACTIONS = (ADDITIVE, SYNERGY, BUFFERING, NEOMORPHIC, SUPPRESSION, REDUNDANCY, DOMINANCE)


class InteractionConfig(Config):
    """Where one class of interactions ends and another begins.

    The features are those of Norman et al. (Science 2019, 365:786), who classify by them without fixed limits; the
    limits are ours. a, b and ab are the effects of both parts and of the double.

    Args:
        additive_within: "additive" where ``|ab - (a + b)|`` is at most this share of ``|a + b|``.
        fit_below: "neomorphic" where ab correlates less than this with the best ``c1 a + c2 b``: the double does what
            neither part does.
        suppression_below: "suppression" where ``|ab|`` is below this share of the smaller of ``|a|`` and ``|b|``.
        similar_above: "redundancy" where the cosine of a and b is above this and the double is no larger than the
            larger part (and ``additive_within`` of it).
        equal_below: "dominance" where one part contributes less than this share of what the other does,
            ``min(|c1 a|, |c2 b|) / max(|c1 a|, |c2 b|)``.
    """

    additive_within: float = Field(default=0.25, ge=0)
    fit_below: float = Field(default=0.7, ge=0, le=1)
    suppression_below: float = Field(default=0.75, ge=0)
    similar_above: float = Field(default=0.8, ge=-1, le=1)
    equal_below: float = Field(default=0.2, ge=0, le=1)


class Interactions(NamedTuple):
    """Interactions of pairs, each (pairs,).

    Args:
        kind: one of ``INTERACTIONS``. "buffering" is less than the sum and none of the particular ways of being so.
        departure: ``|ab - (a + b)|``.
        relative: departure over ``|a + b|``.
        scale: ``<ab, a + b> / |a + b|^2``: above 1 more than the sum, below 1 less, below 0 the opposite.
        first, second: c1 and c2 of the regression ``ab = c1 a + c2 b + error``.
        fit: cosine of ab and ``c1 a + c2 b``.
        similarity: cosine of a and b.
        equality: of the two contributions.
        size: ``|ab|``.
        expected: ``|a + b|``.
    """

    kind: NDArray
    departure: NDArray[np.float64]
    relative: NDArray[np.float64]
    scale: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    fit: NDArray[np.float64]
    similarity: NDArray[np.float64]
    equality: NDArray[np.float64]
    size: NDArray[np.float64]
    expected: NDArray[np.float64]


def interactions(
    first: NDArray,
    second: NDArray,
    both: NDArray,
    config: InteractionConfig | None = None,
) -> Interactions:
    """Compare doubles with their parts, gene by gene; entries that shall not count are 0 in all three.

    Args:
        first, second, both: (pairs, genes) effects of the parts alone, and together.
        config: limits of the classes.

    Example:
        >>> found = interactions([[1.0, 0.0]], [[0.0, 1.0]], [[1.5, 1.5]])
        >>> found.kind.tolist(), found.scale.round(2).tolist()
        (['synergy'], [1.5])
    """
    cfg = config or InteractionConfig()
    a, b, ab = (np.asarray(side, dtype=np.float64) for side in (first, second, both))
    total = a + b
    aa, bb, cross = _dot(a, a), _dot(b, b), _dot(a, b)
    c1, c2 = _regression(aa, bb, cross, _dot(a, ab), _dot(b, ab))
    fitted = c1[:, None] * a + c2[:, None] * b
    size, expected, departure = (np.sqrt(_dot(v, v)) for v in (ab, total, ab - total))
    contribution = np.sort(np.stack([np.abs(c1) * np.sqrt(aa), np.abs(c2) * np.sqrt(bb)]), axis=0)
    found = Interactions(
        kind=np.full(len(a), BUFFERING, dtype=object),
        departure=departure,
        relative=_over(departure, expected, otherwise=np.where(departure > 0, np.inf, 0.0)),
        scale=_over(_dot(ab, total), expected**2),
        first=c1,
        second=c2,
        fit=_over(_dot(ab, fitted), size * np.sqrt(_dot(fitted, fitted))),
        similarity=_over(cross, np.sqrt(aa * bb)),
        equality=_over(contribution[0], contribution[1]),
        size=size,
        expected=expected,
    )
    return found._replace(kind=_kinds(found, np.sqrt(np.stack([aa, bb])), cfg))


def _kinds(found: Interactions, alone: NDArray, cfg: InteractionConfig) -> NDArray:
    """The first class that fits, in the order of the list."""
    smaller, larger = alone.min(axis=0), alone.max(axis=0)
    classes: Sequence[tuple[str, NDArray]] = (
        (ADDITIVE, found.relative <= cfg.additive_within),
        (SUPPRESSION, found.size < cfg.suppression_below * smaller),
        (NEOMORPHIC, found.fit < cfg.fit_below),
        (SYNERGY, found.scale > 1),
        (
            REDUNDANCY,
            (found.similarity > cfg.similar_above) & (found.size <= (1 + cfg.additive_within) * larger),
        ),
        (DOMINANCE, found.equality < cfg.equal_below),
    )
    return np.select([holds for _, holds in classes], [name for name, _ in classes], BUFFERING).astype(object)


def _regression(
    aa: NDArray, bb: NDArray, cross: NDArray, on_a: NDArray, on_b: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least squares of ab on a and b, row by row; shared equally where a and b are the same up to a factor."""
    determinant = aa * bb - cross**2
    independent = determinant > 1e-9 * aa * bb
    safe = np.where(independent, determinant, 1.0)
    c1, c2 = (bb * on_a - cross * on_b) / safe, (aa * on_b - cross * on_a) / safe
    # The shortest solution where there are many: along (|a|, sign |b|).
    square = aa + bb
    shared_a, shared_b = _over(aa * _over(on_a, aa), square), _over(bb * _over(on_b, bb), square)
    return np.where(independent, c1, shared_a), np.where(independent, c2, shared_b)


def _dot(x: NDArray, y: NDArray) -> NDArray[np.float64]:
    return np.einsum("pg,pg->p", x, y)


def _over(top: NDArray, bottom: NDArray, otherwise: NDArray | float = 0.0) -> NDArray[np.float64]:
    """A quotient, with what stands for it where there is nothing to divide by."""
    fallback = np.broadcast_to(np.asarray(otherwise, dtype=np.float64), bottom.shape).copy()
    return np.divide(top, bottom, out=fallback, where=bottom > 1e-24)
