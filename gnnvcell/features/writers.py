"""Writing feature tables in the formats that embeddings are shared in, each with a note of how they were made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from gnnvcell.errors import FileFormatError, did_you_mean
from gnnvcell.features.feature_table import FeatureTable
from gnnvcell.files import atomic_path, write_text

EXTENSIONS = (".npz", ".pt", ".h5")


def check_extension(path: str | Path) -> Path:
    """The path, if ``write_features`` knows its extension; to be called before a long computation.

    Raises:
        FileFormatError: another extension.
    """
    path = Path(path)
    if path.suffix not in EXTENSIONS:
        raise FileFormatError(
            f"{path} has the unknown extension {path.suffix!r}",
            expected=" ".join(EXTENSIONS),
            remedy=did_you_mean(path.suffix, EXTENSIONS),
        )
    return path


def note_path(path: str | Path) -> Path:
    """Where the note beside a table is: the table's name with ``.json`` behind it."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def write_features(table: FeatureTable, path: str | Path, note: Mapping[str, Any] | None = None) -> Path:
    """Write a table, whole or not at all; ``read_features`` reads every format back. The format is the extension's.

    - ``.npz``: ``FeatureTable.save``: names, values, source, sha256.
    - ``.pt``: a dict of name to 1-D float32 tensor, as State and others read it.
    - ``.h5``: datasets ``names`` and ``values``, attributes ``source`` and ``sha256``.

    Args:
        table: the table.
        path: where to.
        note: plain values on how the table was made, written as JSON to ``note_path(path)``.

    Raises:
        FileFormatError: another extension.
    """
    path = check_extension(path)
    if path.suffix == ".npz":
        table.save(path)
    elif path.suffix == ".pt":
        # A row of its own for each tensor: a view would carry the whole table into the file.
        rows = zip(table.names.tolist(), table.values, strict=True)
        tensors = {name: torch.from_numpy(row.copy()) for name, row in rows}
        with atomic_path(path) as temporary:
            torch.save(tensors, temporary)
    else:
        _write_hdf5(table, path)
    if note is not None:
        write_text(note_path(path), json.dumps(dict(note), indent=1, ensure_ascii=False) + "\n")
    return path


def _write_hdf5(table: FeatureTable, path: Path) -> None:
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("names", data=table.names.tolist(), dtype=h5py.string_dtype())
        file.create_dataset("values", data=np.asarray(table.values))
        file.attrs["source"], file.attrs["sha256"] = table.source, table.sha256
