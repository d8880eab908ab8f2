"""Tables of differential expression for scorers: given by the user, or kept from an earlier run on the same cells."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gnnvcell.errors import FileFormatError
from gnnvcell.files import atomic_path, require_file

COLUMNS = ("target", "feature", "log2_fold_change", "p_value", "fdr")
# pdex and cell-eval2 write the adjusted p value under another name.
_OTHER_NAMES = {"p_adj": "fdr", "q_value": "fdr"}


@dataclass(frozen=True)
class DETables:
    """Where a scorer finds tables of differential expression, and where it keeps that of the real cells.

    Args:
        real: a given table of the real cells (CSV or Parquet), used as it is.
        predicted: a given table of the predicted cells.
        cache: folder for tables of real cells, by the digest of what they were computed from.
    """

    real: Path | None = None
    predicted: Path | None = None
    cache: Path | None = None

    def real_table(self, key: str) -> pd.DataFrame | None:
        """The table of the real cells, given or kept under ``key``; None where it must be computed."""
        if self.real is not None:
            return read_de_table(self.real)
        kept = self._kept(key)
        return read_de_table(kept) if kept is not None and kept.exists() else None

    def predicted_table(self) -> pd.DataFrame | None:
        """The given table of the predicted cells."""
        return None if self.predicted is None else read_de_table(self.predicted)

    def keep(self, key: str, table: pd.DataFrame) -> None:
        """Keep a table of real cells under ``key`` for the next prediction."""
        kept = self._kept(key)
        if kept is None or self.real is not None:
            return
        with atomic_path(kept) as temporary:
            table.to_parquet(temporary, index=False)

    def _kept(self, key: str) -> Path | None:
        return None if self.cache is None else self.cache / f"de_real.{key[:16]}.parquet"


def read_de_table(path: str | Path) -> pd.DataFrame:
    """A table of differential expression: one row per perturbation and gene.

    Args:
        path: CSV (also gzipped) or Parquet with ``target``, ``feature``, ``log2_fold_change``, ``p_value`` and ``fdr``
            (or ``p_adj``), as pdex, cell-eval and this package write it.

    Raises:
        FileFormatError: missing, damaged or another format; a column is missing or a p value is none.
    """
    path = require_file(path)
    try:
        parquet = path.suffix.lower() in (".parquet", ".pq")
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, dtype={"target": "str", "feature": "str"})
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise FileFormatError(
            f"{path} is not a table", expected="CSV or Parquet", found=str(error).splitlines()[0]
        ) from error
    table = table.rename(columns={old: new for old, new in _OTHER_NAMES.items() if new not in table.columns})
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise FileFormatError(
            f"{path} is not a table of differential expression",
            expected=f"columns {', '.join(COLUMNS)}",
            found=", ".join(map(str, table.columns[:12])),
        )
    for name in ("p_value", "fdr"):
        values = table[name].to_numpy(dtype=np.float64)
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            raise FileFormatError(
                f"{path}: {int(bad.sum()):,} values of {name} are not between 0 and 1", found=str(values[bad][0])
            )
    return table.loc[:, list(COLUMNS)]
