"""Scores in strata of perturbations: strong and weak effects, many and few measured neighbours in the graph."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError

SUPPORT_EDGES = (1.0, 20.0, 80.0)  # none, few, some, many measured graph neighbours


def quantile_edges(values: NDArray, strata: int = 4) -> NDArray[np.float64]:
    """Inner edges between quantiles, fewer than ``strata - 1`` where values repeat; for effect sizes."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if strata < 1:
        raise ConfigError("scores cannot be put into strata", expected="at least one", found=str(strata))
    return np.unique(np.quantile(finite, np.linspace(0, 1, strata + 1)[1:-1])) if len(finite) else np.zeros(0)


def by_strata(scores: pd.DataFrame, along: NDArray, edges: Sequence[float] | NDArray) -> pd.DataFrame:
    """Mean scores of the perturbations between neighbouring edges.

    Args:
        scores: a row per perturbation, a column per metric.
        along: (perturbations,) what they differ in, such as effect size or graph support; NaN is in no stratum.
        edges: inner edges, rising; a stratum holds its lower edge and not its upper one.

    Returns:
        A row per stratum that has perturbations: ``from``, ``to`` (the smallest and largest value in it),
        ``perturbations`` (how many), and the mean of each metric where it is defined.

    Raises:
        ConfigError: edges do not rise.
    """
    along, edges = np.asarray(along, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    if (np.diff(edges) <= 0).any():
        raise ConfigError("edges of strata must rise", found=str(edges.tolist()))
    rows = []
    for low, high in pairwise([-np.inf, *edges.tolist(), np.inf]):
        inside = (along >= low) & ((along < high) | np.isposinf(along) & (high == np.inf))
        if inside.any():
            bounds = {"from": along[inside].min(), "to": along[inside].max(), "perturbations": int(inside.sum())}
            rows.append({**bounds, **{name: column[inside].mean() for name, column in scores.items()}})
    return pd.DataFrame(rows)
