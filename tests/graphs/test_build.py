"""build: small files in native formats with every number known, bad input, forms of calling, and the real files."""

import gzip
import subprocess
import sys
import warnings

import pytest

import gnnvcell.graphs
from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError, GeneError, GnnvcellWarning, MissingFileError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.build import build, main, relation_names
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.sources import Scgpt, String

# AARS is the old symbol of AARS1; the two STRING proteins of the pair AARS-TP53 and their GO and Reactome names differ.
INFO = {
    "ENSP00000000001": "AARS",
    "ENSP00000000002": "TP53",
    "ENSP00000000003": "MDM2",
    "ENSP00000000004": "CDKN1A",
    "ENSP00000000005": "LONELY",
}
LINKS = [(1, 2, 900), (2, 3, 990), (2, 4, 800), (3, 4, 500), (1, 5, 200)]
OBO = """format-version: 1.2
data-version: releases/2024-01-01
ontology: go

[Term]
id: GO:0008150
name: biological_process
namespace: biological_process

[Term]
id: GO:0006915
name: apoptotic process
namespace: biological_process
is_a: GO:0008150 ! biological_process

[Term]
id: GO:0003674
name: molecular_function
namespace: molecular_function
"""
GAF = """!gaf-version: 2.2
UniProtKB\tP04637\tTP53\tinvolved_in\tGO:0006915\tPMID:1\tIDA\t\tP\t\t\tprotein\ttaxon:9606\t20240101\tUniProt\t\t
UniProtKB\tP49588\tAARS1\tinvolved_in\tGO:0008150\tPMID:1\tIEA\t\tP\t\t\tprotein\ttaxon:9606\t20240101\tUniProt\t\t
UniProtKB\tQ00987\tMDM2\tenables\tGO:0003674\tPMID:1\tIDA\t\tF\t\t\tprotein\ttaxon:9606\t20240101\tUniProt\t\t
"""
GMT = "p53 pathway\tR-HSA-1\tTP53\tMDM2\nTranslation\tR-HSA-2\tAARS1\tTP53\nMouse\tR-MMU-3\tTP53\tCDKN1A\n"
EDGES = "gene_a\tgene_b\tweight\nTP53\tAARS1\t4\nAARS\tTP53\t2\nTP53\tTP53\t9\nMDM2\tCDKN1A\t1\nNEWGENE\tMDM2\t3\n"
EDGES += "TP53\tCDKN1A\t2\n"
RECIPE = {
    "experimental_graph": {"type": "scgpt_derived", "args": {"mode": "top_5"}},
    "string_db": {"type": "string", "args": {"confidence": 0.7}},
    "gene_ontology": {"type": "go", "args": {"namespace": "biological_process"}},
    "reactome": {"type": "reactome", "args": {"species": "homo_sapiens"}},
}


def write_files(folder):
    names = list(INFO)
    info = "".join(f"9606.{protein}\t{symbol}\t1\tx\n" for protein, symbol in INFO.items())
    (folder / "9606.protein.info.v12.0.txt").write_text(
        "#string_protein_id\tpreferred_name\tprotein_size\tannotation\n" + info
    )
    lines = ["protein1 protein2 combined_score"]
    for a, b, score in LINKS:
        first, second = names[a - 1], names[b - 1]
        lines += [f"9606.{first} 9606.{second} {score}", f"9606.{second} 9606.{first} {score}"]
    (folder / "9606.protein.links.v12.0.txt.gz").write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))
    (folder / "go-basic.obo").write_text(OBO)
    (folder / "goa_human.gaf").write_text(GAF)
    (folder / "ReactomePathways.gmt").write_text(GMT)
    (folder / "ReactomePathwaysRelation.txt").write_text("R-HSA-2\tR-HSA-1\n")
    (folder / "scgpt_edges.tsv").write_text(EDGES)
    return folder


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


def made(recipe=RECIPE, **settings) -> GeneGraph:
    return build(recipe, **{"progress": False, **settings})


def named(graph, relation):
    source, _, destination = graph.etype(relation)
    table = graph.table(relation)
    pairs = zip(graph.names(source)[table.src], graph.names(destination)[table.dst], strict=True)
    return {(str(u), str(v)): round(float(w), 3) for (u, v), w in zip(pairs, table.weight, strict=True)}


# --- what comes out


