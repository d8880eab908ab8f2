"""Finished runs on disk, one JSON each, so that a killed benchmark goes on where it stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnnvcell.files import write_text


class RunStore:
    """Runs by key; in memory only when no folder is given.

    Args:
        folder: where ``<key>.json`` files are, or None.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._runs: dict[str, dict[str, Any]] = {}

    def get_or_run(self, key: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The finished run of that key, from memory or disk; otherwise do it and keep it.

        A file that cannot be read (a disk error, an edit by hand) is done again and replaced.
        """
        if key not in self._runs:
            stored = self._read(key)
            if stored is None:
                stored = run()
                if self._folder is not None:
                    write_text(self._folder / f"{key}.json", json.dumps(stored, indent=1))
            self._runs[key] = stored
        return self._runs[key]

    def _read(self, key: str) -> dict[str, Any] | None:
        path = self._folder / f"{key}.json" if self._folder is not None else None
        if path is None or not path.exists():
            return None
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError):
            return None
        return stored if {"metrics", "seconds"} <= stored.keys() else None
