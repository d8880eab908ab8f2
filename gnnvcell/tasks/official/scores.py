"""OfficialScores: what an official scorer said of one prediction, in one shape for all scorers."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True, eq=False)
class OfficialScores:
    """Scores of one prediction by one official scorer; nothing in here is computed by this package.

    Args:
        scorer: "vcc2025" or "vcc2026".
        version: package and version that gave the numbers.
        context: the cell type that was scored; empty where the files name none.
        table: index metric; columns ``prediction``, and where a baseline was asked for ``baseline`` and ``score``;
            with vcc2026 also ``replicate``, the split-half value that counts as 1.
        per_perturbation: index perturbation; one column per metric that has a value for each perturbation.
        overall: the competition's average score; NaN without a baseline.
        folder: where the scorer's own files are.
        notes: what the reader should know about how the files were brought together.
    """

    scorer: str
    version: str
    context: str
    table: pd.DataFrame
    per_perturbation: pd.DataFrame
    overall: float
    folder: Path
    notes: list[str] = field(default_factory=list)
