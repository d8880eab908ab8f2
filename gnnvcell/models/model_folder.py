"""The folder of a trained model: a head of plain text, tensors, and the digest of every file; reading executes nothing.

``config.json`` has the format and its version, versions of packages, digests of the other files, and what the model
adds.
"""

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gnnvcell import __version__
from gnnvcell.errors import FileFormatError, ModelError
from gnnvcell.files import atomic_folder, sha256_of

HEAD_FILE = "config.json"
MODEL_FOLDER = "model"  # where a run keeps its model
_PACKAGES = ("torch", "dgl", "numpy", "safetensors")


@dataclass(frozen=True)
class ModelFormat:
    """What kind of model a folder holds.

    Args:
        name: of the format, such as "gnnvcell-state-transition".
        version: of the format; a folder of another version is refused.
        command: what trains such a model, for error messages.
    """

    name: str
    version: int
    command: str


def write_model(
    path: str | Path, kind: ModelFormat, head: Mapping[str, Any], fill: Callable[[Path], None]
) -> Path:
    """Write a model's folder, whole or not at all; a model there is replaced.

    Args:
        path: the folder.
        kind: format.
        head: what the model adds to the head, as JSON.
        fill: writes the model's files into a folder.

    Raises:
        FileFormatError: the folder holds something other than a model.
    """
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / HEAD_FILE).is_file()):
        raise FileFormatError(f"{path} holds something other than a model", remedy="choose another folder")
    with atomic_folder(path) as folder:
        fill(folder)
        files = {str(file.relative_to(folder)): sha256_of(file) for file in sorted(folder.rglob("*")) if file.is_file()}
        versions = {"gnnvcell": __version__} | {name: importlib.metadata.version(name) for name in _PACKAGES}
        full = {"format": kind.name, "version": kind.version, **head, "versions": versions, "files": files}
        (folder / HEAD_FILE).write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_head(path: str | Path, *kinds: ModelFormat) -> tuple[Path, dict[str, Any]]:
    """The folder of a model and its head, once every file is known to be what was written.

    Args:
        path: the folder, or that of the run which it is in.
        kinds: formats that will do.

    Raises:
        FileFormatError: no such model is there, a file is missing, or another version wrote it.
        ModelError: a file was changed or damaged.
    """
    folder = _folder_of(Path(path), kinds)
    head = _parsed(folder / HEAD_FILE)
    kind = next((kind for kind in kinds if kind.name == head.get("format")), None)
    if kind is None:
        raise FileFormatError(
            f"{folder} holds another kind of model",
            expected=" or ".join(kind.name for kind in kinds),
            found=str(head.get("format")),
        )
    if head.get("version") != kind.version:
        raise FileFormatError(
            f"{folder} was written in another version of the format",
            expected=f"version {kind.version}",
            found=f"version {head.get('version')}",
            remedy="update gnnvcell, or train the model again",
        )
    for name, digest in head["files"].items():
        if not (folder / name).is_file():
            raise FileFormatError(f"{folder} has no {name}", remedy="copy the whole folder again")
        if sha256_of(folder / name) != digest:
            raise ModelError(f"{folder / name} was changed or damaged", remedy="copy or train the model again")
    return folder, head


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor | NDArray]) -> None:
    """Write tensors and arrays as safetensors."""
    from safetensors.torch import save_file

    as_tensors = {
        name: (torch.from_numpy(np.ascontiguousarray(one)) if isinstance(one, np.ndarray) else one.detach().cpu())
        for name, one in tensors.items()
    }
    save_file({name: tensor.contiguous() for name, tensor in as_tensors.items()}, path)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read what ``write_tensors`` wrote."""
    from safetensors.torch import load_file

    return load_file(path)


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Give a model the weights of a file.

    Raises:
        ModelError: they are those of another model.
    """
    try:
        model.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise ModelError(f"{path} has the weights of another model", found=str(error).splitlines()[-1]) from error


def _folder_of(path: Path, kinds: tuple[ModelFormat, ...]) -> Path:
    for folder in (path, path / MODEL_FOLDER):
        if (folder / HEAD_FILE).is_file():
            return folder
    raise FileFormatError(
        f"no model is at {path}",
        expected=f"a folder with {HEAD_FILE}, or a run that ended",
        remedy="make one: " + "; or ".join(kind.command for kind in kinds),
    )


def _parsed(file: Path) -> dict[str, Any]:
    try:
        head = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{file} is damaged", found=str(error), remedy="copy or train the model again") from error
    if not isinstance(head, dict) or not isinstance(head.get("files"), dict):
        raise FileFormatError(f"{file} describes no model", expected='a "format" and "files"')
    return head
