"""GeneGraph: structure by hand, round trip, tampering, derived graphs, numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from gnnvcell._dgl import dgl
from gnnvcell.errors import (
    ConfigError,
    EmptyGraphError,
    FileFormatError,
    GeneError,
    GraphIntegrityError,
)
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import Manifest, SourceRecord

GENES = np.array(["A", "B", "C", "D", "E"])
TERMS = np.array(["GO:1", "GO:2", "GO:3"])


def ints(*values):
    return np.array(values, dtype=np.int64)


def floats(*values):
    return np.array(values, dtype=np.float32)


def string_table():
    # Given in both orientations and out of order: C-A, B-A, and C-B.
    return EdgeTable(("gene", "string", "gene"), ints(2, 1, 2), ints(0, 0, 1), floats(0.7, 0.5, 0.9), GENES, GENES)


def regulates_table():
    sign = np.array([-1, 1, 0], dtype=np.int8)
    etype = ("gene", "regulates", "gene")
    return EdgeTable(etype, ints(1, 0, 3), ints(0, 1, 0), floats(1, 2, 3), GENES, GENES, sign, directed=True)


def annotated_table():
    etype = ("gene", "annotated_bp", "go_term")
    return EdgeTable(etype, ints(0, 0, 1), ints(1, 0, 1), floats(1, 1, 1), GENES, TERMS)


def is_a_table():
    return EdgeTable(("go_term", "is_a", "go_term"), ints(1), ints(0), floats(1), TERMS, TERMS, directed=True)


def make(*tables, manifest=None):
    vocab = GeneVocab(GENES, {"previous": [("OLD_C", 2)]})
    return GeneGraph.from_tables(
        tables or [string_table(), regulates_table(), annotated_table(), is_a_table()],
        vocab,
        {"go_term": TERMS},
        manifest or MANIFEST,
        {"go_term": np.array(["one", "two", ""], dtype=object)},
    )


MANIFEST = Manifest.create(
    {
        "string_db": SourceRecord(key="string_db", type="string", relations=("string",)),
        "fi": SourceRecord(key="fi", type="reactome_fi", relations=("regulates",)),
        "go": SourceRecord(key="go", type="go", relations=("annotated_bp", "is_a")),
    },
    name="toy",
)


@pytest.fixture
def graph() -> GeneGraph:
    return make()


# --- structure


def test_symmetric_relations_hold_both_directions_and_others_have_a_reverse_type(graph) -> None:
    assert set(graph.graph.canonical_etypes) == {
        ("gene", "string", "gene"),
        ("gene", "regulates", "gene"),
        ("gene", "rev_regulates", "gene"),
        ("gene", "annotated_bp", "go_term"),
        ("go_term", "rev_annotated_bp", "gene"),
        ("go_term", "is_a", "go_term"),
        ("go_term", "rev_is_a", "go_term"),
    }
    assert set(graph.relations) == {"string", "regulates", "annotated_bp", "is_a"}
    assert graph.is_symmetric("string")
    assert not graph.is_symmetric("regulates")
    assert not graph.is_symmetric("annotated_bp")
    assert graph.graph.idtype == torch.int32
    assert {graph.num_edges(r) for r in ("string", "regulates", "annotated_bp")} == {3}
    assert graph.graph.num_edges("string") == 6


def test_edges_are_sorted_and_mirrored_in_the_same_order(graph) -> None:
    src, dst, weight, sign = graph.edges("string")
    assert src.tolist() == [0, 0, 1, 1, 2, 2]
    assert dst.tolist() == [1, 2, 2, 0, 0, 1]
    assert weight.tolist() == pytest.approx([0.5, 0.7, 0.9] * 2)
    assert sign is None
    assert (src.dtype, weight.dtype) == (np.int64, np.float32)


def test_directed_edges_keep_their_signs_in_both_types(graph) -> None:
    src, dst, weight, sign = graph.edges("regulates")
    assert list(zip(src.tolist(), dst.tolist(), weight.tolist(), sign.tolist(), strict=True)) == [
        (0, 1, 2.0, 1),
        (1, 0, 1.0, -1),
        (3, 0, 3.0, 0),
    ]
    back = graph.graph.edges["rev_regulates"].data
    assert torch.equal(back["sign"], graph.graph.edges["regulates"].data["sign"])
    heads, tails = graph.graph.edges(etype="rev_regulates", order="eid")
    assert heads.tolist() == dst.tolist()
    assert tails.tolist() == src.tolist()


def test_table_is_the_inverse_of_from_tables(graph) -> None:
    table = graph.table("string")
    assert not table.directed
    assert list(zip(table.src.tolist(), table.dst.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    again = GeneGraph.from_tables(
        [graph.table(r) for r in graph.relations], graph.vocab, graph.node_names, MANIFEST, graph.node_labels
    )
    assert again.digest == graph.digest


def test_a_pair_may_be_given_in_both_directions_but_not_contradict_itself() -> None:
    both = EdgeTable(("gene", "string", "gene"), ints(0, 1), ints(1, 0), floats(0.5, 0.5), GENES, GENES)
    assert make(both).num_edges("string") == 1
    with pytest.raises(GraphIntegrityError, match="A - B"):
        make(both.with_weight(floats(0.5, 0.6)))
    with pytest.raises(GraphIntegrityError, match="more than once"):
        make(replace(regulates_table(), src=ints(0, 0, 3), dst=ints(1, 1, 0)))


def test_a_self_loop_of_a_symmetric_relation_is_one_edge() -> None:
    loop = EdgeTable(("gene", "string", "gene"), ints(0, 0), ints(0, 1), floats(1, 1), GENES, GENES)
    graph = make(loop)
    assert graph.graph.num_edges("string") == 3
    assert graph.num_edges("string") == 2
    assert len(graph.table("string")) == 2


def test_adjacency_is_source_by_destination_and_yours_to_change(graph) -> None:
    matrix = graph.adjacency("string")
    assert matrix.toarray()[:3, :3].tolist() == pytest.approx(np.array([[0, 0.5, 0.7], [0.5, 0, 0.9], [0.7, 0.9, 0]]))
    assert matrix.shape == (5, 5)
    assert graph.adjacency("annotated_bp").shape == (5, 3)
    assert graph.adjacency("regulates")[3, 0] == 3
    assert graph.adjacency("regulates", weighted=False).data.tolist() == [1, 1, 1]
    matrix.data[:] = 0
    matrix.eliminate_zeros()
    assert graph.adjacency("string").sum() == pytest.approx(4.2)


def test_adjacency_and_digest_follow_the_weights_of_the_graph(graph) -> None:
    before = graph.digest
    graph.adjacency("string")
    graph.graph.edges["string"].data["weight"] *= 2
    assert graph.adjacency("string").sum() == pytest.approx(8.4)
    assert graph.digest != before


def test_names_that_do_not_exist_are_refused_with_the_nearest(graph) -> None:
    with pytest.raises(ConfigError, match="did you mean 'string'"):
        graph.edges("strings")
    with pytest.raises(ConfigError, match="did you mean 'go_term'"):
        graph.names("go_terms")


def test_parts_that_do_not_fit_are_refused(graph) -> None:
    with pytest.raises(GraphIntegrityError, match="do not fit"):
        GeneGraph(graph.graph, GeneVocab(GENES[:4]), MANIFEST, graph.node_names)
    with pytest.raises(GraphIntegrityError, match="do not fit"):
        GeneGraph(graph.graph, graph.vocab, MANIFEST)
    with pytest.raises(GraphIntegrityError, match="2 labels for 3 nodes"):
        GeneGraph(graph.graph, graph.vocab, MANIFEST, graph.node_names, {"go_term": np.array(["x", "y"])})
    bare = dgl.heterograph({("gene", "r", "gene"): ([0], [1])}, {"gene": 5})
    with pytest.raises(GraphIntegrityError, match="float32 'weight'"):
        GeneGraph(bare, graph.vocab, MANIFEST)
    with pytest.raises(GraphIntegrityError, match="not in the nodes"):
        make(replace(string_table(), src_names=GENES[:3]))
    with pytest.raises(GraphIntegrityError, match="relation name 'string'"):
        make(string_table(), string_table())
    with pytest.raises(EmptyGraphError, match="at least one relation"):
        GeneGraph.from_tables([], graph.vocab)


def test_a_relation_that_is_neither_symmetric_nor_reversed_is_noticed(graph) -> None:
    one_way = dgl.heterograph({("gene", "r", "gene"): ([0, 1], [1, 2])}, {"gene": 5})
    one_way.edata["weight"] = torch.ones(2)
    with pytest.raises(GraphIntegrityError, match="both directions"):
        GeneGraph(one_way, graph.vocab, MANIFEST).table("r")


# --- on disk


def test_round_trip(graph, tmp_path) -> None:
    loaded = GeneGraph.load(graph.save(tmp_path / "g"))
    assert loaded.digest == graph.digest
    assert loaded.manifest == graph.manifest
    assert loaded.vocab == graph.vocab
    assert loaded.vocab.lookup(["OLD_C"]).tolist() == [2]
    assert loaded.relations == graph.relations
    assert loaded.node_labels["go_term"].tolist() == ["one", "two", ""]
    assert loaded.graph.idtype == torch.int32
    for etype in graph.graph.canonical_etypes:
        for left, right in zip(graph.graph.edges(etype=etype), loaded.graph.edges(etype=etype), strict=True):
            assert torch.equal(left, right)
        for key, value in graph.graph.edges[etype].data.items():
            assert torch.equal(value, loaded.graph.edges[etype].data[key])
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == [
        "edges.safetensors",
        "manifest.json",
        "names.safetensors",
    ]


def test_saving_again_replaces_and_never_harms_other_files(graph, tmp_path) -> None:
    path = graph.save(tmp_path / "g")
    graph.select("string").save(path)
    assert GeneGraph.load(path).relations == ["string"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="something other"):
        graph.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_digest_ignores_when_and_follows_every_part_of_the_content(graph) -> None:
    assert make(manifest=Manifest.create(name="other")).digest == graph.digest
    labels = {"go_term": np.array(["one", "two", "three"], dtype=object)}
    others = [
        make(string_table().with_weight(floats(0.7, 0.5, 0.8)), regulates_table(), annotated_table(), is_a_table()),
        make(string_table(), regulates_table(), annotated_table()),
        make(string_table(), replace(regulates_table(), sign=None), annotated_table(), is_a_table()),
        make(string_table(), regulates_table(), annotated_table(), replace(is_a_table(), src=ints(2))),
        make(string_table(), regulates_table(), annotated_table(), replace(is_a_table(), directed=False)),
        GeneGraph(graph.graph, GeneVocab(GENES), MANIFEST, graph.node_names, graph.node_labels),
        GeneGraph(graph.graph, graph.vocab, MANIFEST, {"go_term": np.array(["GO:1", "GO:2", "GO:4"])}),
        GeneGraph(graph.graph, graph.vocab, MANIFEST, graph.node_names, labels),
    ]
    digests = [other.digest for other in others]
    assert graph.digest not in digests
    assert len(set(digests)) == len(digests)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["edges.safetensors", "names.safetensors"])
@pytest.mark.parametrize("position", [-1, -9, 60])
def test_a_flipped_bit_is_noticed_and_the_file_named(graph, tmp_path, file, position) -> None:
    path = graph.save(tmp_path / "g")
    flip(path / file, position)
    with pytest.raises(GraphIntegrityError, match=file):
        GeneGraph.load(path)


def test_a_changed_weight_or_name_is_noticed(graph, tmp_path) -> None:
    path = graph.save(tmp_path / "g")
    tensors = load_file(path / "edges.safetensors")
    position = graph.relations.index("string")
    tensors[f"{position}.weight"] = tensors[f"{position}.weight"] * np.float32(0.5)
    save_file(tensors, path / "edges.safetensors")
    with pytest.raises(GraphIntegrityError, match=r"edges.safetensors was changed"):
        GeneGraph.load(path)
    del tensors["0.src"]
    save_file(tensors, path / "edges.safetensors")
    with pytest.raises(GraphIntegrityError, match=r"no tensor '0.src'"):
        GeneGraph.load(path)
    graph.save(path)
    names = load_file(path / "names.safetensors")
    names["extra"] = np.zeros(1)
    save_file(names, path / "names.safetensors")
    with pytest.raises(GraphIntegrityError, match=r"names.safetensors was changed"):
        GeneGraph.load(path)


def test_a_truncated_file_is_noticed(graph, tmp_path) -> None:
    path = graph.save(tmp_path / "g")
    whole = (path / "edges.safetensors").read_bytes()
    (path / "edges.safetensors").write_bytes(whole[:-10])
    with pytest.raises(GraphIntegrityError, match=r"edges.safetensors"):
        GeneGraph.load(path)


def test_a_changed_manifest_is_noticed(graph, tmp_path) -> None:
    path = graph.save(tmp_path / "g")
    head = json.loads((path / "manifest.json").read_text())
    head["manifest"]["sources"]["string_db"]["licence"] = "mine"
    (path / "manifest.json").write_text(json.dumps(head))
    with pytest.raises(GraphIntegrityError, match=r"manifest.json was changed"):
        GeneGraph.load(path)
    (path / "manifest.json").write_text("{")
    with pytest.raises(GraphIntegrityError, match=r"manifest.json was changed"):
        GeneGraph.load(path)


def test_missing_pieces_and_newer_formats_say_so(graph, tmp_path) -> None:
    with pytest.raises(FileFormatError, match="no saved graph at"):
        GeneGraph.load(tmp_path / "nothing")
    path = graph.save(tmp_path / "g")
    head = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**head, "version": 99}))
    with pytest.raises(FileFormatError, match="version 99"):
        GeneGraph.load(path)
    (path / "manifest.json").write_text('{"name": "package"}')
    with pytest.raises(FileFormatError, match="does not describe"):
        GeneGraph.load(path)
    (path / "names.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"without names.safetensors"):
        GeneGraph.load(path)


# --- derived graphs


def test_select(graph) -> None:
    chosen = graph.select(["is_a", "string"])
    assert set(chosen.relations) == {"string", "is_a"}
    assert chosen.num_genes == 5
    assert graph.select("string").graph.ntypes == ["gene"]
    assert chosen.manifest.source_relations == {"string_db": ["string"], "go": ["is_a"]}
    assert chosen.source_relations == {"string_db": ["string"], "go": ["is_a"]}
    assert "relations selected" in chosen.manifest.history[-1]
    with pytest.raises(ConfigError, match="no relation"):
        graph.select([])
    with pytest.raises(ConfigError, match="did you mean 'is_a'"):
        graph.select(["isa"])


def test_subset_reorders_and_keeps_isolated_genes_and_terms(graph) -> None:
    small = graph.subset(["E", "OLD_C", "A"])
    assert small.vocab.symbols.tolist() == ["E", "C", "A"]
    src, dst, weight, _ = small.edges("string")
    assert list(zip(src.tolist(), dst.tolist(), weight.tolist(), strict=True)) == [
        (1, 2, pytest.approx(0.7)),
        (2, 1, pytest.approx(0.7)),
    ]
    assert small.num_edges("regulates") == 0
    assert small.num_edges("annotated_bp") == 2
    assert small.node_names["go_term"].tolist() == TERMS.tolist()
    assert small.info().isolated_genes == 1
    assert small.digest == graph.subset([4, 2, 0]).digest
    with pytest.raises(GeneError, match="1 of 2 genes"):
        graph.subset(["A", "ZZZ"])
    with pytest.raises(GeneError, match="repeat"):
        graph.subset(["C", "OLD_C"])
    for empty in ([], np.zeros(0, dtype=int)):
        with pytest.raises(GeneError, match="not a list of genes"):
            graph.subset(empty)


def test_with_edges_replaces_one_relation(graph) -> None:
    table = graph.table("string")
    other = graph.with_edges({"string": replace(table, dst=ints(1, 3, 4))})
    assert set(zip(*(column.tolist() for column in other.edges("string")[:2]), strict=True)) == {
        (0, 1), (1, 0), (0, 3), (3, 0), (1, 4), (4, 1),
    }  # fmt: skip
    assert np.array_equal(other.edges("regulates")[0], graph.edges("regulates")[0])
    assert other.digest != graph.digest
    assert graph.with_edges({"string": table}).digest == graph.digest
    empty = graph.with_edges({"regulates": graph.table("regulates").take(ints())})
    assert empty.num_edges("regulates") == 0
    assert not empty.is_symmetric("regulates")
    with pytest.raises(ConfigError, match="another kind"):
        graph.with_edges({"string": replace(table, directed=True)})
    with pytest.raises(ConfigError, match="another kind"):
        graph.with_edges({"string": graph.table("regulates")})


def test_networkx(graph) -> None:
    result = graph.to_networkx()
    assert result.number_of_nodes() == 8
    assert result.nodes["A"]["node_type"] == "gene"
    assert result.nodes["GO:1"] == {"node_type": "go_term", "label": "one"}
    assert result["B"]["A"]["regulates"] == {"weight": 1.0, "sign": -1, "relation": "regulates"}
    assert result["A"]["C"]["string"]["weight"] == pytest.approx(0.7)
    assert result["C"]["A"]["string"]["weight"] == pytest.approx(0.7)
    assert not any(key.startswith("rev_") for _, _, key in result.edges(keys=True))
    assert graph.to_networkx(reverse=True).has_edge("GO:1", "A", key="rev_annotated_bp")
    assert result.number_of_edges() == 6 + 3 + 3 + 1


def test_networkx_keeps_a_gene_and_a_term_of_one_name_apart() -> None:
    graph = GeneGraph.from_tables([annotated_table()], GeneVocab(GENES), {"go_term": np.array(["A", "GO:2", "GO:3"])})
    result = graph.to_networkx()
    assert set(result.nodes) == {*GENES.tolist(), "go_term:A", "GO:2", "GO:3"}


# --- numbers


def test_info_by_hand(graph) -> None:
    info = graph.info()
    assert info.nodes == {"gene": 5, "go_term": 3}
    assert info.isolated_genes == 1
    row = info.table.loc["string"]
    assert (row.source, row.edges, row.src_nodes, row.dst_nodes, row.isolated_genes) == ("string_db", 3, 3, 3, 2)
    assert row.gene_coverage == pytest.approx(0.6)
    assert (row.degree_min, row.degree_median, row.degree_max) == (2, 2, 2)
    row = info.table.loc["regulates"]
    # Degrees of both directions: A 3, B 2, D 1. Two of three edges have a sign.
    assert (row.src_nodes, row.dst_nodes, row.degree_min, row.degree_median, row.degree_max) == (3, 2, 1, 2, 3)
    assert row.signed == pytest.approx(2 / 3)
    row = info.table.loc["annotated_bp"]
    assert (row.src_nodes, row.dst_nodes, row.degree_max, row.isolated_genes) == (2, 2, 2, 3)
    assert np.isnan(info.table.loc["is_a"].gene_coverage)


def test_overlap_by_hand(graph) -> None:
    info = graph.info()
    # string: AB AC BC; regulates, direction aside: AB AD.
    assert set(info.overlap.index) == {"string", "regulates"}
    assert info.overlap.loc["string", "regulates"] == pytest.approx(1 / 3)
    assert info.overlap.loc["regulates", "string"] == pytest.approx(1 / 2)
    assert info.overlap.loc["string", "string"] == 1
    # genes: string ABC, regulates ABD, annotated_bp AB
    assert info.gene_overlap.loc["string", "regulates"] == pytest.approx(2 / 3)
    assert info.gene_overlap.loc["annotated_bp", "string"] == 1
    assert "is_a" not in info.gene_overlap.index


def test_info_prints_everything(graph) -> None:
    text = str(graph.info())
    for part in ("toy: 5 gene, 3 go_term; 1 genes without any edge", graph.digest, "string_db", "60.0%", "33.3%"):
        assert part in text
    assert "nan" not in str(make(string_table().take(ints())).info()).lower()
