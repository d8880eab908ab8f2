"""``gnnvcell screen target``: which perturbations carry cells from a source to a goal."""

import argparse
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from gnnvcell.screens.goal import Goal

SHOWN = ("rank", "perturbation", "score", "score_sd", "remaining", "size", "support", "action_distance")


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "target",
        help="rank perturbations, and pairs of them, that carry cells from a source to a goal",
        description="The goal is one of: two groups of cells of one file (--cells, --column, --from, --to), two files "
        "(--from-cells, --to-cells), or a signature (--up, --down). Interrupted with --out, the same command goes on "
        "where it stopped.",
    )
    add_model_arguments(verb)
    add_goal_arguments(verb)
    verb.add_argument("--gallery", nargs="+", metavar="NAME", help=f"{NAMES_OR_FILE} (default: all genes of --graph)")
    verb.add_argument("--context", metavar="NAME", help="cell type of training, or a file of control cells")
    verb.add_argument(
        "--measure", default="cosine", metavar="M", help="cosine (default), pearson, distance: share of the way done"
    )
    verb.add_argument("--centred", action="store_true", help="take off what all perturbations do")
    verb.add_argument("--doubles", type=int, default=0, metavar="N", help="also predict and rank the N best pairs")
    verb.add_argument("--doubles-from", type=int, default=500, metavar="N", help="best singles that are paired (500)")
    verb.add_argument(
        "--search",
        choices=("cem", "gradient"),
        help="of a model with actions (ST, JEPA): search among all, and rank the perturbations next to the best",
    )
    verb.add_argument("--nearest", type=int, default=20, metavar="N", help="perturbations next to it (default: 20)")
    add_output_arguments(verb)
    verb.set_defaults(run=run_target)


def add_goal_arguments(verb: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the ways to state a goal."""
    group = verb.add_argument_group("goal", None if required else "what the candidate is for; may be left out")
    group.add_argument("--cells", metavar="FILE", help="cells of source and goal")
    group.add_argument("--column", metavar="COLUMN", help="obs column of --cells with the two groups")
    group.add_argument("--from", dest="source", metavar="LABEL", help="source group, for example diseased")
    group.add_argument("--to", dest="goal", metavar="LABEL", help="goal group, for example healthy")
    group.add_argument("--within", metavar="COLUMN", help="obs column of batches or donors to compare within")
    group.add_argument("--from-cells", metavar="FILE", help="all cells of a file are the source")
    group.add_argument("--to-cells", metavar="FILE", help="all cells of a file are the goal")
    group.add_argument("--up", nargs="+", default=[], metavar="GENE", help=f"genes that shall rise: {NAMES_OR_FILE}")
    group.add_argument("--down", nargs="+", default=[], metavar="GENE", help="genes that shall fall")
    group.add_argument("--leave-out", nargs="+", default=[], metavar="GENE", help="genes that do not count")
    group.add_argument("--weighting", default="none", choices=("none", "reliability"), help="of genes (default: none)")


def goal_of(arguments: argparse.Namespace) -> "Goal | None":
    """The goal that the arguments state, or None where they state none.

    Raises:
        ConfigError: they state several, or one in part.
    """
    from gnnvcell.errors import ConfigError
    from gnnvcell.screens.goal import Goal

    ways = {
        "groups": [arguments.cells, arguments.column, arguments.source, arguments.goal],
        "files": [arguments.from_cells, arguments.to_cells],
        "signature": [arguments.up or arguments.down or None],
    }
    begun = [name for name, given in ways.items() if any(one is not None for one in given)]
    if not begun:
        return None
    if len(begun) > 1 or any(one is None for one in ways[begun[0]]):
        raise ConfigError(
            "it is not clear what the goal is",
            expected="--cells, --column, --from and --to; or --from-cells and --to-cells; or --up and --down",
            found=", ".join(begun) + ("" if len(begun) > 1 else " in part"),
        )
    bar = not arguments.quiet
    if begun == ["signature"]:
        goal = Goal.of_signature(*(listed(given) if given else [] for given in (arguments.up, arguments.down)))
    elif begun == ["files"]:
        goal = Goal.of_cells(*ways["files"], weighting=arguments.weighting, progress=bar)
    else:
        goal = Goal.of_groups(*ways["groups"], within=arguments.within, weighting=arguments.weighting, progress=bar)
    return goal.without(arguments.leave_out)


def run_target(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell screen target``."""
    from gnnvcell.errors import ConfigError
    from gnnvcell.report.screen_charts import target_chart
    from gnnvcell.screens.search import SearchConfig, search_screen
    from gnnvcell.screens.target import TargetConfig, target_screen

    settings = ("measure", "centred", "doubles", "doubles_from", "support_above")
    config = TargetConfig.parse({name: getattr(arguments, name) for name in settings}, where="screen target")
    goal = goal_of(arguments)
    if goal is None:
        raise ConfigError("there is no goal", expected="cells, files or a signature", remedy="see --help")
    screened = model_of(arguments)
    gallery, context = gallery_of(arguments.gallery, screened, "--gallery"), context_of(arguments)
    bar = not arguments.quiet
    if arguments.search:
        search = SearchConfig.parse({"method": arguments.search, "nearest": arguments.nearest, "seed": arguments.seed})
        result = search_screen(
            screened.model, goal, gallery, context=context, config=config, search=search, progress=bar
        )
        print(f"the best action reaches {result.provenance['reached']:.3f}, what it stands for need not exist")
    else:
        result = target_screen(
            screened.model,
            goal,
            gallery,
            context=context,
            config=config,
            keep_in=kept_in(arguments.out),
            model_key=model_key(screened),
            progress=bar,
        )
    about = result.provenance
    print(f"{goal}: {about['shared_genes']} genes are the model's, with {about['share_of_change']:.0%} of the change\n")
    shown = [name for name in SHOWN if name in result.table]
    finish(result, target_chart(result.table, goal=goal.name, top=arguments.top), shown, arguments)
    return 0
