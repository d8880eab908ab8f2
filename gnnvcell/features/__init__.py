"""Features of genes and compounds: read from files of embeddings, computed by ESM or rdkit, or from sequences alone."""

from gnnvcell.features.chem import CompoundReport, FingerprintConfig, embed_compounds, fingerprints
from gnnvcell.features.composition import composition_columns, composition_features
from gnnvcell.features.esm import EsmConfig, EsmReport, embed_proteins
from gnnvcell.features.feature_table import FeatureReport, FeatureTable
from gnnvcell.features.isoforms import Isoforms
from gnnvcell.features.joining import JoinedFeatures, join_features
from gnnvcell.features.readers import read_features
from gnnvcell.features.species import SpeciesFeatures, by_orthologues, read_orthologues, species_features
from gnnvcell.features.writers import write_features

__all__ = [
    "CompoundReport",
    "EsmConfig",
    "EsmReport",
    "FeatureReport",
    "FeatureTable",
    "FingerprintConfig",
    "Isoforms",
    "JoinedFeatures",
    "SpeciesFeatures",
    "by_orthologues",
    "composition_columns",
    "composition_features",
    "embed_compounds",
    "embed_proteins",
    "fingerprints",
    "join_features",
    "read_features",
    "read_orthologues",
    "species_features",
    "write_features",
]
