"""All databases of a world at once, and the recipe that builds a graph of them."""

from pathlib import Path

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.knowledge.go_files import (
    known_annotations,
    make_ontology,
    write_annotations,
    write_ontology,
)
from gnnvcell.data.simulator.knowledge.identifiers import make_identifiers
from gnnvcell.data.simulator.knowledge.reactome_files import known_pathways, write_pathways
from gnnvcell.data.simulator.knowledge.scgpt_files import known_embedding_edges, write_embedding_edges
from gnnvcell.data.simulator.knowledge.string_files import known_interactions, write_string
from gnnvcell.data.simulator.knowledge.visibility import Visibility
from gnnvcell.data.simulator.wiring import Wiring

RECIPE = """\
# The graph of a planted world, written by gnnvcell's simulator with the settings in simulator.json. Genes, terms and
# pathways are invented; the formats are the databases' own.
name = "planted world"
species = 9606
source_dir = "."

[sources.string_db]
type = "string"
release = "simulated"
licence = "Apache-2.0"
args = {confidence = 0.4}

[sources.gene_ontology]
type = "go"
release = "simulated"
licence = "Apache-2.0"
args = {namespace = ["biological_process", "cellular_component"]}

[sources.reactome]
type = "reactome"
release = "simulated"
licence = "Apache-2.0"
args = {species = "homo_sapiens"}

[sources.scgpt]
type = "scgpt_derived"
release = "simulated"
licence = "Apache-2.0"
args = {mode = "top_5"}
"""


def write_knowledge(folder: Path, config: SimulatorConfig, wiring: Wiring, visibility: Visibility) -> list[Path]:
    """Write STRING, Gene Ontology, Reactome and scGPT-like files as the databases would know this world.

    Args:
        folder: where to.
        config: the world's settings.
        wiring: the truth.
        visibility: who is studied.

    Returns:
        The files.
    """
    names = make_identifiers(config, wiring.genes)
    terms = make_ontology(config, wiring)
    annotations = known_annotations(config, terms, visibility)
    return [
        *write_string(folder, config, known_interactions(config, wiring, visibility), names, visibility),
        write_ontology(folder / "go-basic.obo", terms),
        write_annotations(folder / "goa_human.gaf.gz", config, annotations, names),
        *write_pathways(folder, config, known_pathways(config, wiring, visibility), names),
        write_embedding_edges(folder / "scgpt_edges.tsv.gz", known_embedding_edges(config, wiring, visibility), names),
    ]
