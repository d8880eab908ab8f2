"""``gnnvcell data preprocess``: normalise cells, choose genes, keep cells whose target was knocked down."""

import argparse
from typing import Any

from gnnvcell.cli.fields import add_field_arguments, fields_of


def add_verb(verbs: Any) -> None:
    """Register the verb."""
    verb = verbs.add_parser(
        "preprocess",
        help="normalise counts, take logarithms, find highly variable genes, drop cells without knock-down",
        description="Read IN block by block, however large, and write OUT whole or not at all: X is log1p of counts "
        "scaled to one sum a cell, obsm['X_hvg'] its highly variable genes, obs the log of all counts. "
        "Other layers, obsm and uns of IN are left behind.",
    )
    verb.add_argument("file", metavar="IN", help="cells: .h5ad or .zarr")
    verb.add_argument("--out", required=True, metavar="OUT", help="name ending in .h5ad or .zarr")
    verb.add_argument("--target-sum", default="10000", metavar="X", help="counts of a cell: a number, or median")
    verb.add_argument("--no-normalise", action="store_true", help="the values are log1p already: leave them")
    verb.add_argument("--hvg", type=int, default=2000, metavar="N", help="highly variable genes (default: 2000)")
    verb.add_argument("--flavour", default="seurat", metavar="NAME", help="seurat (default), cell_ranger: as in scanpy")
    verb.add_argument("--top-genes", type=int, metavar="N", help="keep the N genes of highest mean expression")
    verb.add_argument("--genes", metavar="FILE", help="keep these genes, one per line")
    verb.add_argument(
        "--keep-targets", action="store_true", help="perturbed genes are always kept, and in obsm['X_hvg']"
    )
    verb.add_argument("--keep-counts", action="store_true", help="also write the counts, as layers['counts']")
    verb.add_argument("--compression", metavar="NAME", help="gzip: smaller h5ad files, slower (default: none)")
    _add_knockdown(verb.add_argument_group("knock-down filter"))
    verb.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_field_arguments(verb)
    verb.set_defaults(run=run_preprocess)


def _add_knockdown(group: Any) -> None:
    group.add_argument(
        "--knockdown", action="store_true", help="keep cells whose target was knocked down; OUT.knockdown.csv tells"
    )
    group.add_argument("--residual", type=float, metavar="X", help="of a perturbation's mean (default: 0.30)")
    group.add_argument("--cell-residual", type=float, metavar="X", help="of a cell (default: 0.50)")
    group.add_argument("--min-cells", type=int, metavar="N", help="fewest cells left (default: 30)")
    group.add_argument(
        "--drop-unjudged", action="store_true", default=None, help="drop what cannot be judged (unmeasured targets)"
    )


def run_preprocess(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell data preprocess``."""
    from gnnvcell.data.preprocess import PreprocessConfig, preprocess

    config = PreprocessConfig.parse(_settings(arguments), where="preprocess")
    done = preprocess(
        arguments.file, arguments.out, config, fields=fields_of(arguments), progress=not arguments.quiet
    )
    if not arguments.quiet:
        print(f"{done}\nsaved in {arguments.out}")
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    from gnnvcell.errors import ConfigError
    from gnnvcell.files import read_names

    limits = {name: getattr(arguments, name) for name in ("residual", "cell_residual", "min_cells", "drop_unjudged")}
    given = {name: value for name, value in limits.items() if value is not None}
    if given and not arguments.knockdown:
        flag = f"--{next(iter(given)).replace('_', '-')}"
        raise ConfigError(f"{flag} means nothing without the filter", remedy="add --knockdown, or leave it out")
    return {
        "target_sum": arguments.target_sum,
        "normalise": not arguments.no_normalise,
        "genes": tuple(read_names(arguments.genes)) if arguments.genes else None,
        "knockdown": given if arguments.knockdown else None,
        **{name: getattr(arguments, name) for name in ("hvg", "flavour", "top_genes", "keep_targets", "keep_counts")},
        "compression": arguments.compression,
    }
