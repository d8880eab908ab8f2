"""Measured effects and cells: reading, checking, splitting, simulating."""

from gnnvcell.data.effects import EffectTable

__all__ = ["EffectTable"]
