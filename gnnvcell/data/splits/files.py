"""The files of the data sets that a split's TOML names, found as cell-load finds them."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.splits.conditions import Conditions
from gnnvcell.data.splits.split import Split
from gnnvcell.data.splits.toml import SplitFile
from gnnvcell.errors import MissingFileError, did_you_mean
from gnnvcell.genes import GeneVocab

_EXTENSIONS = (".h5", ".h5ad")
_PATTERN = re.compile(r"[*?\[\]{}]")


def find_dataset_files(pattern: str, folder: str | Path = ".") -> list[Path]:
    """The files of a data set, sorted.

    Args:
        pattern: a file (also .zarr), a folder whose .h5 and .h5ad files are all taken, or a pattern of files or folders
            with ``*``, ``?``, ``[ab]`` and ``{a,b}``.
        folder: where relative paths begin.

    Raises:
        MissingFileError: no file is there (with the nearest name beside it).
    """
    found: set[Path] = set()
    for option in _expand_braces(pattern):
        written = Path(folder) / option
        matches = map(Path, glob.glob(str(written))) if _PATTERN.search(option) else [written]
        for path in matches:
            if path.is_dir() and path.suffix != ".zarr":
                found |= {file for file in path.iterdir() if file.suffix in _EXTENSIONS and file.is_file()}
            elif path.exists():
                found.add(path)
    if not found:
        first = Path(folder) / _expand_braces(pattern)[0]
        parent = next(parent for parent in (first, *first.parents) if parent.is_dir())
        beside = [path.name for path in parent.iterdir()]
        missing = first.relative_to(parent).parts[0] if first != parent else "*.h5ad"
        raise MissingFileError(
            f"no file of cells is at {pattern}",
            expected="a .h5ad or .h5 file, a folder of them, or a pattern that matches some",
            found=f"{parent} has no {missing}",
            remedy=did_you_mean(missing, beside) if beside else f"the folder {parent} is empty",
        )
    return sorted(found)


def _expand_braces(pattern: str) -> list[str]:
    braces = re.search(r"\{([^}]+)\}", pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [path for option in braces[1].split(",") for path in _expand_braces(before + option.strip() + after)]


def conditions_of_files(
    paths: Sequence[str | Path], dataset: str, fields: FieldsConfig | None = None, *, vocab: GeneVocab | None = None
) -> Conditions:
    """The conditions of the files of one data set; only their annotations are read. Errors as of ``Cells.open``."""
    opened = (Cells.open(path, fields, in_memory=False) for path in paths)
    return Conditions.joined([Conditions.of_cells(cells, dataset=dataset, vocab=vocab) for cells in opened])


def load_split(
    path: str | Path,
    fields: FieldsConfig | None = None,
    *,
    folder: str | Path = ".",
    vocab: GeneVocab | None = None,
) -> Split:
    """Read a TOML file and the annotations of the data sets it uses, and give every condition its part.

    Args:
        path: the file.
        fields: columns of the data.
        folder: where relative paths of data sets begin; the working folder, as in cell-load.
        vocab: joins a gene's names.

    Raises:
        ConfigError: as ``SplitFile.read``.
        DataError: as ``SplitFile.assign`` and ``Cells.open``.
        FileFormatError: a file is missing, or the split is no longer what it was when written.
    """
    file = SplitFile.read(path)
    used = {*file.training, *(key.partition(".")[0] for key in [*file.zeroshot, *file.fewshot])}
    parts = [
        conditions_of_files(find_dataset_files(file.datasets[name], folder), name, fields, vocab=vocab)
        for name in file.datasets
        if name in used
    ]
    split = file.assign(Conditions.joined(parts))
    split.require_digest(file.gnnvcell.parts_digest, path)
    return split
