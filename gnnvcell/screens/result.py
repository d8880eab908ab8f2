"""ScreenResult: what a screen found, its tables and where they come from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import __version__
from gnnvcell.errors import DataError
from gnnvcell.files import atomic_folder

TABLE, PROVENANCE = "table.csv", "provenance.json"


@dataclass(eq=False)
class ScreenResult:
    """Tables of a screen.

    Args:
        kind: of the screen: "target", "combo", "safety".
        table: the ranking, best first.
        abstained: candidates that the model has no support for, and why; they are not ranked.
        provenance: what was asked, of what model, with what settings.
        more: further tables by name.
    """

    kind: str
    table: pd.DataFrame
    abstained: pd.DataFrame
    provenance: dict[str, Any]
    more: dict[str, pd.DataFrame] = field(default_factory=dict)

    def save(self, path: str | Path, *, extras: Mapping[str, Any] | None = None) -> Path:
        """Write ``table.csv``, ``abstained.csv``, a CSV for each further table, and ``provenance.json`` into a folder.

        Args:
            path: the folder; an earlier screen in it is replaced whole.
            extras: added to the provenance, such as the command.

        Raises:
            DataError: the folder holds something that is not a screen.
        """
        folder = Path(path)
        if folder.exists() and not (folder / PROVENANCE).is_file() and (folder.is_file() or any(folder.iterdir())):
            raise DataError(f"{folder} is there and is not a screen", remedy="choose another folder")
        tables = {"table": self.table, "abstained": self.abstained, **self.more}
        about = {"screen": self.kind, "gnnvcell": __version__, **self.provenance, **(extras or {})}
        with atomic_folder(folder) as temporary:
            for name, frame in tables.items():
                frame.to_csv(temporary / f"{name}.csv", index=False, float_format="%.6g")
            (temporary / PROVENANCE).write_text(json.dumps(about, indent=1, default=str) + "\n", encoding="utf-8")
        return folder


def abstained_table(names: Sequence[str] | NDArray, support: NDArray, above: float) -> pd.DataFrame:
    """Those of some perturbations whose support is not above a threshold, with the reason."""
    silent = ~(np.asarray(support) > above)
    reason = "no support: nothing was measured near it" if above <= 0 else f"support is not above {above:g}"
    found = np.asarray(names, dtype=object)[silent]
    return pd.DataFrame({"perturbation": found, "support": np.asarray(support)[silent], "reason": reason})


def best_first(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows by falling values of a column, NaN last, ties as they were, with ``rank`` from 1 as the first column."""
    values = np.nan_to_num(table[column].to_numpy(dtype=np.float64), nan=-np.inf)
    ordered = table.iloc[np.argsort(-values, kind="stable")].reset_index(drop=True)
    ordered.insert(0, "rank", np.arange(1, len(ordered) + 1))
    return ordered
