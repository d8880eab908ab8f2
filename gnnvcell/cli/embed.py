"""``gnnvcell embed``: feature tables of proteins (ESM) and compounds (fingerprints), and embeddings of cells."""

import argparse
from typing import Any

from gnnvcell.cli import embed_cells


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb group."""
    group = subparsers.add_parser("embed", help="embed proteins (ESM), compounds (fingerprints) and cells (SE)")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_esm(verbs)
    _add_compounds(verbs)
    embed_cells.add_verbs(verbs)


def _add_esm(verbs: Any) -> None:
    verb = verbs.add_parser(
        "esm",
        help="embed the proteins of a fasta file with ESM",
        description="Mean over the residues of each protein. Interrupted, the same command goes on where it stopped.",
    )
    verb.add_argument("--fasta", required=True, metavar="FILE", help="proteins, plain or gzipped (UniProt, Ensembl)")
    verb.add_argument("--out", required=True, metavar="TABLE", help="table to write: .npz, .pt or .h5")
    verb.add_argument("--model", metavar="NAME", help="model of fair-esm (default: esm2_t33_650M_UR50D)")
    verb.add_argument("--checkpoint", metavar="FILE", help="its weights, where they are not to be downloaded")
    verb.add_argument("--genes", metavar="FILE", help="only these genes, one name per line; those without are reported")
    verb.add_argument("--species", type=int, metavar="TAXON", help="taxon of the genes (default: 9606, human)")
    verb.add_argument(
        "--isoforms", choices=("longest", "mean", "all"), help="several proteins of one gene (default: longest)"
    )
    verb.add_argument("--layer", type=int, metavar="N", help="layer of the embeddings (default: the last)")
    verb.add_argument(
        "--batch-tokens", type=int, metavar="N", help="most tokens of a batch (default: 4096 on a GPU, else 1024)"
    )
    verb.add_argument("--max-length", type=int, metavar="N", help="most residues read at once (default: 1022)")
    verb.add_argument("--overlap", type=int, metavar="N", help="residues that windows share (default: 256)")
    verb.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda where there is one)")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run_esm)


def _add_compounds(verbs: Any) -> None:
    verb = verbs.add_parser(
        "compounds",
        help="Morgan fingerprints of compounds from their SMILES",
        description="Needs rdkit: pip install 'gnnvcell[chem]'.",
    )
    verb.add_argument("--smiles", required=True, metavar="FILE", help=".csv or .tsv, plain or gzipped, with a header")
    verb.add_argument("--out", required=True, metavar="TABLE", help="table to write: .npz, .pt or .h5")
    verb.add_argument("--name-column", metavar="NAME", help="column of the names (default: the first)")
    verb.add_argument("--smiles-column", metavar="NAME", help="column of the SMILES (default: smiles, in any case)")
    verb.add_argument("--radius", type=int, metavar="N", help="bonds around each atom (default: 2)")
    verb.add_argument("--size", type=int, metavar="N", help="number of features (default: 2048)")
    verb.add_argument("--counts", action="store_true", default=None, help="how often, instead of whether")
    verb.add_argument("--chirality", action="store_true", default=None, help="tell stereoisomers apart")
    verb.add_argument(
        "--salts", choices=("keep", "strip"), help="strip: only the largest fragment of each compound (default: keep)"
    )
    verb.add_argument(
        "--invalid", choices=("mask", "error"), help="SMILES that cannot be read (default: mask, and report them)"
    )
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run_compounds)


def _given(arguments: argparse.Namespace, names: Any) -> dict[str, Any]:
    """The settings that were given, so that what was not keeps the default of its configuration."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name, None) is not None}


def run_esm(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell embed esm``."""
    from gnnvcell.features.esm import EsmConfig, embed_proteins
    from gnnvcell.files import read_names

    report = embed_proteins(
        arguments.fasta,
        arguments.out,
        EsmConfig.parse(_given(arguments, EsmConfig.model_fields), where="embed esm"),
        genes=read_names(arguments.genes) if arguments.genes else None,
        progress=not arguments.quiet,
    )
    return _end(arguments, report)


def run_compounds(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell embed compounds``."""
    from gnnvcell.features.chem import FingerprintConfig, embed_compounds

    report = embed_compounds(
        arguments.smiles,
        arguments.out,
        FingerprintConfig.parse(_given(arguments, FingerprintConfig.model_fields), where="embed compounds"),
        name_column=arguments.name_column,
        smiles_column=arguments.smiles_column,
        progress=not arguments.quiet,
    )
    return _end(arguments, report)


def _end(arguments: argparse.Namespace, report: Any) -> int:
    if not arguments.quiet:
        print(report)
        print(f"saved in {arguments.out}")
    return 0
