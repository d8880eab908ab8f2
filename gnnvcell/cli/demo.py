"""``gnnvcell demo``: a simulated world from knowledge files to scored predictions and a page."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "demo",
        help="simulate a world, build its graph, predict unseen knock-downs, write a page",
        description="Simulate single cells under knock-downs and the databases that describe them, build the gene "
        "graph, fit models on it and on random graphs, and score knock-downs that were never measured.",
    )
    verb.add_argument("--out", default="demo_out", metavar="DIR", help="folder of the results (default: demo_out)")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the world (default: 0)")
    verb.add_argument("--quick", action="store_true", help="a smaller world and one seed: under a minute")
    verb.add_argument("--quiet", action="store_true", help="no progress")
    verb.set_defaults(run=run_demo)


def run_demo(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell demo``."""
    from gnnvcell import demo

    result = demo.run_demo(arguments.out, seed=arguments.seed, quick=arguments.quick, progress=not arguments.quiet)
    print(result)
    print(f"\nresults.json, table.md, table.csv, world/, graph/: {arguments.out}\npage: {result.page}")
    return 0
