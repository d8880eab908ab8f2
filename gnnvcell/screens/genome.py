"""screen_genome: every perturbation of a long list, all outputs, streamed to disk and resumable."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell.config import Config, digest_of
from gnnvcell.errors import ConfigError, DataError, FileFormatError, ModelError
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.perturbation import Perturbation
from gnnvcell.screens.genome_store import GenomeStore

SUFFIX = ".zarr"
# A stored row is predicted once more before a screen goes on; it may differ by rounding, and by this much.
_SAME, _SAME_HALF = 1e-4, 2e-3


class GenomeConfig(Config):
    """Settings of a genome screen.

    Args:
        rows: perturbations that are predicted and written together; what is lost by a kill.
        dtype: of the stored values. "float32" keeps the prediction as it is; "float16" takes half the room and rounds
            to 3 significant digits (values below 6e-8 become 0).
        spread: also store the standard deviation of the error, where the model gives one.
    """

    rows: int = Field(default=256, ge=1)
    dtype: Literal["float32", "float16"] = "float32"
    spread: bool = False


def screen_genome(
    model: EffectPredictor,
    path: str | Path,
    perturbations: Sequence[str] | NDArray,
    *,
    context: Any = None,
    config: GenomeConfig | None = None,
    identity: Mapping[str, str] | None = None,
    progress: bool = False,
) -> Path:
    """Predict all perturbations and stream them to a zarr store that ``anndata.read_zarr`` opens.

    obs are the perturbations with their ``support``, var the genes, X the predicted effects (float, chunked), the layer
    ``spread`` the standard deviation of the error where it is asked for. Memory does not grow with the number of
    perturbations. A screen that was interrupted goes on where it stopped, and a complete one is left as it is; before
    that a stored perturbation is predicted once more, and a model that predicts otherwise is refused.

    Args:
        model: anything that predicts effects.
        path: the store, a name ending in ``.zarr``.
        perturbations: names, each once; for a knock-down of every gene those of ``graph.vocab.symbols``.
        context: the cell type, as of the model's ``predict``.
        config: settings.
        identity: what the model is, such as digests of its folder, data and graph; a store of another is refused.
        progress: a bar on stderr.

    Raises:
        ConfigError: no perturbation, one twice, a name that does not end in .zarr, or too little room on the disk.
        PerturbationError: a name that cannot be parsed.
        FileFormatError: the path holds something else than a genome screen.
        DataError: the store was begun with other settings, perturbations, genes or another model.
        ModelError: spread is asked for and the model has none.
        OSError: it cannot be written.

    Example:
        >>> screen_genome(model, "screen.zarr", graph.vocab.symbols)  # doctest: +SKIP
        >>> anndata.read_zarr("screen.zarr").shape  # doctest: +SKIP
        (19790, 8000)
    """
    config, path = config or GenomeConfig(), Path(path)
    names = _checked(perturbations)
    _check_path(path)
    store, first = _opened(model, path, names, context, config, dict(identity or {}))
    done = store.done
    bar = tqdm(
        total=len(names), initial=_rows_done(store, done), desc="genome screen", unit="pert", disable=not progress
    )
    with bar:
        for chunk in np.flatnonzero(~done).tolist():
            rows = store.rows_of(chunk)
            found = first if chunk == 0 and first is not None else _predicted(model, names[rows], context, config)
            store.write(chunk, found)
            bar.update(rows.stop - rows.start)
    return path


def _opened(
    model: EffectPredictor, path: Path, names: NDArray, context: Any, config: GenomeConfig, identity: dict[str, str]
) -> tuple[GenomeStore, Prediction | None]:
    """The store, new or begun; of a new one also the prediction of the first chunk, which says what the genes are."""
    head = {
        **config.model_dump(mode="json"),
        "perturbations": digest_of(names.tolist()),
        "model": ", ".join(f"{name} {value}" for name, value in identity.items()),
    }
    if path.exists():
        store = GenomeStore(path)
        store.require(head)
        begun = np.flatnonzero(store.done)
        row = store.rows_of(int(begun[0]) if len(begun) else 0).start
        probe = _predicted(model, names[row : row + 1], context, config)
        store.require({"context": probe.context})
        if len(begun):
            _require_same(store, row, probe)
        return store, None
    first = _predicted(model, names[: config.rows], context, config)
    head["context"] = first.context
    return GenomeStore.create(path, names, first.genes.astype(str), head), first


def _require_same(store: GenomeStore, row: int, probe: Prediction) -> None:
    stored = store.values(slice(row, row + 1))
    if stored.shape == probe.values.shape:
        largest = float(np.abs(probe.values).max(initial=0)) or 1.0
        error = float(np.abs(stored - probe.values).max(initial=0)) / largest
        if error <= (_SAME if store.head["dtype"] == "float32" else _SAME_HALF):
            return
        found = f"values that differ by up to {error:.2g} of the largest"
    else:
        found = f"{probe.values.shape[1]:,} genes"
    raise DataError(
        f"the model predicts {probe.perturbations[0]} otherwise than the one that {store.path} was begun with",
        expected=f"the {stored.shape[1]:,} values that are stored",
        found=found,
        remedy="go on with that model, or choose another name for the screen",
    )


def _predicted(model: EffectPredictor, names: NDArray, context: Any, config: GenomeConfig) -> Prediction:
    found = model.predict(names, context=context)
    if config.spread and found.spread is None:
        raise ModelError(
            "the spread is to be stored, and the model gives none",
            expected="a model with a head for it, or an ensemble",
            remedy="leave spread out",
        )
    return found


def _rows_done(store: GenomeStore, done: NDArray[np.bool_]) -> int:
    return sum(store.rows_of(chunk).stop - store.rows_of(chunk).start for chunk in np.flatnonzero(done).tolist())


def _checked(perturbations: Sequence[str] | NDArray) -> NDArray:
    names = np.asarray(perturbations, dtype=str)
    if names.ndim != 1 or not len(names):
        raise ConfigError("there is no perturbation to screen", remedy="name some, or give the genes of a graph")
    for name in names:
        Perturbation.parse(str(name))
    unique, counts = np.unique(names, return_counts=True)
    if len(unique) < len(names):
        raise ConfigError(
            "perturbations repeat",
            found=f"{str(unique[counts > 1][0])!r} and {int((counts > 1).sum()) - 1} others",
            remedy="name each once",
        )
    return names


def _check_path(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise ConfigError(
            f"a genome screen cannot be written to {path}", expected="a name ending in .zarr", found=path.suffix
        )
    if path.is_file() or (path.is_dir() and not (path / ".zgroup").is_file()):
        raise FileFormatError(f"{path} is there and is no zarr store", remedy="choose another name")
    blocking = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if blocking is not None:
        raise FileFormatError(f"{blocking} is a file, and {path} would be inside it", remedy="choose another folder")
