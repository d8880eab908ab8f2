"""``gnnvcell report``: the page of a finished benchmark, from its folder alone."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "report",
        help="write the page of a finished benchmark",
        description="Read the folder of `gnnvcell bench sources` and write index.html (one file, no network), its "
        "figures as PNG and SVG, and statistics.csv: paired differences with intervals, corrected for their number.",
    )
    verb.add_argument("folder", metavar="OUT_DIR", help="what --out of `gnnvcell bench sources` was")
    verb.add_argument("--title", default="Graph sources", metavar="TEXT", help="of the page")
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
        "--explorer",
        action=argparse.BooleanOptionalAction,
        help="the explorer of single perturbations (default: where its data are below 5 MB)",
    )
    verb.set_defaults(run=run_report)


def run_report(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell report``."""
    from gnnvcell.report.benchmark import write_report

    page = write_report(
        arguments.folder,
        title=arguments.title,
        draws=arguments.draws,
        seed=arguments.seed,
        ceilings=_ceilings(arguments.ceiling),
        graphs=arguments.graph,
        targets=arguments.targets,
        explorer=arguments.explorer,
    )
    print(f"statistics.csv, reliability.csv, abstention.csv, plots: {arguments.folder}\npage: {page}")
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
