"""A planted world: a known regulatory graph, cells measured under knock-downs, and what databases know of it."""

from gnnvcell.data.simulator.config import KnowledgeConfig, SimulatorConfig
from gnnvcell.data.simulator.world import Truth, World, simulate

__all__ = ["KnowledgeConfig", "SimulatorConfig", "Truth", "World", "simulate"]
