"""JEPA of cells: a latent world model whose actions act through the gene graph."""

from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.facts import JepaFacts
from gnnvcell.models.jepa.model import Jepa
from gnnvcell.models.jepa.network import JepaNetwork

__all__ = ["Jepa", "JepaConfig", "JepaFacts", "JepaNetwork"]
