"""``gnnvcell screen combo``: which pairs do more, less or something else than the sum of both."""

import argparse
from typing import Any

from gnnvcell.cli.screen_lists import (
    NAMES_OR_FILE,
    add_output_arguments,
    finish,
    gallery_of,
    kept_in,
    listed,
    model_key,
)
from gnnvcell.cli.screen_model import add_model_arguments, context_of, model_of

SHOWN = ("rank", "perturbation", "interaction", "departure", "relative", "scale", "noise", "genes", "support")


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "combo",
        help="rank pairs of perturbations by their departure from additivity",
        description="Predict all pairs of a list, or of a list with a genome, and class how each departs from the sum "
        "of its parts. Interrupted with --out, the same command goes on where it stopped.",
    )
    add_model_arguments(verb)
    verb.add_argument("--perturbations", nargs="+", required=True, metavar="NAME", help=NAMES_OR_FILE)
    verb.add_argument("--partners", nargs="+", metavar="NAME", help="what each is combined with (default: each other)")
    verb.add_argument("--genome", action="store_true", help="combine each with every gene of --graph")
    verb.add_argument("--context", metavar="NAME", help="cell type of training, or a file of control cells")
    verb.add_argument(
        "--rank-by", default="departure", metavar="X", help="departure (default), relative, noise: over the errors"
    )
    add_output_arguments(verb)
    verb.set_defaults(run=run_combo)


def run_combo(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell screen combo``."""
    from gnnvcell.errors import ConfigError
    from gnnvcell.report.screen_charts import combo_chart
    from gnnvcell.screens.combo import ComboConfig, combo_screen

    settings = {name: getattr(arguments, name) for name in ("rank_by", "support_above")}
    config = ComboConfig.parse(settings, where="screen combo")
    if arguments.genome and arguments.partners:
        raise ConfigError("partners are named, and are the whole genome", remedy="leave --partners or --genome out")
    screened = model_of(arguments)
    partners = listed(arguments.partners) if arguments.partners else None
    if arguments.genome:
        partners = gallery_of(None, screened, "--partners")
    result = combo_screen(
        screened.model,
        listed(arguments.perturbations),
        partners,
        context=context_of(arguments),
        config=config,
        keep_in=kept_in(arguments.out),
        model_key=model_key(screened),
        progress=not arguments.quiet,
    )
    scale = result.provenance["typical_scale"]
    print(f"{result.provenance['pairs']:,} pairs; typically {scale:.2f} times the sum of the parts\n")
    finish(result, combo_chart(result.table), SHOWN, arguments)
    return 0
