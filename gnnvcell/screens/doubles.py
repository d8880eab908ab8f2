"""Pairs that look best when effects add up: what the model itself is then asked about."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.perturbation import Perturbation
from gnnvcell.screens.gallery import own_targets, pair_name
from gnnvcell.screens.wanted import Measure, Wanted

_ROWS_AT_ONCE = 512


def best_pairs(
    effects: NDArray,
    names: Sequence[str],
    wanted: Wanted,
    centre: NDArray | None,
    measure: Measure,
    count: int,
    *,
    known: Sequence[str] = (),
) -> pd.DataFrame:
    """The pairs of a list whose summed effects come nearest to a goal, out of all that have a name.

    All pairs are scored from the Gram matrix of the effects, so that n singles cost n^2 numbers and not n^2 effects:
    ``<y_i + y_j, g> = <y_i, g> + <y_j, g>``, ``|y_i + y_j|^2 = |y_i|^2 + |y_j|^2 + 2 <y_i, y_j>``. A single's effect on
    its own target counts as 0.

    Args:
        effects: (perturbations, wanted genes) predicted effects of the singles.
        names: (perturbations,) their names.
        wanted: the goal.
        centre: (wanted genes,) taken off each pair once; None for nothing.
        measure: as of ``TargetConfig``.
        count: number of pairs wanted.
        known: combinations that are scored already, and are not wanted again.

    Returns:
        ``perturbation`` (the pair's name) and ``additive_score``, best first; at most ``count`` rows.
    """
    if len(names) < 2:
        return pd.DataFrame({"perturbation": [], "additive_score": []})
    y = np.asarray(effects, dtype=np.float64).copy()
    y[own_targets(names, wanted.genes)] = 0.0
    # Taken off half by half, the sum of two is short of it once.
    y -= 0.0 if centre is None else centre / 2
    g, w = wanted.change, wanted.weight
    if measure == "pearson":
        y, g = y - (y @ w / w.sum())[:, None], g - g @ w / w.sum()
    y, g = y * np.sqrt(w), g * np.sqrt(w)
    along, own, length = y @ g, (y * y).sum(axis=1), float(np.sqrt(g @ g))
    best: list[tuple[float, int, int]] = []
    for start in range(0, len(y), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(y)))
        square = np.maximum(own[rows, None] + own + 2 * y[rows] @ y.T, 0.0)
        score = _score(along[rows, None] + along, square, length, measure)
        score[np.arange(len(y)) <= rows[:, None]] = -np.inf  # each pair once
        best += _largest(score, rows, 4 * count)
        best = sorted(best, key=lambda one: -one[0])[: 4 * count]
    found, there = [], {Perturbation.parse(name) for name in known}
    for score, i, j in best:
        name = pair_name(*sorted((names[i], names[j])))
        if name is not None and Perturbation.parse(name) not in there and len(found) < count:
            found.append((name, score))
    return pd.DataFrame(found, columns=pd.Index(["perturbation", "additive_score"]))


def _score(along: NDArray, square: NDArray, length: float, measure: Measure) -> NDArray[np.float64]:
    if measure == "distance":
        return 1 - np.sqrt(np.maximum(length**2 - 2 * along + square, 0.0)) / length
    norm = np.sqrt(square) * length
    return np.divide(along, norm, out=np.zeros_like(norm), where=norm > 1e-12)


def _largest(score: NDArray, rows: NDArray, count: int) -> list[tuple[float, int, int]]:
    flat = score.ravel()
    at = np.argpartition(-flat, min(count, len(flat) - 1))[:count]
    at = at[np.isfinite(flat[at])]
    return [(float(flat[k]), int(rows[k // score.shape[1]]), int(k % score.shape[1])) for k in at]
