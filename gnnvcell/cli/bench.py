"""``gnnvcell bench``: compare graph sources, models and control graphs."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb group."""
    group = subparsers.add_parser("bench", help="compare graph sources, models and control graphs")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
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
    verb.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODEL.KEY=VALUE",
        help="settings of a model, for example smoother.power=2.0",
    )
    verb.add_argument("--out", required=True, metavar="DIR", help="results.json, table.md, table.csv, runs/, page")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run_sources)


def run_sources(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell bench sources``."""
    from gnnvcell.bench.run import run_bench
    from gnnvcell.bench.table import format_table
    from gnnvcell.report.page import write_page

    result = run_bench(
        arguments.labels,
        arguments.graph,
        lines=arguments.lines,
        tasks=arguments.task,
        models=arguments.models,
        controls=arguments.controls,
        seeds=arguments.seeds,
        per_source=arguments.per_source,
        overrides=arguments.overrides,
        out_dir=arguments.out,
        progress=not arguments.quiet,
    )
    page = write_page(
        arguments.out, result.records, title="Graph sources", strata=result.runs, extras=result.provenance
    )
    print(format_table(result.summary))
    print(f"\nresults.json, table.md, table.csv: {arguments.out}\npage: {page}")
    return 0
