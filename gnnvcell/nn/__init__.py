"""Layers. No input, no output, no named models: those are in ``gnnvcell.models``."""
