"""Differential expression kept on disk: the same cells are not tested twice."""

import hashlib
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.data.differential import DifferentialExpression, differential_expression
from gnnvcell.data.expression import Assume
from gnnvcell.errors import FileFormatError

_FORMAT = "differential expression 1"  # part of the digest: raise it when results change


class DifferentialConfig(Config):
    """What the results of ``differential_expression`` depend on beside the cells; see there."""

    perturbation_key: str = keys.TARGET_GENE
    control: str = keys.NON_TARGETING
    batch_key: str | None = keys.BATCH
    context_key: str | None = None
    min_cells: int = 3
    assume: Assume = "counts"


def cells_digest(cells: ad.AnnData, config: DifferentialConfig) -> str:
    """Hex SHA-256 of the cells' values, the columns that are used, the names of genes, and the settings.

    A sparse matrix is digested by its arrays: the same values stored dense, or in another order, have another digest.
    """
    digest = hashlib.sha256(f"{_FORMAT} {config.digest()}".encode())
    matrix: Any = cells.X
    for array in (matrix.indptr, matrix.indices, matrix.data) if sp.issparse(matrix) else (np.asarray(matrix),):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    columns = [key for key in (config.perturbation_key, config.batch_key, config.context_key) if key in cells.obs]
    for names in (cells.var_names, *(cells.obs[key] for key in columns)):
        digest.update("\0".join([*names.astype(str), "\n"]).encode())
    return digest.hexdigest()


def cached_differential_expression(
    cells: ad.AnnData, folder: str | Path, config: DifferentialConfig | None = None, *, threads: int | None = None
) -> DifferentialExpression:
    """What ``differential_expression`` gives, read from the folder where it was kept, else computed and kept.

    Files are named by the digest of cells and settings. One that is damaged is computed again.

    Args:
        cells: (cells, genes), as for ``differential_expression``.
        folder: of the files; made where it is missing.
        config: settings.
        threads: all that this process may use when left out.

    Raises:
        DataError: as ``differential_expression``.
    """
    config = config or DifferentialConfig()
    digest = cells_digest(cells, config)
    path = Path(folder) / f"de-{digest[:16]}.npz"
    if path.exists():
        try:
            return DifferentialExpression.load(path, digest=digest)
        except FileFormatError:
            path.unlink()
    found = differential_expression(cells, **config.model_dump(), threads=threads)
    found.save(path, digest=digest)
    return found