def test_every_edge_by_hand(files) -> None:
    graph = made(source_dir=files)
    assert set(graph.vocab.symbols) == {"AARS1", "TP53", "MDM2", "CDKN1A", "LONELY", "NEWGENE"}
    assert {frozenset(pair): w for pair, w in named(graph, "string").items()} == {
        frozenset({"AARS1", "TP53"}): 0.9,
        frozenset({"TP53", "MDM2"}): 0.99,
        frozenset({"TP53", "CDKN1A"}): 0.8,
    }
    assert set(named(graph, "annotated_bp")) == {
        ("TP53", "GO:0006915"),
        ("TP53", "GO:0008150"),
        ("AARS1", "GO:0008150"),
    }
    assert set(named(graph, "is_a")) == {("GO:0006915", "GO:0008150")}
    assert set(named(graph, "member_of")) >= {("TP53", "R-HSA-1"), ("MDM2", "R-HSA-1"), ("AARS1", "R-HSA-2")}
    assert not [pathway for pathway in graph.node_names["pathway"] if pathway.startswith("R-MMU")]
    # TP53-AARS1 and AARS-TP53 are one pair, the larger weight stays; 9, of a gene with itself, sets the scale.
    assert {frozenset(pair): w for pair, w in named(graph, "scgpt").items()} == {
        frozenset({"TP53", "AARS1"}): round(4 / 9, 3),
        frozenset({"MDM2", "CDKN1A"}): round(1 / 9, 3),
        frozenset({"TP53", "CDKN1A"}): round(2 / 9, 3),
        frozenset({"NEWGENE", "MDM2"}): round(3 / 9, 3),
    }
    labels = dict(zip(graph.node_names["go_term"].tolist(), graph.node_labels["go_term"].tolist(), strict=True))
    assert labels["GO:0006915"] == "apoptotic process"


def test_isolated_genes_are_nodes_and_counted(files) -> None:
    graph = made(source_dir=files)
    assert "LONELY" in graph.vocab
    assert graph.info().isolated_genes == 1
    lines: list[str] = []
    made(source_dir=files, progress=lines.append)
    assert "1 genes have no edge" in "\n".join(lines)


def test_the_manifest_accounts_for_every_edge(files) -> None:
    manifest = made(source_dir=files).manifest
    assert list(manifest.sources) == list(RECIPE)
    for record in manifest.sources.values():
        for relation in record.relation_records:
            assert relation.balance == 0
            assert relation.kept > 0
    scgpt = manifest.sources["experimental_graph"]
    assert scgpt.type == "scgpt"
    assert (scgpt.edges_read, scgpt.edges_kept, scgpt.duplicates, scgpt.lines_read) == (5, 4, 1, 6)
    assert scgpt.genes_matched == {"symbol": 5, "previous": 1}
    assert scgpt.settings["mode"] == "top_5"
    string = manifest.sources["string_db"]
    assert {file.name for file in string.files} == {"9606.protein.links.v12.0.txt.gz", "9606.protein.info.v12.0.txt"}
    assert string.licence == "CC BY 4.0"
    assert manifest.recipe["sources"]["string_db"]["args"] == {"confidence": 0.7}
    assert manifest.source_relations["gene_ontology"] == ["annotated_bp", "is_a"]


def test_saved_and_loaded(files, tmp_path) -> None:
    graph = made(source_dir=files)
    loaded = GeneGraph.load(graph.save(tmp_path / "built"))
    assert loaded.digest == graph.digest
    assert loaded.manifest == graph.manifest
    assert made(source_dir=files).digest == graph.digest


@pytest.mark.parametrize(
    "change",
    [
        "sources.experimental_graph.args.mode=top_1",
        "sources.experimental_graph.args.mode=threshold_0.4",
        "sources.string_db.args.confidence=0.4",
        "sources.string_db.args.confidence=0.95",
        "sources.gene_ontology.args.namespace=molecular_function",
        "sources.gene_ontology.args.close_ancestors=false",
        "sources.gene_ontology.args.evidence=['IDA']",
        "normalise=sym",
        "sources.string_db.filters=[{type='threshold', minimum=0.85}]",
    ],
)
def test_every_setting_changes_the_graph(files, change) -> None:
    assert made(source_dir=files, overrides=[change]).digest != made(source_dir=files).digest


