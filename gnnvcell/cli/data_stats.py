"""``gnnvcell data stats``: what a screen is like, as tables, figures and one page."""

import argparse
from typing import Any

from gnnvcell.cli.fields import add_field_arguments, fields_of


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "stats",
        help="what a screen is like: genes, perturbations, effects, batches",
        description="Write gene_statistics.csv and other tables, figures (PNG, SVG) and the page index.html to OUT.",
    )
    verb.add_argument("file", metavar="FILE", help="cells: .h5ad or .zarr, counts or log1p-normalised")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder of all results")
    verb.add_argument("--no-de", action="store_true", help="no differential expression: faster")
    verb.add_argument("--fdr", type=float, default=0.05, metavar="X", help="level of its calls (default: 0.05)")
    verb.add_argument("--min-cells", type=int, default=3, metavar="N", help="fewest cells (default: 3)")
    verb.add_argument("--hvg", type=int, default=2000, metavar="N", help="highly variable genes (default: 2000)")
    verb.add_argument(
        "--matching", default="batch", metavar="HOW", help="controls of the same batch (default), or context"
    )
    verb.add_argument("--threads", type=int, metavar="N", help="threads of the tests (default: all)")
    verb.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_field_arguments(verb)
    verb.set_defaults(run=run_stats)


def run_stats(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell data stats``."""
    import sys
    from pathlib import Path

    from gnnvcell.data.cells import Cells
    from gnnvcell.data.statistics import StatisticsConfig, describe_cells
    from gnnvcell.report.statistics_page import write_statistics_page

    settings = {name: getattr(arguments, name) for name in ("hvg", "matching", "fdr", "min_cells", "threads")}
    config = StatisticsConfig.parse(settings | {"differential": not arguments.no_de}, where="stats")
    cells = Cells.open(arguments.file, fields_of(arguments))
    statistics = describe_cells(cells, config, progress=not arguments.quiet)
    command = " ".join(["gnnvcell", *sys.argv[1:]])
    page = write_statistics_page(
        arguments.out,
        statistics,
        title=f"Statistics of {Path(arguments.file).name}",
        fdr=config.fdr,
        extras={"command": command, "file": arguments.file, "settings": config.model_dump()},
    )
    if not arguments.quiet:
        print(f"{statistics}\npage: {page}")
    return 0
