"""``gnnvcell screen safety``: what variants of a candidate do beside what they are for, over many cell types."""

import argparse
from typing import Any

from gnnvcell.cli.screen_lists import NAMES_OR_FILE, add_output_arguments, finish, listed, model_key
from gnnvcell.cli.screen_model import add_model_arguments, context_of, model_of
from gnnvcell.cli.screen_target import add_goal_arguments, goal_of

SHOWN = (
    *("rank", "perturbation", "harm", "harmful", "off_target", "worst", "worst_context", "wanted", "size", "support"),
)
_NAMED = 10  # programmes with too few genes


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "safety",
        help="rank variants of a candidate by predicted stress, death and off-target programmes, over cell types",
        description="Predict every variant in every cell type, hold gene sets of stress, death and growth against "
        "random sets of the same size, and rank the variants by the harm that is left.",
    )
    add_model_arguments(verb)
    verb.add_argument("--variants", nargs="+", required=True, metavar="NAME", help=NAMES_OR_FILE)
    verb.add_argument("--amounts", nargs="+", metavar="X", help="each variant in these doses or strengths (1uM, 80%%)")
    verb.add_argument(
        "--contexts", nargs="+", metavar="NAME", help="cell types of training, or files of control cells"
    )
    verb.add_argument("--programmes", nargs="+", default=[], metavar="GMT", help="further gene sets")
    verb.add_argument("--fdr", type=float, default=0.05, metavar="X", help="level of a change (default: 0.05)")
    verb.add_argument("--draws", type=int, default=1000, metavar="N", help="random sets of each size (default: 1000)")
    verb.add_argument("--least-genes", type=int, default=5, metavar="N", help="fewest genes of a set (default: 5)")
    add_goal_arguments(verb, required=False)
    add_output_arguments(verb)
    verb.set_defaults(run=run_safety)


def run_safety(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell screen safety``."""
    from gnnvcell.report.screen_charts import safety_chart
    from gnnvcell.screens.programmes import read_programmes
    from gnnvcell.screens.safety import SafetyConfig, safety_screen, with_amounts

    settings = {name: getattr(arguments, name) for name in ("fdr", "draws", "least_genes", "seed", "support_above")}
    config = SafetyConfig.parse(settings, where="screen safety")
    variants = listed(arguments.variants)
    if arguments.amounts:
        variants = [one for name in variants for one in with_amounts(name, arguments.amounts)]
    goal, screened = goal_of(arguments), model_of(arguments)
    result = safety_screen(
        screened.model,
        variants,
        contexts=_contexts(arguments),
        programmes=[one for path in arguments.programmes for one in read_programmes(path)],
        goal=goal,
        config=config,
        progress=not arguments.quiet,
    )
    about = result.provenance
    about["model"] = model_key(screened)
    left_out = about["programmes_with_too_few_genes"]
    print(f"{about['programmes']} programmes in {', '.join(about['contexts'])}" + _too_few(left_out) + "\n")
    figure = safety_chart(result.table, result.more["programmes"], top=arguments.top)
    finish(result, figure, SHOWN, arguments)
    return 0


def _contexts(arguments: argparse.Namespace) -> list[Any]:
    """Each cell type as the model takes it."""
    given = arguments.contexts or [None]
    return [context_of(argparse.Namespace(**{**vars(arguments), "context": one})) for one in given]


def _too_few(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"; too few genes of {', '.join(names[:_NAMED])}{more}"
