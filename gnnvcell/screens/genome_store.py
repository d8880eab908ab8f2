"""GenomeStore: a zarr store of predictions that is filled chunk by chunk, and that says which chunks it has."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import ConfigError, DataError, FileFormatError
from gnnvcell.files import atomic_folder
from gnnvcell.models.base import Prediction

_GENES_AT_ONCE = 2048  # columns of a chunk on disk, so that the column of one gene can be read
_PART, _DONE, _HEAD = f"uns/{keys.GENOME_SCREEN}", "done", "head"
_ROOM = 1.02  # of the values' size: names, support and the folders of the chunks


class GenomeStore:
    """An AnnData zarr store (format 2): obs the perturbations with their support, var the genes, X the effects.

    Values that are not there yet are NaN. A chunk counts as done when its mark is written, which is after all of its
    values; each file of the store is replaced whole. So a process that is killed loses the chunk it was working on.

    Args:
        path: the folder.

    Raises:
        FileFormatError: the folder holds something other than a genome screen.
    """

    def __init__(self, path: str | Path) -> None:
        import zarr

        self.path = Path(path)
        self.group = zarr.open_group(str(self.path), mode="r+", zarr_format=2)
        if _PART not in self.group:
            raise FileFormatError(f"{self.path} is a zarr store, and no genome screen", remedy="choose another name")
        self.head: dict[str, Any] = json.loads(str(ad.io.read_elem(self.group[f"{_PART}/{_HEAD}"])))
        self.rows = int(self.head["rows"])
        self.genes: NDArray = np.asarray(ad.io.read_elem(self.group["var"]).index, dtype=str)  # type: ignore[union-attr]

    @classmethod
    def create(
        cls, path: Path, perturbations: NDArray, genes: NDArray, head: Mapping[str, Any]
    ) -> "GenomeStore":
        """Make a store without values; it appears whole.

        Args:
            path: the folder.
            perturbations: (perturbations,) names.
            genes: (genes,) names.
            head: what the screen is made with; "rows", "dtype" and "spread" shape the store.

        Raises:
            ConfigError: the disk has too little room for all values.
        """
        import zarr

        shape, layers = (len(perturbations), len(genes)), 2 if head["spread"] else 1
        _require_room(path, shape, np.dtype(head["dtype"]), layers=layers)
        chunks = (min(head["rows"], shape[0]), min(_GENES_AT_ONCE, shape[1]))
        with atomic_folder(path) as folder:
            group = zarr.open_group(str(folder), mode="w", zarr_format=2)
            group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            for part in ("layers", "obsm", "varm", "obsp", "varp"):
                group.create_group(part).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
            ad.io.write_elem(group, "obs", pd.DataFrame({keys.SUPPORT: np.zeros(shape[0])}, index=perturbations))
            ad.io.write_elem(group, "var", pd.DataFrame(index=genes))
            ad.io.write_elem(group, "uns", {keys.GENOME_SCREEN: {_HEAD: json.dumps(dict(head), indent=1)}})
            del group[f"obs/{keys.SUPPORT}"]  # once more, in the chunks of the screen
            _empty(group, f"obs/{keys.SUPPORT}", shape[:1], chunks[:1], "float32", fill=np.nan)
            for name in ("X", f"layers/{keys.SPREAD}")[:layers]:
                _empty(group, name, shape, chunks, head["dtype"], fill=np.nan)
            _empty(group, f"{_PART}/{_DONE}", (-(-shape[0] // chunks[0]),), (1,), "uint8", fill=0.0)
        return cls(path)

    def require(self, wanted: Mapping[str, Any]) -> None:
        """Refuse to go on with a store that was begun otherwise.

        Raises:
            DataError: with the first thing that differs.
        """
        for name, value in wanted.items():
            if self.head.get(name) != value:
                raise DataError(
                    f"{self.path} was begun with other {name}",
                    expected=str(self.head.get(name)),
                    found=str(value),
                    remedy="go on as it was begun, or choose another name for the screen",
                )

    @property
    def done(self) -> NDArray[np.bool_]:
        """(chunks,) whether a chunk is there."""
        return np.asarray(self.group[f"{_PART}/{_DONE}"][:], dtype=bool)  # type: ignore[index]

    @property
    def complete(self) -> bool:
        """Whether every chunk is there."""
        return bool(self.done.all())

    def rows_of(self, chunk: int) -> slice:
        """Perturbations of a chunk."""
        return slice(chunk * self.rows, min((chunk + 1) * self.rows, self.group["X"].shape[0]))  # type: ignore[union-attr]

    def values(self, rows: slice) -> NDArray[np.float32]:
        """(rows, genes) effects; NaN where they are not there yet."""
        return np.asarray(self.group["X"][rows], dtype=np.float32)  # type: ignore[index]

    def write(self, chunk: int, found: Prediction) -> None:
        """Write a chunk, then its mark.

        Raises:
            DataError: the prediction is of other genes than the store.
            OSError: it cannot be written, for example because the disk is full; chunks that are done stay.
        """
        if not np.array_equal(self.genes, found.genes.astype(str)):
            raise DataError(
                "the model predicts other genes than the screen was begun with",
                expected=f"{len(self.genes):,} genes, {', '.join(self.genes[:3])} ...",
                found=f"{len(found.genes):,} genes, {', '.join(map(str, found.genes[:3]))} ...",
            )
        rows = self.rows_of(chunk)
        with _full_disk(self.path):
            self.group["X"][rows] = found.values  # type: ignore[index]
            if f"layers/{keys.SPREAD}" in self.group:
                self.group[f"layers/{keys.SPREAD}"][rows] = found.spread  # type: ignore[index]
            self.group[f"obs/{keys.SUPPORT}"][rows] = found.support  # type: ignore[index]
            self.group[f"{_PART}/{_DONE}"][chunk] = 1  # type: ignore[index]


def _empty(
    group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, *, fill: float
) -> None:
    # Predictions are close to random numbers: compressing them takes longer than writing them.
    array = group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, compressors=None)
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def _require_room(path: Path, shape: tuple[int, int], dtype: np.dtype, *, layers: int) -> None:
    needed = int(shape[0] * shape[1] * dtype.itemsize * layers * _ROOM)
    parent = next(folder for folder in path.resolve().parents if folder.is_dir())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise ConfigError(
            f"the screen does not fit on the disk of {parent}",
            expected=f"{needed / 2**30:.1f} GiB for {shape[0]:,} perturbations x {shape[1]:,} genes of {dtype}",
            found=f"{free / 2**30:.1f} GiB free",
            remedy="make room, choose another disk, or store float16",
        )


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} could not be written: {error.strerror or error}; chunks that are done stay, and the same command "
            "goes on behind them"
        ) from error
