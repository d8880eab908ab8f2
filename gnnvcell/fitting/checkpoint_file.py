"""Reading checkpoints: tensors and plain values, and nothing that is executed."""

from pathlib import Path
from typing import Any

import torch

from gnnvcell.errors import FileFormatError
from gnnvcell.files import require_file


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Nothing in it is executed.

    Raises:
        MissingFileError: no file there.
        FileFormatError: it is damaged, or holds something else than tensors and plain values.
    """
    path = require_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FileFormatError(
            f"{path} cannot be read as a checkpoint",
            expected="tensors and plain values",
            found=str(error).splitlines()[0][:200],
            remedy="was it written by training with gnnvcell, and copied whole?",
        ) from error
