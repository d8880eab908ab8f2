"""History: the metrics of a run as a table, one row for each step that was logged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers.logger import Logger

from gnnvcell.files import atomic_path

STEP = "step"


class History(Logger):
    """Metrics in memory and, where there is a path, in a CSV file that is always whole.

    Args:
        path: the file; None for none.
        until: where a run is resumed, its step: later rows of the file are dropped, since they come again.
    """

    def __init__(self, path: Path | None, until: int | None = None) -> None:
        super().__init__()
        self._path = path
        self._rows: dict[int, dict[str, float]] = {}
        if path is not None and until is not None and path.exists():
            for row in pd.read_csv(path).to_dict("records"):
                step = int(row.pop(STEP))
                if step <= until:
                    self._rows[step] = {str(name): float(value) for name, value in row.items() if pd.notna(value)}

    @property
    def name(self) -> str:
        """Of the logger."""
        return "history"

    @property
    def version(self) -> str:
        """None: a run has one history."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Settings are in the run's configuration."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add metrics of a step."""
        self._rows.setdefault(int(step or 0), {}).update({name: float(value) for name, value in metrics.items()})

    def table(self) -> pd.DataFrame:
        """One row per step, ascending; a column per metric, NaN where it was not logged."""
        rows = [{STEP: step, **values} for step, values in sorted(self._rows.items())]
        return pd.DataFrame(rows) if rows else pd.DataFrame({STEP: pd.Series(dtype=int)})

    def save(self) -> None:
        """Write the file, which is the first process's."""
        if self._path is not None and rank_zero_only.rank == 0:
            with atomic_path(self._path) as temporary:
                self.table().to_csv(temporary, index=False)

    def finalize(self, status: str) -> None:
        """Write what there is."""
        self.save()
