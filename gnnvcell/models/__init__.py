"""Named models of perturbation effects: configuration, ``fit``, ``predict``."""

from gnnvcell.models.base import MODELS, EffectModel, Prediction

__all__ = ["MODELS", "EffectModel", "Prediction"]
