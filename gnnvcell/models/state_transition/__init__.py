"""ST, STATE's transition model: a set of control cells and a perturbation in, the perturbed set out."""

from gnnvcell.models.state_transition.config import PRESETS, StateTransitionConfig
from gnnvcell.models.state_transition.model import StateTransition
from gnnvcell.models.state_transition.network import Transition, TransitionNetwork

__all__ = ["PRESETS", "StateTransition", "StateTransitionConfig", "Transition", "TransitionNetwork"]