def test_top_k_of_string_keeps_the_best_of_each_gene(files) -> None:
    recipe = {"s": {"type": "string", "args": {"confidence": 0.4, "top_k": 1}}}
    weaker = frozenset({"MDM2", "CDKN1A"})
    assert weaker not in {frozenset(pair) for pair in named(made(recipe, source_dir=files), "string")}
    recipe["s"]["args"]["top_k"] = 2
    assert weaker in {frozenset(pair) for pair in named(made(recipe, source_dir=files), "string")}


def test_filters_and_normalisation_of_a_recipe(files) -> None:
    recipe = {
        "normalise": "max",
        "sources": {
            "s": {"type": "string", "args": {"confidence": 0.4}, "filters": [{"type": "top_k", "k": 1, "per": "both"}]}
        },
    }
    graph = made(recipe, source_dir=files)
    assert named(graph, "string") == {("TP53", "MDM2"): 1.0}
    record = graph.manifest.sources["s"]
    assert record.filters == ({"type": "top_k", "k": 1, "per": "both"}, {"type": "normalise", "how": "max"})
    assert record.relation_records[0].filtered == 3


# --- which genes


def test_genes_are_exactly_those_asked_for_in_their_order(files) -> None:
    asked = ["MDM2", "AARS", "NOWHERE", "TP53"]
    graph = made(source_dir=files, genes=asked)
    assert graph.vocab.symbols.tolist() == asked
    assert {frozenset(pair) for pair in named(graph, "string")} == {
        frozenset({"AARS", "TP53"}),
        frozenset({"TP53", "MDM2"}),
    }
    # The sources say AARS1; GO gives the accession P49588.
    assert named(graph, "scgpt") == {("AARS", "TP53"): round(4 / 9, 3)}
    assert graph.vocab.lookup(["AARS1", "P49588", "CDKN1A"]).tolist() == [1, 1, -1]
    record = graph.manifest.sources["string_db"]
    assert record.genes_unmatched == {"not_selected": 1}
    assert record.coverage == 1.0
    assert graph.info().isolated_genes == 1


def test_genes_by_another_name_and_two_names_of_one_gene(files) -> None:
    recipe = {key: RECIPE[key] for key in ("string_db", "gene_ontology")}
    by_accession = made(recipe, source_dir=files, genes=["P04637", "MDM2"])
    assert by_accession.vocab.symbols.tolist() == ["P04637", "MDM2"]
    assert len(named(by_accession, "string")) == 1
    both = made(source_dir=files, genes=["AARS", "AARS1", "TP53"])
    assert both.vocab.symbols.tolist() == ["AARS", "AARS1", "TP53"]


def test_a_vocabulary_of_ones_own(files) -> None:
    vocab = GeneVocab(["TP53", "MDM2", "KAPUTT"], {"previous": [("CDKN1A", 2)]})
    graph = made(source_dir=files, vocab=vocab)
    assert graph.vocab == vocab
    assert {frozenset(pair) for pair in named(graph, "string")} == {
        frozenset({"TP53", "MDM2"}),
        frozenset({"TP53", "KAPUTT"}),
    }


def test_bad_genes(files) -> None:
    for genes, message in (([], "empty"), (["TP53", ""], "empty"), (["TP53", "TP53"], "twice"), ("TP53", "one name")):
        with pytest.raises(GeneError, match=message):
            made(source_dir=files, genes=genes)
    with pytest.raises(ConfigError, match="both say"):
        made(source_dir=files, genes=["TP53"], vocab=GeneVocab(["TP53"]))
    with pytest.raises(GeneError, match="species 10090"):
        made(source_dir=files, vocab=GeneVocab(["Trp53"], species=10090))


def test_hgnc_joins_names_that_nothing_else_does(files) -> None:
    (files / "scgpt_edges.tsv").write_text("gene_a\tgene_b\tweight\nPIG8X\tMDM2\t1\n")
    recipe = {"string_db": RECIPE["string_db"], "scgpt": {"type": "scgpt"}}
    assert "PIG8X" in made(recipe, source_dir=files).vocab.symbols.tolist()
    columns = ["symbol", "status", "prev_symbol", "alias_symbol", "ensembl_gene_id", "uniprot_ids", "entrez_id"]
    rows = [["TP53", "Approved", "PIG8X", "", "ENSG00000141510", "P04637", "7157"]]
    (files / "hgnc.txt").write_text("\n".join("\t".join(row) for row in [columns, *rows]) + "\n")
    graph = made({"hgnc": "hgnc.txt", "sources": recipe}, source_dir=files)
    assert "PIG8X" not in graph.vocab.symbols.tolist()
    assert {frozenset(pair) for pair in named(graph, "scgpt")} == {frozenset({"TP53", "MDM2"})}
    assert graph.manifest.sources["scgpt"].genes_matched == {"symbol": 1, "previous": 1}
    assert any("hgnc.txt" in note for note in graph.manifest.notes)


