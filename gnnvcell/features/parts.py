"""Parts of a long computation, written as they are finished, so that an interrupted one goes on where it stopped."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.files import atomic_path, write_text

_RUN = "run.json"


class Parts:
    """Rows of a table that are finished, in a folder of npz files beside what the computation will write.

    Args:
        folder: where the parts are; made where it is not there.
        identity: plain values that the rows depend on; an older run of other values is refused.
        count: number of rows in all.
        width: of a row.

    Raises:
        ConfigError: the folder holds parts of another run, with the settings that differ.
        FileFormatError: a part or the record of the run is damaged.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], count: int, width: int) -> None:
        self.folder = folder
        self.values = np.zeros((count, width), dtype=np.float32)
        self.done = np.zeros(count, dtype=np.bool_)
        self._pending: list[int] = []
        self._number = 0
        # By way of JSON, so that what was kept and what is given compare as equal.
        given = json.loads(json.dumps(dict(identity)))
        if folder.exists() and any(folder.iterdir()):
            self._take_up(given)
        else:
            write_text(folder / _RUN, json.dumps(given, indent=1))

    def add(self, rows: list[int], values: NDArray[np.float32]) -> None:
        """Keep finished rows; ``flush`` writes them."""
        self.values[rows] = values
        self.done[rows] = True
        self._pending += rows

    def flush(self) -> None:
        """Write what was added since the last time as one part, whole or not at all."""
        if not self._pending:
            return
        rows = np.array(self._pending, dtype=np.int64)
        with atomic_path(self.folder / f"part_{self._number:06d}.npz") as temporary:
            np.savez(temporary, rows=rows, values=self.values[rows])
        self._number += 1
        self._pending = []

    def remove(self) -> None:
        """Delete the folder, once its content is kept elsewhere."""
        shutil.rmtree(self.folder)

    def _take_up(self, given: Mapping[str, Any]) -> None:
        known = self._read_run()
        differ = [key for key in {**known, **given} if known.get(key) != given.get(key)]
        if differ:
            raise ConfigError(
                f"{self.folder} holds parts of another run: {', '.join(differ)} differ",
                expected="; ".join(f"{key} {known.get(key)}" for key in differ),
                found="; ".join(f"{key} {given.get(key)}" for key in differ),
                remedy="go on with the settings of that run, or delete the folder to begin anew",
            )
        paths = sorted(self.folder.glob("part_*.npz"))
        for path in paths:
            self._read_part(path)
        self._number = 1 + int(paths[-1].stem.removeprefix("part_")) if paths else 0

    def _read_run(self) -> dict[str, Any]:
        path = self.folder / _RUN
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise FileFormatError(
                f"{self.folder} is there, but is no folder of an interrupted run",
                expected=_RUN,
                found=str(error),
                remedy="delete the folder, or write to another place",
            ) from error

    def _read_part(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                rows, values = archive["rows"], archive["values"]
            self.values[rows] = values
            self.done[rows] = True
        except Exception as error:  # numpy and zipfile raise many kinds, all of which mean the same here
            raise FileFormatError(
                f"{path} is damaged", found=str(error), remedy="delete this part; its rows are computed again"
            ) from error
