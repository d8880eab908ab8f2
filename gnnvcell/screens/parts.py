"""Parts: tables of a long screen that are kept as they are made, so that it goes on where it stopped."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.config import digest_of
from gnnvcell.files import write_text


class Parts:
    """Finished parts in a folder, each under the digest of all that it depends on.

    Args:
        folder: where they are kept; None keeps nothing.
        key: what all parts depend on: the model's identity, the goal, the settings.

    Example:
        >>> parts = Parts(None, {"model": "knn"})
        >>> parts.get(["TP53"]) is None
        True
    """

    def __init__(self, folder: str | Path | None, key: Any) -> None:
        self._folder, self._key = None if folder is None else Path(folder), key

    def _path(self, names: Sequence[Any]) -> Path | None:
        return None if self._folder is None else self._folder / f"{digest_of([self._key, list(names)])[:32]}.csv"

    def get(self, names: Sequence[Any]) -> pd.DataFrame | None:
        """The finished part of these names, or None."""
        path = self._path(names)
        return None if path is None or not path.is_file() else _read(path)

    def put(self, names: Sequence[Any], table: pd.DataFrame) -> pd.DataFrame:
        """Keep a part, and return it as it will be read again."""
        path = self._path(names)
        if path is None:
            return table
        text = table.to_csv(index=False, float_format="%.17g")
        write_text(path, text)
        return _read(io.StringIO(text))


def _read(source: Any) -> pd.DataFrame:
    """A part, all numbers as floats, and no gene called NA or null lost."""
    table = pd.read_csv(source, keep_default_na=False, na_values=[""])
    return table.astype({name: np.float64 for name in table.columns if table[name].dtype == np.int64})


def identity_of(array: np.ndarray | None) -> str:
    """Digest of an array, as a part of a key."""
    return "" if array is None else digest_of(np.asarray(array, dtype=np.float64).tolist())
