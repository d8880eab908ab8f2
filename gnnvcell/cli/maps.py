"""``gnnvcell maps``: what a JEPA attends to and expects, of genes by genes and pathways by pathways."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "maps",
        help="export attention and predicted interactions of a trained JEPA",
        description="Write attention (how much tokens look at each other) and interactions (the predicted change of "
        "every gene when another is perturbed) as CSV, NPZ and PNG; by pathway too, where there are gene sets.",
    )
    verb.add_argument("model", metavar="RUN", help="folder of a training run, or of a model")
    verb.add_argument("--out", required=True, metavar="DIR", help="attention.csv, interactions.csv, .npz and .png")
    verb.add_argument("--genes", nargs="+", metavar="GENE", help="rows of the maps of genes (default: all)")
    verb.add_argument("--gene-sets", metavar="GMT", help="gene sets, for a model without a pathway layer")
    verb.add_argument("--context", metavar="NAME", help="cell type of training, where there are several")
    verb.add_argument("--mode", default="", metavar="MODE", help="of perturbations, such as CRISPRi")
    verb.set_defaults(run=run_maps)


def run_maps(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell maps``."""
    from pathlib import Path

    from gnnvcell.models.jepa import Jepa
    from gnnvcell.models.jepa.maps import export_maps
    from gnnvcell.models.jepa.pathways import pathways_of
    from gnnvcell.report.map_chart import map_chart
    from gnnvcell.report.theme import save

    model, out = Jepa.load(arguments.model), Path(arguments.out)
    sets = None
    if arguments.gene_sets is not None:
        sets = pathways_of(model.parts.genes, gene_sets=arguments.gene_sets)
    maps = export_maps(
        model, out, pathways=sets, genes=arguments.genes, context=arguments.context, mode=arguments.mode
    )
    for name, one in maps.items():
        save(map_chart(one.values, one.rows, one.columns, what=one.what), out / name)
        print(f"{name}: {len(one.rows):,} x {len(one.columns):,}, {one.what}")
    return 0
