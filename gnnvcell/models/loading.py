"""load: a trained model from its folder, whatever kind it is."""

from pathlib import Path
from typing import Any

from gnnvcell.models.jepa.model import Jepa
from gnnvcell.models.jepa.storage import FORMAT as JEPA
from gnnvcell.models.model_folder import read_head
from gnnvcell.models.state_embedding.storage import FORMAT as EMBEDDING
from gnnvcell.models.state_transition.model import StateTransition
from gnnvcell.models.state_transition.storage import FORMAT as TRANSITION
from gnnvcell.models.uncertainty.ensemble import Ensemble
from gnnvcell.models.uncertainty.ensemble_storage import FORMAT as ENSEMBLE


def load(path: str | Path) -> Any:
    """Read a trained model: a ``StateTransition``, a ``Jepa``, a ``StateEmbeddingModel`` or an ``Ensemble``.

    Nothing in the folder is executed.

    Args:
        path: folder of the model, or of the run that made it.

    Raises:
        FileFormatError: no model is there, a file is missing, or another version wrote it.
        ModelError: a file was changed or damaged.

    Example:
        >>> gnnvcell.load("runs/st").predict(["STAT1"]).values.shape  # doctest: +SKIP
        (1, 2000)
    """
    _, head = read_head(path, TRANSITION, JEPA, EMBEDDING, ENSEMBLE)
    if head["format"] == JEPA.name:
        return Jepa.load(path)
    if head["format"] == ENSEMBLE.name:
        return Ensemble.load(path)
    if head["format"] == EMBEDDING.name:
        from gnnvcell.models import StateEmbeddingModel

        return StateEmbeddingModel.load(path)
    return StateTransition.load(path)
