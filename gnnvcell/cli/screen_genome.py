"""``gnnvcell screen genome``: every gene knocked down, all outputs, streamed to disk."""

import argparse
from typing import TYPE_CHECKING, Any

from gnnvcell.cli.screen_model import add_model_arguments, context_of, model_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gnnvcell.cli.screen_model import ScreenModel


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "genome",
        help="predict every gene's knock-down, all outputs, into a zarr store",
        description="Predict the effect of every perturbation on every readout gene and stream it to an AnnData zarr "
        "store. Interrupted, the same command goes on where it stopped.",
    )
    add_model_arguments(verb)
    verb.add_argument("--out", required=True, metavar="FILE.zarr", help="the store; one that was begun is gone on with")
    verb.add_argument(
        "--perturbations",
        nargs="+",
        metavar="NAME",
        help="names (A, A+B), or one file with a name on each line (default: every gene of the graph)",
    )
    verb.add_argument("--context", metavar="NAME", help="cell type of training, or a file of control cells")
    verb.add_argument("--rows", type=int, default=256, metavar="N", help="perturbations written at once (default: 256)")
    verb.add_argument("--dtype", default="float32", help="float32 (default), or float16: half the room, 3 digits")
    verb.add_argument("--spread", action="store_true", help="also store the standard deviation of the error")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run_genome)


def run_genome(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell screen genome``."""
    from gnnvcell.screens.genome import GenomeConfig, screen_genome

    config = GenomeConfig.parse({name: getattr(arguments, name) for name in ("rows", "dtype", "spread")})
    screened = model_of(arguments)
    names = _names(arguments, screened)
    path = screen_genome(
        screened.model,
        arguments.out,
        names,
        context=context_of(arguments),
        config=config,
        identity=screened.identity,
        progress=not arguments.quiet,
    )
    print(f"{len(names):,} perturbations: {path}")
    return 0


def _names(arguments: argparse.Namespace, screened: "ScreenModel") -> "list[str] | NDArray":
    """Names of the command line, of a file, or all genes of the graph."""
    from pathlib import Path

    from gnnvcell.errors import ConfigError
    from gnnvcell.files import read_names

    given = arguments.perturbations
    if given is None:
        if screened.graph is None:
            raise ConfigError(
                "it is not said what to perturb", remedy="give --graph DIR for every gene of it, or --perturbations"
            )
        return screened.graph.vocab.symbols
    return read_names(given[0]) if len(given) == 1 and Path(given[0]).is_file() else given
