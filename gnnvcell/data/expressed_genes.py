"""The most expressed genes, by their mean over cells."""

import numpy as np
from numpy.typing import NDArray


def most_expressed(means: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Which genes have the highest means; of equal ones the first. All where there are no more than ``count``.

    Args:
        means: (genes,) mean expression, such as ``Moments.of_linear()[0]``: of counts scaled to 10,000 a cell.
        count: how many; bio-JEPA takes 4,096 (v0.2), 5,000 and 8,192 (v0.3).

    Example:
        >>> most_expressed(np.array([3.0, 1.0, 3.0, 2.0]), 2).tolist()
        [True, False, True, False]
    """
    chosen = np.zeros(len(means), dtype=bool)
    chosen[np.argsort(-np.asarray(means), kind="stable")[:count]] = True
    return chosen
