"""Windows over long proteins, because a protein language model reads a limited number of residues at once."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError


def windows(length: int, max_length: int, overlap: int) -> list[tuple[int, int]]:
    """Start and stop of the windows over a protein, from its first residue to its last.

    One window where the protein fits. Otherwise every window is ``max_length`` long and begins ``max_length - overlap``
    after the one before; the last ends with the protein, so that it overlaps by ``overlap`` or more.

    Args:
        length: residues of the protein, at least 1.
        max_length: most residues of a window.
        overlap: residues that neighbouring windows share at least, below ``max_length``.

    Raises:
        ConfigError: an overlap that leaves no step forward.

    Example:
        >>> windows(10, 5, 2)
        [(0, 5), (3, 8), (5, 10)]
    """
    if not 0 <= overlap < max_length:
        raise ConfigError(
            f"windows of {max_length} residues cannot overlap by {overlap}", expected=f"0 to {max_length - 1}"
        )
    if length <= max_length:
        return [(0, length)]
    starts = [*range(0, length - max_length, max_length - overlap), length - max_length]
    return [(start, start + max_length) for start in starts]


def residue_weights(length: int, spans: list[tuple[int, int]]) -> NDArray[np.float64]:
    """(length,) weight of each residue within each window: one over the number of windows that hold it.

    So a residue in an overlap counts as one residue, with the average of its embeddings.
    """
    held = np.zeros(length, dtype=np.int64)
    for start, stop in spans:
        held[start:stop] += 1
    return 1.0 / held
