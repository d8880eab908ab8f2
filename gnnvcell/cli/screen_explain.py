"""``gnnvcell screen explain``: the paths, sources and outcomes that carry one predicted effect."""

import argparse
from typing import Any

from gnnvcell.cli.screen_model import add_model_arguments, context_of, model_of

_NUMBERS = {
    "hops": (2, "longest path (default: 2)"),
    "paths": (8, "paths to report (default: 8)"),
    "beam": (6, "walks that the search goes on with (default: 6)"),
    "tested": (40, "edges deleted from the end of each walk (default: 40)"),
    "draws": (20, "random deletions to hold it against (default: 20)"),
    "max_term_genes": (100, "paths run through terms of at most so many genes (default: 100)"),
    "shapley_sources": (6, "Shapley values for at most so many sources, 2^N predictions (default: 6)"),
}


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "explain",
        help="find the paths in the graph that carry a prediction",
        description="Delete edges between a target and a responding gene, predict again without refitting, and keep "
        "the paths whose deletion takes the prediction away; hold them against random deletions, and say what each "
        "source brings. Writes tables, GraphML and a picture.",
    )
    add_model_arguments(verb)
    verb.add_argument("--target", required=True, metavar="NAME", help="the perturbation: A, or A+B")
    verb.add_argument("--gene", required=True, metavar="NAME", help="the gene whose predicted effect is explained")
    verb.add_argument("--context", metavar="NAME", help="cell type of training, or a file of control cells")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder for tables, GraphML and picture")
    for name, (default, text) in _NUMBERS.items():
        verb.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N", help=text)
    verb.add_argument("--quiet", action="store_true", help="no progress bar, no table")
    verb.set_defaults(run=run_explain)


def run_explain(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell screen explain``."""
    from gnnvcell.report.charts import WIDE
    from gnnvcell.report.explain_charts import explanation_chart
    from gnnvcell.report.theme import save
    from gnnvcell.screens.explain import ExplainConfig, explain

    config = ExplainConfig.parse({name: getattr(arguments, name) for name in _NUMBERS} | {"seed": arguments.seed})
    screened = model_of(arguments)
    found = explain(
        screened.model,  # type: ignore[arg-type]  # what it lacks, explain says
        arguments.target,
        arguments.gene,
        context=context_of(arguments),
        config=config,
        progress=not arguments.quiet,
    )
    folder = found.save(arguments.out)
    save(explanation_chart(found, width=WIDE), folder / "explanation")
    if not arguments.quiet:
        print(found.paths.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
        print(
            f"{found.fidelity['hops']} hops deleted together take away {found.fidelity['effect']:.3g} of "
            f"{found.predicted - found.bare:.3g}; as many matched ones {found.fidelity['random_mean']:.3g} "
            f"(p = {found.fidelity['p']:.3g})"
        )
    print(f"explanation: {folder}")
    return 0
