"""A planted world: a known regulatory graph, cells measured under knock-downs, and what databases know of it."""

from gnnvcell.data.simulator.config import KnowledgeConfig, SimulatorConfig
from gnnvcell.data.simulator.screen import ScreenConfig, ScreenTruth, screen_truth, simulate_screen
from gnnvcell.data.simulator.world import Truth, World, simulate

__all__ = [
    "KnowledgeConfig",
    "ScreenConfig",
    "ScreenTruth",
    "SimulatorConfig",
    "Truth",
    "World",
    "screen_truth",
    "simulate",
    "simulate_screen",
]
