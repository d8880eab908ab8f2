"""The folder of a training run: whose settings it holds, and whether a run may begin or go on in it."""

import json
from pathlib import Path
from typing import Any

from gnnvcell import __version__
from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.files import write_text
from gnnvcell.fitting.config import OF_THE_MACHINE
from gnnvcell.fitting.processes import is_first

RUN_FILE = "run.json"


def claim(folder: Path, settings: dict[str, Any], *, resume: bool) -> bool:
    """Write a run's settings into its folder; whether there is a run to go on with.

    A run that failed before its first checkpoint holds nothing, and another may begin in its place.

    Args:
        folder: of the run.
        settings: all of them, as plain values.
        resume: go on with the run that is there; where there is none yet, one begins.

    Raises:
        ConfigError: the folder holds something else, a run and ``resume`` was not asked for, or a run with other
            settings (the first that differs is named). Where a run is carried out may change, what comes out may not.
    """
    file = folder / RUN_FILE
    if not is_first():
        return resume
    if file.exists():
        begun = any(folder.rglob("last.ckpt"))
        if begun and not resume:
            raise ConfigError(f"{folder} holds a run already", remedy="add --resume, or give another folder")
        if begun or resume:
            _require_same(folder, _read(file), settings)
            return begun
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty, and holds no run", remedy="give another folder")
    write_text(file, json.dumps({"gnnvcell": __version__, "settings": settings}, indent=1) + "\n")
    return False


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise FileFormatError(f"{file} is damaged", found=str(error), remedy="begin the run anew elsewhere") from error


def _require_same(folder: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    before, after = _flat(was), _flat(now)
    for name in sorted(before.keys() | after.keys()):
        if name.startswith("fit.") and name.split(".")[1] in OF_THE_MACHINE:
            continue
        if before.get(name) != after.get(name):
            raise ConfigError(
                f"the run in {folder} was begun with other settings",
                expected=f"{name} = {before.get(name)}",
                found=f"{name} = {after.get(name)}",
                remedy="resume with the same settings, or give another folder",
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
