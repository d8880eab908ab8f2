import numpy as np
import pytest

from gnnvcell.errors import ModelError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.controls import empty, rewired
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._profiles import GraphProfiles, graph_profiles
from gnnvcell.models._relation_profiles import Annotation, Diffusion, ProfileConfig, cosines

GENES = np.array(["A", "B", "C", "D", "E"])
TERMS = np.array(["t0", "t1", "t2"])


def terms_graph(pairs):
    gene, term = (np.array(side) for side in zip(*pairs, strict=True))
    table = EdgeTable(
        ("gene", "annotated_bp", "go_term"), gene, term, np.ones(len(gene), np.float32), GENES, TERMS, directed=True
    )
    return GeneGraph.from_tables([table], GeneVocab.from_symbols(GENES, renamings=False), {"go_term": TERMS})


def test_terms_by_hand():
    # t0 has 3 of 4 annotated genes, t1 two, t2 one (which says nothing).
    profiles = GraphProfiles(terms_graph([(0, 0), (1, 0), (2, 0), (0, 1), (3, 1), (3, 2)]), ProfileConfig())
    (one,), (others,) = profiles.of_perturbations(["A"]), profiles.of_perturbations(["B", "D", "E", "B+E"])
    found = cosines(one, others)
    common, rare = np.log(4 / 3), np.log(4 / 2)
    expected = [common / np.hypot(common, rare), rare / np.hypot(common, rare), 0, common / np.hypot(common, rare)]
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_large_terms_are_left_out():
    graph = terms_graph([(0, 0), (1, 0), (2, 0), (0, 1), (3, 1)])
    profiles = GraphProfiles(graph, ProfileConfig(max_term_genes=2))
    assert cosines(*profiles.of_perturbations(["A"]), *profiles.of_perturbations(["B"])).item() == 0


def test_diffusion_agrees_with_a_dense_reference(planted_de):
    graph = planted_de.graph.select("string")
    config = ProfileConfig(steps=3, restart=0.2, hub_exponent=0.5)
    dense = graph.adjacency("string").toarray()
    strength = dense.sum(axis=1)
    walk = np.divide(dense, strength[:, None], out=np.zeros_like(dense), where=strength[:, None] > 0)
    state = start = np.eye(len(dense))
    for _ in range(3):
        state = 0.2 * start + 0.8 * state @ walk
    profile = np.sqrt(state / np.sqrt(np.where(strength > 0, strength, 1)))
    profile /= np.linalg.norm(profile, axis=1, keepdims=True)
    names = planted_de.train.perturbations
    rows = graph.vocab.lookup(names)
    (found_rows,) = GraphProfiles(graph, config).of_perturbations(names)
    found = cosines(found_rows, found_rows)
    assert (strength[rows] > 0).all()
    np.testing.assert_allclose(found, (profile @ profile.T)[np.ix_(rows, rows)], atol=2e-3)


def test_similarities_are_in_range_and_symmetric(planted_de):
    profiles = GraphProfiles(planted_de.graph, ProfileConfig())
    assert profiles.relations == planted_de.graph.relations
    found = profiles.among(planted_de.train.perturbations).similarity
    assert found.min() >= 0
    assert found.max() <= 1.001
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), atol=1e-5)
    readout = profiles.readout_similarity(planted_de.train.genes)
    assert (np.diag(readout) == 0).all()


def test_tables_of_fewer_names_are_cut_out_of_those_of_more(planted_de, monkeypatch):
    names = planted_de.train.perturbations
    genes = planted_de.train.genes
    fewer, fewer_genes = names[[5, 2, 9, 2]], genes[[7, 3]]
    alone, kept = (GraphProfiles(planted_de.graph, ProfileConfig()) for _ in range(2))
    others = planted_de.test.perturbations
    kept.between(others, kept.among(names))
    kept.readout_similarity(genes)
    for profile in kept._profiles.values():
        for made in ("of_targets", "short"):
            monkeypatch.setattr(profile, made, None)  # nothing is made anew
    for asked in (fewer, fewer[[1, 0]]):  # the second is cut out of what was cut out
        found, expected = kept.among(asked), alone.among(asked)
        np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-6)
        for some in (others, others[[3, 1, 3]]):
            to_known, wanted = kept.between(some, found), alone.between(some, expected)
            assert to_known.shape == (len(kept.relations), len(some), len(asked))
            np.testing.assert_allclose(to_known, wanted, atol=1e-6)
    assert kept.among(fewer).alike[0] is kept.among(fewer).alike[0]
    np.testing.assert_allclose(kept.readout_similarity(fewer_genes), alone.readout_similarity(fewer_genes), atol=1e-6)


def test_a_graph_without_edges_says_that_nothing_is_alike(planted_de, capfd):
    names = planted_de.train.perturbations
    found = GraphProfiles(empty(planted_de.graph, seed=0), ProfileConfig()).among(names).similarity
    assert found.shape[1:] == (len(names), len(names))
    assert not found.any()
    assert "SSYRK" not in "".join(capfd.readouterr())


def test_profiles_are_made_once_per_content_of_a_graph(planted_de):
    again = planted_de.graph.select(planted_de.graph.relations)
    assert graph_profiles(planted_de.graph, ProfileConfig()) is graph_profiles(again, ProfileConfig())
    other = planted_de.graph.select("string")
    assert graph_profiles(other, ProfileConfig()) is not graph_profiles(again, ProfileConfig())


def test_parts_of_a_graph_share_what_was_made_of_its_relations(planted_de, monkeypatch):
    names, genes = planted_de.train.perturbations, planted_de.train.genes
    other = rewired(planted_de.graph, seed=7)
    whole = graph_profiles(other, ProfileConfig())
    found, readouts = whole.among(names).similarity, whole.readout_similarity(genes)
    for kind in (Diffusion, Annotation):
        monkeypatch.setattr(kind, "rows", None)  # nothing is made anew
        monkeypatch.setattr(kind, "short", None)
    said = []
    for relation in other.relations:  # more of them than graphs are kept
        part = graph_profiles(other.select(relation), ProfileConfig())
        place = whole.relations.index(relation)
        np.testing.assert_array_equal(part.among(names).similarity, found[[place]])
        said.append(part.readout_similarity(genes))
    np.testing.assert_allclose(np.mean(said, axis=0), readouts, atol=1e-6)
    assert graph_profiles(other, ProfileConfig()) is whole
    monkeypatch.undo()
    drawn_anew = graph_profiles(rewired(planted_de.graph, seed=8).select("string"), ProfileConfig())
    assert not np.allclose(drawn_anew.among(names).similarity, found[[whole.relations.index("string")]])
    closer = graph_profiles(other, ProfileConfig(steps=1))
    assert not np.allclose(closer.among(names).similarity, found)


def test_graph_without_gene_relations_is_an_error():
    table = EdgeTable(
        ("go_term", "is_a", "go_term"),
        np.array([0]),
        np.array([1]),
        np.ones(1, np.float32),
        TERMS,
        TERMS,
        directed=True,
    )
    graph = GeneGraph.from_tables([table], GeneVocab.from_symbols(GENES, renamings=False), {"go_term": TERMS})
    with pytest.raises(ModelError, match="no relation of the graph touches a gene"):
        GraphProfiles(graph, ProfileConfig())
