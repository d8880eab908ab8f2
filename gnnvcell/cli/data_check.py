"""``gnnvcell data check``: what is in a file of cells, and what is wrong with it."""

import argparse
from typing import Any

from gnnvcell.cli.fields import add_field_arguments, fields_of


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "check",
        help="what is in a file of cells, and what is wrong with it",
        description="Look at all of FILE. Exit code 0: no error (warnings may be there); 1: errors; 2: unreadable.",
    )
    verb.add_argument("file", metavar="FILE", help="cells: .h5ad or .zarr")
    verb.add_argument("--graph", metavar="DIR", help="a saved graph: report which genes and targets it covers")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    add_field_arguments(verb)
    verb.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell data check``."""
    import json

    from gnnvcell.data.cells import Cells
    from gnnvcell.data.check import check_cells

    vocab = None
    if arguments.graph:
        from gnnvcell.graphs.gene_graph import GeneGraph

        vocab = GeneGraph.load(arguments.graph).vocab
    cells = Cells.open(arguments.file, fields_of(arguments), unique_genes=False)
    report = check_cells(cells, vocab, progress=not arguments.quiet)
    print(json.dumps(report.as_dict(), indent=1) if arguments.json else report)
    return 0 if report.ok else 1
