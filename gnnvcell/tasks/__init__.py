"""Tasks: each owns its held-out truth, gives out inputs, and is the only road to a score."""

from gnnvcell.tasks.held_out import TaskInputs
from gnnvcell.tasks.unseen_effect import EffectScores, UnseenEffect
from gnnvcell.tasks.unseen_perturbation import Scores, UnseenPerturbation

__all__ = ["EffectScores", "Scores", "TaskInputs", "UnseenEffect", "UnseenPerturbation"]
