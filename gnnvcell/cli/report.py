"""``gnnvcell report``: the page of a finished benchmark, from its folder alone."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "report",
        help="write the page of a finished benchmark",
        description="Read the folder of `gnnvcell bench` and write index.html (one file, no network), its figures as "
        "PNG and SVG, and statistics.csv: paired differences with intervals, corrected for their number. Tasks on "
        "cells have a page of their own, in their folder.",
    )
    verb.add_argument("folder", metavar="OUT_DIR", help="what --out of `gnnvcell bench` was")
    verb.add_argument("--title", metavar="TEXT", help="of the page")
    verb.add_argument("--draws", type=int, default=2000, metavar="N", help="bootstrap draws (default: 2000)")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    verb.add_argument(
        "--ceiling",
        nargs="+",
        action="extend",
        default=[],
        metavar="LINE:TASK=X",
        help="best score that the data allow, for example k562:de=0.85",
    )
    verb.add_argument(
        "--graph",
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="graphs that were scored, for neighbours, paths and complexes; what is found is kept in OUT_DIR",
    )
    verb.add_argument("--targets", metavar="FILE.toml", help="what was asked for; the page begins with what was missed")
    verb.add_argument(
        "--markdown",
        metavar="FILE.md",
        help="also write a summary and the tables there; tasks on cells beside labels into FILE-TASK.md",
    )
    verb.add_argument(
        "--explorer",
        action=argparse.BooleanOptionalAction,
        help="the explorer of single perturbations (default: where its data are below 5 MB)",
    )
    verb.set_defaults(run=run_report)


def run_report(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell report``."""
    from gnnvcell.bench.run import named_folders
    from gnnvcell.report.pages import write_pages

    pages = write_pages(
        arguments.folder,
        title=arguments.title,
        draws=arguments.draws,
        seed=arguments.seed,
        targets=arguments.targets,
        markdown=arguments.markdown,
        ceilings=_ceilings(arguments.ceiling),
        graphs=named_folders(arguments.graph),
        explorer=arguments.explorer,
    )
    for page in pages:
        print(f"page: {page}; statistics.csv and plots beside it")
    return 0


def _ceilings(texts: list[str]) -> dict[tuple[str, str], float]:
    from gnnvcell.errors import ConfigError

    found = {}
    for text in texts:
        where, _, value = text.partition("=")
        line, _, task = where.rpartition(":")
        try:
            found[line, task] = float(value)
        except ValueError:
            line = ""
        if not (line and task):
            raise ConfigError(f"cannot read the ceiling {text!r}", expected="LINE:TASK=X, for example k562:de=0.85")
    return found
