"""Graph sources: one file per database, each a configuration that reads its official files into edge tables.

Importing this package registers all of them in ``SOURCES``.
"""

from gnnvcell.graphs.sources.arrays import Arrays
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext
from gnnvcell.graphs.sources.coexpression import Coexpression
from gnnvcell.graphs.sources.gene_sets import GeneSets
from gnnvcell.graphs.sources.go import GeneOntology
from gnnvcell.graphs.sources.reactome import Reactome
from gnnvcell.graphs.sources.reactome_fi import ReactomeFI
from gnnvcell.graphs.sources.scgpt import Scgpt
from gnnvcell.graphs.sources.string_db import String
from gnnvcell.graphs.sources.table import Table

__all__ = [
    "SOURCES",
    "Arrays",
    "Coexpression",
    "GeneOntology",
    "GeneSets",
    "Reactome",
    "ReactomeFI",
    "Reading",
    "Scgpt",
    "Source",
    "SourceContext",
    "String",
    "Table",
]
