"""``gnnvcell pack``: a prediction as the .vcc archive that the Virtual Cell Challenge takes."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    from gnnvcell.cli.fields import add_field_arguments

    verb = subparsers.add_parser(
        "pack",
        help="pack a prediction as a .vcc archive for the Virtual Cell Challenge",
        description="Check a prediction and pack it by cell-eval's own prep (pip install 'gnnvcell[eval]'; needs the "
        "commands zstd and tar): genes in the order of the list, log-normalised sparse floats, one obs column.",
    )
    verb.add_argument("predicted", metavar="PRED", help="predicted cells with the real control cells (.h5ad)")
    verb.add_argument("--genes", required=True, metavar="FILE", help="the challenge's genes: one per line, no header")
    verb.add_argument("--out", required=True, metavar="FILE", help="the archive to write, such as prediction.vcc")
    verb.add_argument("--bits", type=int, default=32, metavar="N", help="of a value: 32 (default) or 64")
    verb.add_argument(
        "--max-cells", type=int, default=100_000, metavar="N", help="most cells, controls included (default: 100000)"
    )
    add_field_arguments(verb)
    verb.set_defaults(run=run_pack)


def run_pack(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell pack``."""
    from gnnvcell.cli.fields import fields_of
    from gnnvcell.data.cells import Cells
    from gnnvcell.tasks.official.packing import PackConfig, pack_vcc

    cells = Cells.open(arguments.predicted, fields_of(arguments))
    config = PackConfig.parse({"bits": arguments.bits, "max_cells": arguments.max_cells}, where="pack")
    print(pack_vcc(cells, arguments.genes, arguments.out, config=config))
    return 0
