"""Tasks: each owns its held-out truth, gives out inputs, and is the only road to a score."""

from gnnvcell.tasks.held_out import TaskInputs
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import all_at_once, leave_one_out, singles_to_doubles
from gnnvcell.tasks.predicted_cells import PredictedCells, PredictedCellsConfig
from gnnvcell.tasks.unseen_effect import EffectScores, UnseenEffect
from gnnvcell.tasks.unseen_perturbation import Scores, UnseenPerturbation

__all__ = [
    "EffectScores",
    "HeldOutCells",
    "PredictedCells",
    "PredictedCellsConfig",
    "Scores",
    "TaskInputs",
    "UnseenEffect",
    "UnseenPerturbation",
    "all_at_once",
    "leave_one_out",
    "singles_to_doubles",
]
