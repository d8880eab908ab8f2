"""How much each perturbation does: the norm of its effect on all measured genes."""

import numpy as np

from gnnvcell.data.cells import Cells
from gnnvcell.data.pseudobulk import Matching, cell_effects


def effect_sizes(cells: Cells, *, matching: Matching = "batch", progress: bool = False) -> dict[tuple[str, str], float]:
    """(cell type, perturbation) to the Euclidean norm of its change of mean log1p expression (natural log units).

    The change is that of ``cell_effects``, without the perturbed genes themselves. Norms of few cells are raised by
    noise, so a rank by this size is also a rank by numbers of cells where those differ much.

    Args:
        cells: counts or log1p values.
        matching: "batch" or "context", as in ``cell_effects``.
        progress: a bar on stderr.

    Raises:
        ConfigError, DataError: as ``cell_effects``.
    """
    effects = cell_effects(cells, matching=matching, progress=progress)
    norms = np.linalg.norm(effects.values.astype(np.float64), axis=1)
    rows = zip(effects.contexts.tolist(), effects.perturbations.tolist(), norms.tolist(), strict=True)
    return {(context, name): norm for context, name, norm in rows}
