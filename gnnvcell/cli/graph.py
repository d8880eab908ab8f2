"""``gnnvcell graph``: build, look at, verify, download, plot and randomise gene graphs."""

import argparse
from typing import Any


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb group."""
    group = subparsers.add_parser("graph", help="build, look at, verify, download, plot, randomise gene graphs")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_build(verbs)
    _add_info(verbs)
    _add_verify(verbs)
    _add_fetch(verbs)
    _add_plot(verbs)
    _add_control(verbs)


def _add_build(verbs: Any) -> None:
    verb = verbs.add_parser("build", help="build a graph from a recipe and its files, and save it")
    verb.add_argument("recipe", metavar="RECIPE", help="a TOML recipe, such as graphs/human.toml")
    verb.add_argument("--source-dir", metavar="DIR", help="folder of the files (goes before the recipe's own)")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder to save the graph in")
    verb.add_argument("--genes", metavar="FILE", help="text file with one gene symbol per line: the graph's genes")
    verb.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe, for example sources.string_db.args.confidence=0.9",
    )
    verb.add_argument("--quiet", action="store_true", help="no progress, no table")
    verb.set_defaults(run=run_build)


def _add_info(verbs: Any) -> None:
    verb = verbs.add_parser("info", help="nodes, edges, coverage and overlap of a saved graph")
    verb.add_argument("graph", metavar="DIR", help="a saved graph")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--csv", metavar="FILE", help="also write the table of relations to a CSV file")
    verb.add_argument("--sources", action="store_true", help="also print what each source gave and what was dropped")
    verb.set_defaults(run=run_info)


def _add_verify(verbs: Any) -> None:
    verb = verbs.add_parser(
        "verify",
        help="check a saved graph against its digest, and its files against their checksums",
        description="Exit code 0: all as it was; 1: a source file is missing or changed; 2: the graph is damaged.",
    )
    verb.add_argument("graph", metavar="DIR", help="a saved graph")
    verb.add_argument("--source-dir", metavar="DIR", help="also check the files the graph was built from")
    verb.set_defaults(run=run_verify)


def _add_fetch(verbs: Any) -> None:
    verb = verbs.add_parser("fetch", help="download the official files of a recipe")
    verb.add_argument("recipe", metavar="RECIPE", help="a TOML recipe, such as graphs/human.toml")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder for the files, such as graphs/raw")
    verb.add_argument("--sources", nargs="+", metavar="KEY", help="only these sources ('genes' is the gene table)")
    verb.add_argument(
        "--mirror",
        metavar="URL",
        help="download from here: replaces scheme and host, or a pattern with {host}, {path} or {name}",
    )
    verb.add_argument("--quiet", action="store_true", help="no progress bars")
    verb.set_defaults(run=run_fetch)


def _add_plot(verbs: Any) -> None:
    verb = verbs.add_parser("plot", help="plot degrees, overlap of sources and coverage")
    verb.add_argument("graph", metavar="DIR", help="a saved graph")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder for degrees.png, overlap.png, coverage.png")
    verb.set_defaults(run=run_plot)


def _add_control(verbs: Any) -> None:
    verb = verbs.add_parser("control", help="make a control graph: the same genes, wrong edges")
    verb.add_argument("graph", metavar="DIR", help="a saved graph")
    verb.add_argument(
        "--kind",
        required=True,
        help="rewired (degree-matched), permuted (gene names), empty, dense (one hub), complete or size_matched",
    )
    verb.add_argument("--seed", type=int, default=0, help="seed of the random choices (default: 0)")
    verb.add_argument("--num-edges", type=int, metavar="N", help="size_matched: edges to leave in each relation")
    verb.add_argument("--swaps-per-edge", type=float, metavar="X", help="rewired: swaps tried per edge (default: 10)")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder to save the control graph in")
    verb.set_defaults(run=run_control)


def run_build(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell graph build``."""
    from gnnvcell.files import read_names
    from gnnvcell.graphs.build import build

    graph = build(
        arguments.recipe,
        source_dir=arguments.source_dir,
        genes=read_names(arguments.genes) if arguments.genes else None,
        overrides=arguments.overrides,
        progress=not arguments.quiet,
    )
    graph.save(arguments.out)
    if not arguments.quiet:
        print(graph.info())
        print(f"saved in {arguments.out}")
    return 0


def run_info(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell graph info``."""
    import json

    from gnnvcell.files import write_text
    from gnnvcell.graphs.gene_graph import GeneGraph

    graph = GeneGraph.load(arguments.graph)
    info = graph.info()
    if arguments.csv:
        write_text(arguments.csv, info.table.to_csv())
    if arguments.json:
        print(json.dumps(_as_json(info), indent=1))
        return 0
    print(info)
    if arguments.sources:
        print(f"\n{graph.manifest.report()}")
    return 0


def _as_json(info: Any) -> dict[str, Any]:
    """A ``GraphInfo`` as plain values; what does not apply to a relation is null."""
    import json

    frames = {"relations": info.table, "overlap": info.overlap, "gene_overlap": info.gene_overlap}
    head = {"name": info.name, "digest": info.digest, "nodes": info.nodes, "isolated_genes": info.isolated_genes}
    # pandas writes NaN as null; the json module would write NaN, which is not JSON.
    return head | {name: json.loads(frame.to_json(orient="index")) for name, frame in frames.items()}


def run_verify(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell graph verify``."""
    from gnnvcell.graphs.verify import verify

    found = verify(arguments.graph, source_dir=arguments.source_dir)
    print(found)
    return 0 if found.ok else 1


def run_fetch(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell graph fetch``."""
    from gnnvcell.graphs.fetch import fetch

    report = fetch(
        arguments.recipe,
        arguments.out,
        sources=arguments.sources,
        mirror=arguments.mirror,
        progress=not arguments.quiet,
    )
    print(report)
    return 0


def run_plot(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell graph plot``."""
    from gnnvcell.graphs.gene_graph import GeneGraph
    from gnnvcell.graphs.plot import save_plots

    for path in save_plots(GeneGraph.load(arguments.graph), arguments.out):
        print(path)
    return 0


def run_control(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell graph control``."""
    from gnnvcell.graphs.controls import make_control
    from gnnvcell.graphs.gene_graph import GeneGraph

    control = make_control(
        GeneGraph.load(arguments.graph),
        arguments.kind,
        seed=arguments.seed,
        num_edges=arguments.num_edges,
        swaps_per_edge=arguments.swaps_per_edge,
    )
    control.save(arguments.out)
    print(control.manifest.history[-1])
    print(f"saved in {arguments.out}")
    return 0
