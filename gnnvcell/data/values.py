"""What the values of an expression matrix are, judged from a sample of them."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

# log1p of a hundred million counts per ten thousand: no log-normalised value is beyond.
LARGEST_LOG1P = 15.0


class ValueKind(StrEnum):
    """What the entries of a matrix of expression are."""

    COUNTS = "counts"  # whole numbers >= 0, of integer or float type
    LOG1P = "log1p"  # log1p of normalised counts, natural log units
    NORMALISED = "normalised"  # finite and >= 0, neither whole nor small enough to be logarithms
    UNKNOWN = "unknown"  # negative, NaN or infinite values among them (z-scores, residuals), or nothing but zeros


def value_kind(values: NDArray) -> ValueKind:
    """Judge the non-zero values of some cells.

    Args:
        values: any shape; the non-zero entries of a sample of cells (zeros do no harm and tell nothing).

    Returns:
        The kind. Values between 0 and 15 that are not all whole count as log1p.
    """
    flat = np.asarray(values).ravel()
    flat = flat[flat != 0]
    if not len(flat) or not np.isfinite(flat).all() or (flat < 0).any():
        return ValueKind.UNKNOWN
    if flat.dtype.kind in "iub" or (flat == np.floor(flat)).all():
        return ValueKind.COUNTS
    return ValueKind.LOG1P if flat.max() <= LARGEST_LOG1P else ValueKind.NORMALISED
