"""Tasks: each owns its held-out truth, gives out inputs, and is the only road to a score."""

from gnnvcell.tasks.unseen_perturbation import Scores, TaskInputs, UnseenPerturbation

__all__ = ["Scores", "TaskInputs", "UnseenPerturbation"]
