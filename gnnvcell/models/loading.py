"""load: a trained model from its folder, whatever kind it is."""

from pathlib import Path
from typing import Any

from gnnvcell.models.model_folder import read_head
from gnnvcell.models.state_transition.model import StateTransition
from gnnvcell.models.state_transition.storage import FORMAT as TRANSITION


def load(path: str | Path) -> Any:
    """Read a trained model: a ``StateTransition`` or a ``StateEmbedding``. Nothing in the folder is executed.

    Args:
        path: folder of the model, or of the run that made it.

    Raises:
        FileFormatError: no model is there, a file is missing, or another version wrote it.
        ModelError: a file was changed or damaged.

    Example:
        >>> gnnvcell.load("runs/st").predict(["STAT1"]).values.shape  # doctest: +SKIP
        (1, 2000)
    """
    read_head(path, TRANSITION)
    return StateTransition.load(path)
