"""CellEmbeddings: the arrays of obsm, read when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cell_file import open_store
from gnnvcell.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class CellEmbeddings:
    """Embeddings of cells, by the name they have in ``obsm``.

    Args:
        source: arrays by name, or the file that has them.
        rows: (cells,) rows of the source; all when left out.
    """

    source: Mapping[str, Any] | Path
    rows: NDArray[np.int64] | None = None

    def take(self, rows: NDArray[np.int64]) -> "CellEmbeddings":
        """Those of some of the cells."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def get(self, name: str) -> NDArray[np.float32]:
        """(cells, d) float32 of one name.

        Raises:
            DataError: there is none of that name (with the nearest), it is not a table of numbers, or has NaN.
            FileFormatError: the file is missing or damaged.
        """
        whole = self._whole(name)
        values = np.asarray(whole if self.rows is None else whole[self.rows])
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise DataError(
                f"obsm[{name!r}] is no table of numbers", expected="(cells, d)", found=f"{values.dtype} {values.shape}"
            )
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).any(axis=1).sum())
            raise DataError(f"obsm[{name!r}] is NaN or infinite for {bad:,} cells", remedy="embed these cells again")
        return values

    def _whole(self, name: str) -> Any:
        if not isinstance(self.source, Path):
            return self._found(self.source, name)
        store, _ = open_store(self.source)
        found = ad.io.read_elem(self._found(store.get("obsm", {}), name))
        if hasattr(store, "close"):
            store.close()
        return found

    def _found(self, names: Mapping[str, Any], name: str) -> Any:
        if name not in names:
            where = self.source if isinstance(self.source, Path) else "the AnnData"
            raise DataError(
                f"{where} has no obsm[{name!r}]",
                remedy=f"{did_you_mean(name, list(names))}; cells are embedded by: gnnvcell embed transform",
            )
        return names[name]
