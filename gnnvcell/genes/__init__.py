"""One identity for a gene across approved and previous symbols, aliases, Ensembl, ENSP, UniProt and Entrez ids."""

from gnnvcell.genes.alignment import Alignment
from gnnvcell.genes.hgnc import read_hgnc
from gnnvcell.genes.identities import KINDS, Identities, NameSource
from gnnvcell.genes.renamings import load_renamings
from gnnvcell.genes.string_names import read_string
from gnnvcell.genes.vocab import GeneVocab

__all__ = [
    "KINDS",
    "Alignment",
    "GeneVocab",
    "Identities",
    "NameSource",
    "load_renamings",
    "read_hgnc",
    "read_string",
]