def test_hgnc_must_be_there_unless_it_is_optional(files) -> None:
    whole = {"sources": RECIPE, "genes": {"hgnc": "hgnc.txt"}}
    with pytest.raises(MissingFileError, match=r"hgnc.txt"):
        made(whole, source_dir=files)
    graph = made({**whole, "genes": {"hgnc": "hgnc.txt", "optional": True}}, source_dir=files)
    assert any("without HGNC" in note for note in graph.manifest.notes)


# --- what must not come out quietly


def test_a_missing_source_is_an_error_and_an_optional_one_is_recorded(files) -> None:
    (files / "scgpt_edges.tsv").unlink()
    with pytest.raises(MissingFileError, match="no scGPT input"):
        made(source_dir=files)
    recipe = {**RECIPE, "experimental_graph": {**RECIPE["experimental_graph"], "optional": True}}
    lines: list[str] = []
    graph = made(recipe, source_dir=files, progress=lines.append)
    assert "scgpt" not in graph.relations
    assert "optional and not there" in graph.manifest.skipped["experimental_graph"]
    assert any(line.startswith("[experimental_graph] skipped") for line in lines)
    with pytest.raises(EmptyGraphError, match="no source"):
        made({"experimental_graph": recipe["experimental_graph"]}, source_dir=files)


def test_a_damaged_optional_source_is_still_an_error(files) -> None:
    (files / "scgpt_edges.tsv").write_text("nothing useful\n")
    recipe = {**RECIPE, "experimental_graph": {**RECIPE["experimental_graph"], "optional": True}}
    with pytest.raises(FileFormatError, match="no edge table"):
        made(recipe, source_dir=files)


def test_accessions_in_a_symbol_column_are_mapped_or_refused(files) -> None:
    (files / "ReactomePathways.gmt").write_text("p53 pathway\tR-HSA-1\tP04637\tQ00987\n")
    mapped = made(source_dir=files)
    # R-HSA-2 is the parent of R-HSA-1.
    members = {(gene, pathway) for gene in ("TP53", "MDM2") for pathway in ("R-HSA-1", "R-HSA-2")}
    assert set(named(mapped, "member_of")) == members
    assert mapped.manifest.sources["reactome"].genes_matched == {"uniprot": 2}
    without_go = {key: RECIPE[key] for key in ("string_db", "reactome")}
    with pytest.raises(EmptyGraphError, match=r"(?s)'member_of' of the source 'reactome'.*P04637.*UniProt accessions"):
        made(without_go, source_dir=files)


def test_accessions_never_become_genes(files) -> None:
    (files / "goa_human.gaf").write_text(GAF + GAF.splitlines()[1].replace("TP53", "A0A087WW49") + "\n")
    (files / "scgpt_edges.tsv").write_text(EDGES + "ENSG00000141510\tMDM2\t1\n")
    graph = made(source_dir=files)
    assert not {"A0A087WW49", "ENSG00000141510", "P04637"} & set(graph.vocab.symbols.tolist())
    record = graph.manifest.sources["experimental_graph"]
    assert record.genes_unmatched == {"unknown": 1}
    assert record.unmatched_examples == {"unknown": ("ENSG00000141510",)}
    assert record.relation_records[0].unmatched == 1


def test_no_gene_in_common_is_an_error_that_shows_names(files) -> None:
    with pytest.raises(
        EmptyGraphError, match=r"(?s)'scgpt' of the source 'experimental_graph'.*0 of 6 gene names.*AARS"
    ):
        made(source_dir=files, genes=["KRAS", "EGFR"])


def test_mouse_symbols_in_a_human_graph_are_refused_with_the_reason(files) -> None:
    (files / "scgpt_edges.tsv").write_text("gene_a\tgene_b\tweight\nTrp53\tMdm2\t4\nMdm2\tCdkn1a\t1\n")
    vocab = GeneVocab(["TRP53", "MDM2", "CDKN1A", "TP53", "AARS1"])
    with pytest.raises(EmptyGraphError, match="another species"):
        made(source_dir=files, vocab=vocab)


