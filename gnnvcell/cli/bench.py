"""``gnnvcell bench``: compare graph sources, models and control graphs."""

import argparse
from collections.abc import Mapping
from typing import Any

from gnnvcell.cli.fields import add_field_arguments, fields_of


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb group."""
    group = subparsers.add_parser("bench", help="compare graph sources, models and control graphs")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_suite(verbs)
    _add_sources(verbs)
    _add_cells(verbs)


def _add_suite(verbs: Any) -> None:
    verb = verbs.add_parser(
        "suite",
        help="everything that a TOML file names: tasks, models, graphs and parts of them, controls, seeds",
        description="Do the runs that a TOML file names, and write their tables and the page. Killed at any moment, "
        "the same command goes on where it stopped.",
    )
    verb.add_argument("config", metavar="RUN.toml", help="settings, such as benchmarks/sources/smoke.toml")
    verb.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings that go before those of the file")
    verb.add_argument("--processes", type=int, metavar="N", help="share the runs among N processes of one thread each")
    verb.add_argument("--out", required=True, metavar="DIR", help="results.json, statistics.csv, table.md, runs/, page")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run_suite)


def _add_sources(verbs: Any) -> None:
    verb = verbs.add_parser(
        "sources",
        help="score unseen perturbations on real and control graphs",
        description="Fit each model on each graph, real and control, and score perturbations that were never measured. "
        "Finished runs are kept in OUT/runs: the same command goes on where it stopped.",
    )
    verb.add_argument(
        "--labels", required=True, metavar="DIR", help="folder of <line>-de.csv[.gz], <line>-dir.csv[.gz]"
    )
    verb.add_argument(
        "--graph", required=True, nargs="+", action="extend", metavar="DIR", help="saved graphs; may be repeated"
    )
    verb.add_argument("--lines", required=True, nargs="+", metavar="LINE", help="cell lines, for example k562 rpe1")
    verb.add_argument("--task", nargs="+", default=["de", "dir"], metavar="TASK", help="de, dir (default: both)")
    verb.add_argument(
        "--models",
        nargs="+",
        default=["smoother", "propagation", "knn"],
        metavar="MODEL",
        help="default: smoother propagation knn; an unknown name lists all",
    )
    verb.add_argument(
        "--controls",
        nargs="*",
        default=["rewired", "permuted"],
        metavar="CONTROL",
        help="beside the real graph: rewired (degree-matched), permuted, empty, ... (default: rewired permuted)",
    )
    verb.add_argument("--seeds", type=int, default=5, metavar="N", help="number of seeds (default: 5)")
    verb.add_argument("--per-source", action="store_true", help="also score each source of each graph alone")
    verb.add_argument("--leave-one-out", action="store_true", help="also score each graph without each of its sources")
    verb.add_argument(
        "--coalitions", action="store_true", help="also score every set of sources, for Shapley values (2^sources - 1)"
    )
    verb.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODEL.KEY=VALUE",
        help="settings of a model, for example smoother.power=2.0",
    )
    verb.add_argument("--processes", type=int, metavar="N", help="share the runs among N processes of one thread each")
    verb.add_argument("--out", required=True, metavar="DIR", help="results.json, statistics.csv, table.md, runs/, page")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run_sources)


def _add_cells(verbs: Any) -> None:
    verb = verbs.add_parser(
        "cells",
        help="score held-out perturbations of a screen of cells, on real and control graphs",
        description="Hold perturbations out in turn, learn from the others, and score predicted changes of expression "
        "against disjoint halves of the control cells. Finished runs are kept in OUT/runs.",
    )
    verb.add_argument("cells", metavar="FILE", help="cells: .h5ad or .zarr")
    verb.add_argument("--graph", required=True, nargs="+", action="extend", metavar="DIR", help="saved graphs")
    verb.add_argument(
        "--protocol",
        default="leave-one-out",
        metavar="NAME",
        help="leave-one-out (default), folds, doubles: combinations from all singles, or context: a cell type that is "
        "held out, from the others",
    )
    verb.add_argument("--folds", type=int, default=4, metavar="N", help="of the protocol folds (default: 4)")
    verb.add_argument("--singles-seen", type=int, default=2, metavar="N", help="doubles: targets measured alone (2)")
    verb.add_argument(
        "--models",
        nargs="+",
        required=True,
        metavar="[LABEL=]MODEL",
        help="a label tells settings of one model apart; an unknown name lists all",
    )
    verb.add_argument("--controls", nargs="*", default=["rewired"], metavar="CONTROL", help="default: rewired")
    verb.add_argument("--splits", type=int, default=10, metavar="N", help="draws of control halves (default: 10)")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draws (default: 0)")
    verb.add_argument("--min-cells", type=int, default=100, metavar="N", help="fewest cells (default: 100)")
    verb.add_argument("--target-sum", type=float, metavar="X", help="counts are scaled to this (default: the median)")
    verb.add_argument("--context", metavar="NAME", help="the cell type to look at, or (protocol context) to hold out")
    verb.add_argument("--per-source", action="store_true", help="also score each source of each graph alone")
    verb.add_argument(
        "--groups", nargs="+", default=[], metavar="NAME=A,B", help="further strata beside strong, weak and null"
    )
    verb.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="MODEL.KEY=VALUE", help="settings"
    )
    verb.add_argument("--out", required=True, metavar="DIR", help="scores.csv, published.csv, table.md, runs/")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    add_field_arguments(verb)
    verb.set_defaults(run=run_cells)


def run_cells(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell bench cells``."""
    from gnnvcell.bench.run_cells import CellBenchConfig, run_cell_bench

    settings = ("protocol", "folds", "singles_seen", "splits", "seed", "min_cells", "target_sum", "context")
    result = run_cell_bench(
        arguments.cells,
        arguments.graph,
        config=CellBenchConfig.parse({name: getattr(arguments, name) for name in settings}),
        fields=fields_of(arguments),
        models=arguments.models,
        controls=arguments.controls,
        per_source=arguments.per_source,
        groups=_named_lists(arguments.groups),
        overrides=arguments.overrides,
        out_dir=arguments.out,
        progress=not arguments.quiet,
    )
    print(result)
    print(f"\nscores.csv, summary.csv, published.csv, table.md: {arguments.out}")
    return _report(None, arguments.out, {})


