"""``gnnvcell data simulate``: a screen of single cells whose truth is known."""

import argparse
from typing import Any


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "simulate",
        help="simulate a screen: cell types, doubles, knowledge files, truth",
        description="Simulate single cells under knock-downs of a planted regulatory graph, in several cell types and "
        "with doubles of known interaction, block by block, beside the databases that describe the graph.",
    )
    verb.add_argument("--out", required=True, metavar="DIR", help="cells.h5ad, knowledge files, truth/, screen.json")
    verb.add_argument("--config", metavar="TOML", help="settings of the screen (keys of ScreenConfig)")
    verb.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="for example cell_types=3 doubles=50 world.genes=5000 world.targets=400",
    )
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run_simulate)


def run_simulate(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell data simulate``."""
    from gnnvcell.config import apply_overrides, read_toml
    from gnnvcell.data.simulator import ScreenConfig, simulate_screen

    settings = apply_overrides(read_toml(arguments.config) if arguments.config else {}, arguments.overrides)
    config = ScreenConfig.parse(settings)
    folder = simulate_screen(arguments.out, config, progress=not arguments.quiet)
    print(f"{config.cells:,} cells x {config.world.genes:,} genes, {config.cell_types} cell types: {folder}")
    return 0
