"""Helpers for tests of graph code, shipped for those who write their own layers and models."""

from gnnvcell.testing.graph_cases import GRAPH_CASES, GraphCase

__all__ = ["GRAPH_CASES", "GraphCase"]