def test_files_of_another_species_are_refused(files) -> None:
    with pytest.raises(FileFormatError, match="another species"):
        made(source_dir=files, overrides=["species=10090"])


def test_filters_that_leave_nothing_are_named_with_the_range_of_weights(files) -> None:
    change = ["sources.string_db.filters=[{type='threshold', minimum=2.0}]"]
    with pytest.raises(EmptyGraphError, match=r"(?s)passes Threshold\(minimum=2.0\).*0.8 to 0.99"):
        made(source_dir=files, overrides=change)


def test_low_coverage_is_a_warning(files) -> None:
    (files / "scgpt_edges.tsv").write_text(EDGES + "".join(f"ENSG0000000000{i}\tTP53\t1\n" for i in range(9)))
    with pytest.warns(GnnvcellWarning, match="only 40% of the gene names of the source 'experimental_graph'"):
        made(source_dir=files, overrides=["sources.experimental_graph.args.mode=top_50"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made({"string_db": RECIPE["string_db"]}, source_dir=files, genes=["TP53", "MDM2"])


def test_a_dense_relation_is_a_warning(tmp_path) -> None:
    names = [f"GENE{i}" for i in range(220)]
    rows = [f"{a}\t{b}\t1" for i, a in enumerate(names) for b in names[:i]]
    (tmp_path / "scgpt_edges.tsv").write_text("\n".join(["gene_a\tgene_b\tw", *rows]) + "\n")
    recipe = {"scgpt": {"type": "scgpt", "args": {"mode": "threshold_0.1"}}}
    with pytest.warns(GnnvcellWarning, match="joins 100% of all pairs"):
        made(recipe, source_dir=tmp_path)


# --- names of relations


def test_relations_are_prefixed_by_key_where_types_or_names_repeat(files) -> None:
    go = {"type": "go", "args": {"namespace": "biological_process"}}
    two = {"bp": go, "mf": {"type": "go", "args": {"namespace": "molecular_function"}}}
    graph = made(two, source_dir=files)
    assert set(graph.relations) == {"bp_annotated_bp", "bp_is_a", "mf_annotated_mf"}
    assert graph.source_relations == {"bp": ["bp_annotated_bp", "bp_is_a"], "mf": ["mf_annotated_mf"]}
    assert relation_names([("a", "x", ["r", "s"]), ("b", "y", ["r"])]) == {
        ("a", "r"): "a_r",
        ("a", "s"): "s",
        ("b", "r"): "b_r",
    }


# --- ways to call it


def test_the_module_is_the_function(files) -> None:
    recipe = {"string_db": RECIPE["string_db"]}
    graph = gnnvcell.graphs.build(recipe, source_dir=files, progress=False)
    assert isinstance(graph, GeneGraph)
    assert gnnvcell.graphs.build.build is build
    assert graph.digest == made([String(confidence=0.7)], source_dir=files).digest
    assert made([Scgpt(mode="top_5", path=files / "scgpt_edges.tsv")]).relations == ["scgpt"]


def test_from_a_toml_file_and_the_command_line(files, capsys) -> None:
    (files / "recipe.toml").write_text(
        'source_dir = "."\n[sources.string_db]\ntype = "string"\nargs = {confidence = 0.7}\n'
    )
    graph = made(files / "recipe.toml")
    assert graph.digest == made({"string_db": RECIPE["string_db"]}, source_dir=files).digest
    (files / "genes.txt").write_text("TP53\nMDM2\n")
    arguments = [str(files / "recipe.toml"), "--out", str(files / "out"), "--genes", str(files / "genes.txt")]
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert GeneGraph.load(files / "out").num_genes == 2
    assert main([*arguments, "--set", "sources.string_db.args.confidence=0.999"]) == 1
    assert "no pair of two proteins with confidence >= 0.999" in capsys.readouterr().err


def test_as_a_script_without_warnings(files) -> None:
    (files / "recipe.toml").write_text('[sources.string_db]\ntype = "string"\n')
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "gnnvcell.graphs.build", "recipe.toml"]
    done = subprocess.run(
        [*command, "--source-dir", ".", "--out", "out"], cwd=files, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "RuntimeWarning" not in done.stderr
    assert "saved in out" in done.stdout
    assert "[string_db]" in done.stderr
    assert GeneGraph.load(files / "out").relations == ["string"]
