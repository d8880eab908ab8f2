"""Finished runs on disk, one JSON each, so that a killed benchmark goes on where it stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnnvcell.errors import MissingFileError
from gnnvcell.files import write_text


class RunStore:
    """Runs by key; in memory only when no folder is given.

    Args:
        folder: where ``<key>.json`` files are, or None.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._runs: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        """The finished run of that key; None where there is none, or its file cannot be read (a disk error, an edit by
        hand): it is to be done again.
        """
        if self._folder is None:
            return self._runs.get(key)
        try:
            stored = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return None
        return stored if isinstance(stored, dict) and {"metrics", "seconds"} <= stored.keys() else None

    def put(self, key: str, run: dict[str, Any]) -> dict[str, Any]:
        """Keep a finished run, whole or not at all, and return it."""
        if self._folder is None:
            self._runs[key] = run
        else:
            write_text(self._folder / f"{key}.json", json.dumps(run, indent=1))
        return run

    def require(self, key: str) -> dict[str, Any]:
        """The finished run of that key.

        Raises:
            MissingFileError: there is none, or not any more.
        """
        run = self.get(key)
        if run is None:
            raise MissingFileError(f"the run {key} is not there", remedy="start the benchmark again")
        return run

    def get_or_run(self, key: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The finished run of that key; otherwise do it and keep it."""
        stored = self.get(key)
        return self.put(key, run()) if stored is None else stored
