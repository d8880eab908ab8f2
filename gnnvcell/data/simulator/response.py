"""What a knock-down does: the steady state of a saturating system over the true regulation."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError

_TOLERANCE = 1e-9
_MAX_ROUNDS = 1000


def steady_state(
    regulation: sp.csr_array,
    targets: NDArray[np.int64],
    residual: NDArray[np.float64],
    *,
    saturation: float,
) -> NDArray[np.float64]:
    """Log fold changes of every gene under each knock-down.

    The fixed point of ``x_g = s * tanh(sum_r W[r, g] x_r / s)`` with the target held at ``log(residual)``: each gene
    follows its regulators, and no gene that was not knocked down changes by more than ``s``. It exists and is unique
    when the spectral radius of ``|W|`` is below 1, because tanh is 1-Lipschitz.

    Args:
        regulation: (genes, genes) signed weights; row = regulator.
        targets: (knock-downs,) index of the gene that is knocked down.
        residual: (knock-downs,) expression left of it, in (0, 1).
        saturation: ``s``, natural log units.

    Returns:
        (knock-downs, genes) natural log fold changes against control.

    Raises:
        ConfigError: the iteration does not settle (the regulation amplifies itself).
    """
    rows = np.arange(len(targets))
    held = np.log(residual)
    state = np.zeros((len(targets), len(regulation.indptr) - 1))
    state[rows, targets] = held
    for _ in range(_MAX_ROUNDS):
        following = saturation * np.tanh((state @ regulation) / saturation)
        following[rows, targets] = held
        moved = float(np.abs(following - state).max())
        state = following
        if moved < _TOLERANCE:
            return state
    raise ConfigError(
        f"the knock-downs have no steady state after {_MAX_ROUNDS} rounds",
        found=f"the last round still moved by {moved:.2g}",
        remedy="lower `gain` below 1",
    )
