"""``gnnvcell data emit``: predicted effects to single cells."""

import argparse
from typing import Any

from gnnvcell.cli.fields import add_field_arguments, fields_of


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "emit",
        help="turn predicted effects into single cells that scorers accept",
        description="Change control cells until the mean of log1p expression is that of the controls plus the "
        "predicted effect, with the depth and spread of real cells.",
    )
    verb.add_argument("effects", metavar="EFFECTS", help="an effect table (.h5ad) of expression changes")
    verb.add_argument("controls", metavar="CELLS", help=".h5ad or .zarr with control cells")
    verb.add_argument("--out", required=True, metavar="FILE", help=".h5ad or .zarr to write")
    verb.add_argument("--cells", type=int, default=100, metavar="N", help="cells of each perturbation (default: 100)")
    verb.add_argument("--output", default="counts", metavar="KIND", help="counts (default) or log1p")
    verb.add_argument("--target-sum", type=float, default=1e4, metavar="X", help="normalisation of the effects (1e4)")
    verb.add_argument("--no-controls", action="store_true", help="do not write the control cells")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all draws (default: 0)")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    add_field_arguments(verb)
    verb.set_defaults(run=run_emit)


def run_emit(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell data emit``."""
    from gnnvcell.data.cells import Cells
    from gnnvcell.data.effects import EffectTable
    from gnnvcell.data.emission import EmissionConfig, emit_to

    settings = {name: getattr(arguments, name) for name in ("cells", "output", "target_sum", "seed")}
    config = EmissionConfig.parse({**settings, "controls": not arguments.no_controls})
    effects = EffectTable.load(arguments.effects)
    controls = Cells.open(arguments.controls, fields_of(arguments), in_memory=True)
    path = emit_to(arguments.out, effects, controls, config, progress=not arguments.quiet)
    print(f"{len(effects.perturbations)} perturbations x {config.cells} cells: {path}")
    return 0