def _named_lists(texts: list[str]) -> dict[str, list[str]]:
    from gnnvcell.errors import ConfigError

    found = {}
    for text in texts:
        name, separator, members = text.partition("=")
        if not (separator and name and members):
            raise ConfigError(f"cannot read the group {text!r}", expected="NAME=A,B,C")
        found[name] = members.split(",")
    return found


def run_suite(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell bench suite``."""
    from gnnvcell.bench import suite
    from gnnvcell.bench.suite_config import read_suite

    config = read_suite(arguments.config, arguments.settings)
    result = suite.run_suite(config, arguments.out, processes=arguments.processes, progress=not arguments.quiet)
    for name, found in result.cells.items():
        print(f"{name}\n{found}\n\nscores.csv, summary.csv, published.csv, table.md: {arguments.out}/cells/{name}\n")
    saved = {name: graph.saved for name, graph in config.graphs.items() if graph.saved is not None}
    return _report(result.summary, arguments.out, saved if result.summary is not None else {})


def run_sources(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell bench sources``."""
    from gnnvcell.bench.run import named_folders, run_bench

    result = run_bench(
        arguments.labels,
        arguments.graph,
        lines=arguments.lines,
        tasks=arguments.task,
        models=arguments.models,
        controls=arguments.controls,
        seeds=arguments.seeds,
        per_source=arguments.per_source,
        leave_one_out=arguments.leave_one_out,
        coalitions=arguments.coalitions,
        overrides=arguments.overrides,
        out_dir=arguments.out,
        processes=arguments.processes,
        progress=not arguments.quiet,
    )
    return _report(result.summary, arguments.out, named_folders(arguments.graph))


def _report(summary: Any, out: str, graphs: Mapping[str, str]) -> int:
    """Write the pages, and print the table of labels."""
    from gnnvcell.bench.table import format_table
    from gnnvcell.report.pages import write_pages

    pages = write_pages(out, graphs=graphs)
    if summary is not None:
        print(f"{format_table(summary)}\n\nresults.json, statistics.csv, table.md, table.csv: {out}")
    for page in pages:
        print(f"page: {page}")
    return 0
