"""``gnnvcell report``: the page of a finished benchmark, from its folder alone."""

import argparse
from pathlib import Path


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
    from gnnvcell.bench.cell_folder import cell_folders
    from gnnvcell.report.benchmark import write_report
    from gnnvcell.report.cells import write_cell_report

    named = {"title": arguments.title} if arguments.title else {}
    shared = {"draws": arguments.draws, "seed": arguments.seed, "targets": arguments.targets, **named}
    on_cells = cell_folders(arguments.folder)
    only_cells = bool(on_cells) and not (Path(arguments.folder) / "results.json").exists()
    if only_cells:
        _check_no_label_options(arguments)
    pages = []
    if not only_cells:
        labels = {"ceilings": _ceilings(arguments.ceiling), "graphs": arguments.graph, "explorer": arguments.explorer}
        pages.append(write_report(arguments.folder, **shared, **labels, markdown=arguments.markdown))
    for folder in on_cells:
        alone = only_cells and len(on_cells) == 1
        file = _beside(arguments.markdown, "" if alone else folder.name)
        pages.append(write_cell_report(folder, **shared, markdown=file))
    for page in pages:
        print(f"page: {page}; statistics.csv and plots beside it")
    return 0


def _beside(markdown: str | None, task: str) -> Path | None:
    """The file of a task on cells: the one that was named, or one of that name and the task's."""
    if markdown is None:
        return None
    path = Path(markdown)
    return path.with_name(f"{path.stem}-{task}{path.suffix}") if task else path


def _check_no_label_options(arguments: argparse.Namespace) -> None:
    from gnnvcell.errors import ConfigError

    given = {"--ceiling": arguments.ceiling, "--graph": arguments.graph, "--explorer": arguments.explorer is not None}
    for flag, value in given.items():
        if value:
            raise ConfigError(f"{flag} is for benchmarks on labels, and {arguments.folder} has tasks on cells alone")


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
