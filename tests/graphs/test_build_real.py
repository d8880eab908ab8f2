"""build on the real files beside the checkout: coverage, old and new symbols, every argument counts."""

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.build import build

pytestmark = pytest.mark.shared

RECIPE = {
    "experimental_graph": {"type": "scgpt_derived", "args": {"mode": "top_5"}},
    "string_db": {"type": "string", "args": {"confidence": 0.7}},
    "gene_ontology": {"type": "go", "args": {"namespace": "biological_process"}},
    "reactome": {"type": "reactome", "args": {"species": "homo_sapiens"}},
}


@pytest.fixture(scope="module")
def real(shared_data):
    return build(RECIPE, source_dir=shared_data / "graphs", progress=False)


def test_the_dict_recipe_on_real_files(real) -> None:
    assert set(real.relations) == {"scgpt", "string", "annotated_bp", "is_a", "member_of", "subpathway_of"}
    for record in real.manifest.sources.values():
        assert record.coverage > 0.99
        assert all(relation.balance == 0 and relation.kept > 0 for relation in record.relation_records)
    assert real.num_edges("string") == 225_209
    # Old and new symbols meet: STRING says AARS and MARCH8, Reactome's newer file AARS1 and MARCHF8.
    assert real.vocab.index("AARS") == real.vocab.index("AARS1")
    assert real.vocab.index("MARCH8") == real.vocab.index("MARCHF8")
    rows = real.table("string")
    tp53 = real.vocab.index("TP53")
    assert 0.9 <= rows.weight[(rows.src == tp53) | (rows.dst == tp53)].max() <= 1


@pytest.mark.parametrize(
    ("relation", "source", "change"),
    [
        ("scgpt", "experimental_graph", {"mode": "top_20"}),
        ("scgpt", "experimental_graph", {"mode": "threshold_0.3"}),
        ("scgpt", "experimental_graph", {"mode": "percentile_99"}),
        ("string", "string_db", {"confidence": 0.9}),
        ("member_of", "reactome", {"min_pathway_genes": 10}),
    ],
)
def test_every_argument_changes_the_real_graph(real, shared_data, relation, source, change) -> None:
    entry = {**RECIPE[source], "args": {**RECIPE[source]["args"], **change}}
    other = build({source: entry}, source_dir=shared_data / "graphs", progress=False)
    assert other.num_edges(relation) != real.num_edges(relation)


@pytest.mark.slow
def test_another_namespace_is_another_relation(real, shared_data) -> None:
    entry = {"type": "go", "args": {"namespace": "cellular_component"}}
    other = build({"gene_ontology": entry}, source_dir=shared_data / "graphs", progress=False)
    assert "annotated_cc" in other.relations
    assert "annotated_bp" not in other.relations
    assert not set(other.node_names["go_term"]) & set(real.node_names["go_term"])


def test_real_genes_subset(shared_data) -> None:
    genes = ["AARS1", "TP53", "MDM2", "STAT1", "JAK2", "IFNGR1", "MARCHF8"]
    recipe = {key: RECIPE[key] for key in ("string_db", "reactome")}
    graph = build(recipe, source_dir=shared_data / "graphs", genes=genes, progress=False)
    assert graph.vocab.symbols.tolist() == genes
    assert graph.adjacency("string")[3, 4] > 0.9
    assert np.all(graph.adjacency("member_of")[[1, 3]].sum(axis=1) > 0)


def test_another_species_of_reactome_does_not_pass(shared_data) -> None:
    entry = {"reactome": {"type": "reactome", "args": {"species": "mus_musculus"}}}
    with pytest.raises((EmptyGraphError, ConfigError, FileFormatError)):
        build(entry, source_dir=shared_data / "graphs", progress=False)
