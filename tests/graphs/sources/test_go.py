import gzip
from pathlib import Path

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext
from gnnvcell.graphs.sources.go import GeneOntology

BP, MF, CC = "GO:0008150", "GO:0003674", "GO:0005575"

# Processes: 2 is_a root, 3 is_a 2, 4 part_of 2, 5 regulates 3. One function, one component.
TERMS = [
    (BP, "biological_process", "biological_process", []),
    ("GO:0000002", "division", "biological_process", [f"is_a: {BP} ! biological_process"]),
    ("GO:0000003", "mitosis", "biological_process", ["is_a: GO:0000002 ! division", "alt_id: GO:0000013"]),
    ("GO:0000004", "spindle step", "biological_process", ["relationship: part_of GO:0000002 ! division"]),
    ("GO:0000005", "mitosis control", "biological_process", ['relationship: regulates GO:0000003 {a="b"} ! mitosis']),
    (MF, "molecular_function", "molecular_function", []),
    ("GO:0000006", "kinase activity", "molecular_function", [f"is_a: {MF}"]),
    (CC, "cellular_component", "cellular_component", []),
    ("GO:0000007", "spindle", "cellular_component", [f"is_a: {CC}"]),
    ("GO:0000090", "obsolete one", "biological_process", ["is_obsolete: true", "replaced_by: GO:0000003"]),
    ("GO:0000091", "obsolete two", "biological_process", ["is_obsolete: true", "consider: GO:0000003"]),
]
ROWS = [
    # accession, symbol, qualifier, term, evidence, synonyms
    ("P00001", "CDK1", "involved_in", "GO:0000003", "IMP", "CDC2|P34CDC2"),
    ("P00002", "PLK1", "involved_in", "GO:0000013", "IDA", "PLK"),
    ("P00003", "AURKA", "involved_in", "GO:0000004", "IEA", ""),
    ("P00004", "BUB1", "involved_in", "GO:0000005", "TAS", ""),
    ("P00001", "CDK1", "enables", "GO:0000006", "IDA", "CDC2|P34CDC2"),
    ("P00003", "AURKA", "located_in", "GO:0000007", "HDA", ""),
    ("P00004", "BUB1", "NOT|involved_in", "GO:0000004", "IDA", ""),
    ("P00005", "MAD2L1", "involved_in", "GO:0000090", "IEA", ""),
    ("P00006", "TTK", "involved_in", "GO:0000091", "IEA", ""),
    ("P00007", "NOBODY", "involved_in", BP, "ND", ""),
]


def obo(terms=TERMS, header="format-version: 1.2\ndata-version: releases/2024-01-17\nontology: go\n") -> str:
    stanzas = [
        "\n".join([
            "[Term]", f"id: {name}", f"name: {label}", f"namespace: {space}",
            f'def: "What {label} is: it [is]." [GOC:x]', 'synonym: "same" EXACT []', *lines,
        ])
        for name, label, space, lines in terms
    ]  # fmt: skip
    typedef = "[Typedef]\nid: part_of\nname: part of\nnamespace: external\nis_transitive: true\n"
    return f"{header}\n" + "\n\n".join(stanzas) + f"\n\n{typedef}"


def gaf(rows=ROWS, version="2.2", taxon="taxon:9606") -> str:
    lines = [f"!gaf-version: {version}", "!generated-by: test"]
    for accession, symbol, qualifier, term, evidence, synonyms in rows:
        fields = ["UniProtKB", accession, symbol, qualifier, term, "PMID:1", evidence, "", "P", "a name", synonyms]
        lines.append("\t".join([*fields, "protein", taxon, "20240101", "UniProt", "", ""]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "go-basic.obo").write_text(obo())
    (tmp_path / "goa_human.gaf").write_text(gaf())
    return tmp_path


def read(folder: Path, species: int = 9606, **settings) -> Reading:
    return GeneOntology.parse(settings).read(SourceContext(folder, species))


def edges(reading: Reading, relation: str) -> set[tuple[str, str]]:
    table = next((table for table in reading.tables if table.relation == relation), None)
    return set() if table is None else named(table)


def named(table: EdgeTable) -> set[tuple[str, str]]:
    pairs = list(zip(table.src_names[table.src].tolist(), table.dst_names[table.dst].tolist(), strict=True))
    assert len(pairs) == len(set(pairs)), "an edge is given twice"
    return set(pairs)


def test_registered_under_both_names() -> None:
    assert SOURCES.get("go") is GeneOntology
    assert SOURCES.get("gene_ontology") is GeneOntology


def test_annotations_are_closed_by_hand(folder: Path) -> None:
    reading = read(folder)
    assert edges(reading, "annotated_bp") == {
        ("CDK1", "GO:0000003"), ("CDK1", "GO:0000002"), ("CDK1", BP),
        ("PLK1", "GO:0000003"), ("PLK1", "GO:0000002"), ("PLK1", BP),
        ("AURKA", "GO:0000004"), ("AURKA", "GO:0000002"), ("AURKA", BP),
        ("BUB1", "GO:0000005"),
        ("MAD2L1", "GO:0000003"), ("MAD2L1", "GO:0000002"), ("MAD2L1", BP),
    }  # fmt: skip
    assert edges(reading, "annotated_mf") == {("CDK1", "GO:0000006"), ("CDK1", MF)}
    assert edges(reading, "annotated_cc") == {("AURKA", "GO:0000007"), ("AURKA", CC)}
    assert edges(reading, "is_a") == {
        ("GO:0000002", BP), ("GO:0000003", "GO:0000002"), ("GO:0000006", MF), ("GO:0000007", CC),
    }  # fmt: skip
    assert edges(reading, "part_of") == {("GO:0000004", "GO:0000002")}


def test_tables_are_directed_and_of_weight_one(folder: Path) -> None:
    for table in read(folder).tables:
        assert table.directed
        assert (table.weight == 1).all()
        assert table.weight.dtype == np.float32
        assert table.etype[0] in ("gene", "go_term")
        assert table.etype[2] == "go_term"


def test_everything_dropped_is_counted(folder: Path) -> None:
    notes = "; ".join(read(folder).notes)
    assert "1 annotations with NOT dropped" in notes
    assert "1 annotations to obsolete terms dropped" in notes
    assert "1 annotations dropped by their evidence" in notes  # ND
    assert "1 obsolete terms stand for their one replacement" in notes
    assert "releases/2024-01-17" in notes
    assert read(folder).lines_read == len(ROWS)


def test_labels_are_the_terms_names(folder: Path) -> None:
    labels = read(folder).labels["go_term"]
    assert labels["GO:0000003"] == "mitosis"
    assert "GO:0000091" not in labels


def test_identities_tie_accessions_and_synonyms_to_symbols(folder: Path) -> None:
    identities = read(folder).identities
    assert identities is not None
    row = list(identities.symbols).index("CDK1")
    assert ("P00001", row) in identities.aliases["uniprot"]
    assert {name for name, at in identities.aliases["alias"] if at == row} == {"CDC2", "P34CDC2"}
    assert len(identities.aliases["uniprot"]) == 7


def test_a_symbol_that_is_its_own_accession_ties_nothing(folder: Path) -> None:
    rows = [(a, a if s == "PLK1" else s, *rest) for a, s, *rest in ROWS]
    (folder / "goa_human.gaf").write_text(gaf(rows))
    reading = read(folder)
    assert ("P00002", "GO:0000003") in edges(reading, "annotated_bp")
    assert reading.identities is not None
    assert "P00002" not in reading.identities.symbols


# --- every setting changes the result


def test_namespace(folder: Path) -> None:
    assert [t.relation for t in read(folder, namespace="molecular_function").tables] == ["annotated_mf", "is_a"]
    two = read(folder, namespace=["bp", "CC"])
    assert edges(two, "annotated_bp")
    assert edges(two, "annotated_cc")
    assert not edges(two, "annotated_mf")
    whole = read(folder, namespace="all")
    assert {t.relation for t in whole.tables} >= {"annotated_bp", "annotated_mf", "annotated_cc"}
    assert GeneOntology(namespace="bp").namespace == ("biological_process",)  # type: ignore[arg-type]


def test_relations_carry_annotations_upwards(folder: Path) -> None:
    only_is_a = read(folder, relations=["is_a"])
    assert ("AURKA", "GO:0000002") not in edges(only_is_a, "annotated_bp")
    assert not edges(only_is_a, "part_of")
    regulated = read(folder, relations=["is_a", "part_of", "regulates"])
    assert ("BUB1", "GO:0000003") in edges(regulated, "annotated_bp")
    assert edges(regulated, "regulates") == {("GO:0000005", "GO:0000003")}


def test_close_ancestors(folder: Path) -> None:
    direct = read(folder, close_ancestors=False)
    assert edges(direct, "annotated_bp") == {
        ("CDK1", "GO:0000003"), ("PLK1", "GO:0000003"), ("AURKA", "GO:0000004"), ("BUB1", "GO:0000005"),
        ("MAD2L1", "GO:0000003"),
    }  # fmt: skip
    assert ("GO:0000003", "GO:0000002") in edges(direct, "is_a"), "terms between genes and root stay"
    some = read(folder, relations=["is_a", "part_of", "regulates"], close_ancestors=["is_a", "part_of"])
    assert ("BUB1", "GO:0000003") not in edges(some, "annotated_bp")
    assert edges(some, "regulates") == {("GO:0000005", "GO:0000003")}


@pytest.mark.parametrize(
    ("settings", "genes"),
    [
        ({"evidence": "experimental"}, {"CDK1", "PLK1", "AURKA"}),
        ({"evidence": ["IDA"]}, {"CDK1", "PLK1"}),
        ({"evidence": ["ida", "electronic"]}, {"CDK1", "PLK1", "AURKA", "MAD2L1"}),
        ({"exclude_evidence": ["electronic", "ND"]}, {"CDK1", "PLK1", "AURKA", "BUB1"}),
        ({"evidence": "experimental", "exclude_evidence": "high_throughput"}, {"CDK1", "PLK1"}),
        ({"exclude_evidence": []}, {"CDK1", "PLK1", "AURKA", "BUB1", "MAD2L1", "NOBODY"}),
    ],
)
def test_evidence(folder: Path, settings: dict, genes: set[str]) -> None:
    reading = read(folder, **settings)
    assert {gene for t in reading.tables if t.etype[0] == "gene" for gene, _ in named(t)} == genes


def test_perturbation_derived_evidence_can_be_left_out(folder: Path) -> None:
    kept = read(folder, exclude_evidence=["perturbation_derived", "ND"])
    assert not any(gene == "CDK1" for gene, _ in edges(kept, "annotated_bp"))  # IMP
    assert ("CDK1", "GO:0000006") in edges(kept, "annotated_mf")  # IDA


def test_limits_on_genes_per_term(folder: Path) -> None:
    small = read(folder, max_term_genes=3)
    assert {term for _, term in edges(small, "annotated_bp")} == {"GO:0000003", "GO:0000004", "GO:0000005"}
    large = read(folder, min_term_genes=3)
    assert {term for _, term in edges(large, "annotated_bp")} == {"GO:0000003", "GO:0000002", BP}
    assert edges(large, "is_a") == {("GO:0000003", "GO:0000002"), ("GO:0000002", BP)}
    everything = read(folder, min_term_genes=0, namespace="bp", relations=["is_a"], evidence=["TAS"])
    assert edges(everything, "annotated_bp") == {("BUB1", "GO:0000005")}
    assert ("GO:0000003", "GO:0000002") in edges(everything, "is_a")


def test_explicit_paths(folder: Path) -> None:
    (folder / "other.obo").write_text(obo(TERMS[:2] + TERMS[2:3]))
    (folder / "mine.txt").write_text(gaf(ROWS[:1]))
    reading = read(folder, ontology="other.obo", annotations=str(folder / "mine.txt"))
    assert edges(reading, "annotated_bp") == {("CDK1", "GO:0000003"), ("CDK1", "GO:0000002"), ("CDK1", BP)}
    assert [path.name for path in reading.files] == ["other.obo", "mine.txt"]


def test_similarity_by_hand(folder: Path) -> None:
    reading = read(folder, reading="similarity", measure="jaccard", namespace="bp")
    (table,) = reading.tables
    assert table.etype == ("gene", "go_similarity", "gene")
    assert not table.directed
    weights = {
        frozenset((str(table.src_names[s]), str(table.dst_names[d]))): float(w)
        for s, d, w in zip(table.src, table.dst, table.weight, strict=True)
    }
    assert weights[frozenset(("CDK1", "PLK1"))] == 1
    assert weights[frozenset(("CDK1", "AURKA"))] == 0.5  # of {3, 2, root} and {4, 2, root}
    assert not any("BUB1" in pair for pair in weights)
    assert reading.labels == {}


def test_similarity_settings_change_the_result(folder: Path) -> None:
    def pairs(**settings) -> dict:
        (table,) = read(folder, reading="similarity", **settings).tables
        names = table.src_names
        return {(names[s], names[d]): w for s, d, w in zip(table.src, table.dst, table.weight.tolist(), strict=True)}

    base = pairs(measure="jaccard")
    assert pairs(measure="tfidf") != base
    assert pairs(measure="information_content") != base
    assert len(pairs(measure="jaccard", min_similarity=0.9)) < len(base)
    assert pairs(measure="jaccard", top_k=None, min_similarity=0.01) == base
    assert pairs(measure="jaccard", max_term_genes=3) != base


def test_top_k_acts_on_the_graphs_genes() -> None:
    assert GeneOntology(reading="similarity", top_k=7).filters() == (TopK(7),)
    assert GeneOntology(reading="similarity", top_k=None, min_similarity=0.1).filters() == ()
    assert GeneOntology().filters() == ()


# --- formats


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_gaf_versions(folder: Path, version: str) -> None:
    rows = ROWS if version == "2.2" else [
        (a, s, "NOT" if q.startswith("NOT") else "", *rest) for a, s, q, *rest in ROWS
    ]  # fmt: skip
    expected = edges(read(folder), "annotated_bp")
    (folder / "goa_human.gaf").write_text(gaf(rows, version))
    assert edges(read(folder), "annotated_bp") == expected


def test_gaf_of_fifteen_fields_with_a_comment_inside(folder: Path) -> None:
    lines = gaf().rstrip("\n").split("\n")
    short = [line if line.startswith("!") else "\t".join(line.split("\t")[:15]) for line in lines]
    expected = edges(read(folder), "annotated_bp")
    (folder / "goa_human.gaf").write_text("\n".join([*short[:4], "!a comment\twith\ttabs", *short[4:]]) + "\n")
    reading = read(folder)
    assert edges(reading, "annotated_bp") == expected
    assert reading.lines_read == len(ROWS)


def test_quotes_and_crlf_are_text(folder: Path) -> None:
    text = gaf().replace("a name", '5" end "name').replace("\n", "\r\n")
    expected = edges(read(folder), "annotated_bp")
    (folder / "goa_human.gaf").write_bytes(text.encode())
    assert edges(read(folder), "annotated_bp") == expected


@pytest.mark.parametrize(
    ("obo_name", "gaf_name"),
    [("go-basic.obo", "goa_human.gaf"), ("go-basic.2024-01-17.obo", "goa_human-v219.gaf"), ("go.obo", "goa_human.gaf")],
)
@pytest.mark.parametrize("packed", [False, True])
def test_official_names_release_tags_and_gz(tmp_path: Path, obo_name: str, gaf_name: str, packed: bool) -> None:
    for name, text in ((obo_name, obo()), (gaf_name, gaf())):
        if packed:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (tmp_path / name).write_text(text)
    (tmp_path / "goa_human_isoform.gaf").write_text(gaf(ROWS[:1]))
    assert len(edges(read(tmp_path), "annotated_bp")) == 13


def test_interacting_taxon_and_other_species(folder: Path) -> None:
    other = gaf(ROWS[1:2], taxon="taxon:10090").split("\n")[2]
    (folder / "goa_human.gaf").write_text(gaf(taxon="taxon:9606|taxon:11676") + other + "\n")
    reading = read(folder)
    assert len(edges(reading, "annotated_bp")) == 13
    assert "1 lines of other species left out" in reading.notes


GPAD_ECO = {"IMP": "ECO:0000315", "IDA": "ECO:0000314", "IEA": "ECO:0007669", "TAS": "ECO:0000304",
            "HDA": "ECO:0007005", "ND": "ECO:0000307"}  # fmt: skip


def gpad_1(rows=ROWS, properties="go_evidence=%s") -> str:
    lines = ["!gpa-version: 1.1"]
    for accession, _, qualifier, term, evidence, _ in rows:
        stated = properties % evidence if "%s" in properties else properties
        eco = GPAD_ECO[evidence]
        lines.append(
            "\t".join(["UniProtKB", accession, qualifier, term, "PMID:1", eco, "", "", "20240101", "X", "", stated])
        )
    return "\n".join(lines) + "\n"


def gpad_2(rows=ROWS) -> str:
    lines = ["!gpad-version: 2.0"]
    for accession, _, qualifier, term, evidence, _ in rows:
        negation = "NOT" if qualifier.startswith("NOT") else ""
        fields = [f"UniProtKB:{accession}", negation, "RO:0002331", term, "PMID:1", GPAD_ECO[evidence]]
        lines.append("\t".join([*fields, "", "", "2024-01-01", "X", "", ""]))
    return "\n".join(lines) + "\n"


def gpi(version: str, rows=ROWS, taxon="9606") -> str:
    lines = [f"!gpi-version: {version}"]
    for accession, symbol, synonyms in dict.fromkeys((r[0], r[1], r[5]) for r in rows):
        if version.startswith("2"):
            lines.append(
                "\t".join(
                    [f"UniProtKB:{accession}", symbol, "n", synonyms, "PR:1", f"NCBITaxon:{taxon}", "", "", "", "", ""]
                )
            )
        else:
            lines.append(
                "\t".join(["UniProtKB", accession, symbol, "n", synonyms, "protein", f"taxon:{taxon}", "", "", ""])
            )
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("make", [gpad_1, gpad_2, lambda: gpad_1(properties="")], ids=["1.1", "2.0", "1.1 by ECO"])
@pytest.mark.parametrize("gpi_version", [None, "1.2", "2.0"])
def test_gpad_is_read_like_gaf(folder: Path, make, gpi_version: str | None) -> None:
    names = {row[0]: row[1] for row in ROWS}
    expected = {(gene, term) for gene, term in edges(read(folder, evidence="experimental"), "annotated_bp")}
    (folder / "goa_human.gaf").unlink()
    (folder / "goa_human.gpad").write_text(make())
    if gpi_version:
        (folder / "goa_human.gpi").write_text(gpi(gpi_version))
    reading = read(folder, evidence="experimental")
    found = edges(reading, "annotated_bp")
    if gpi_version:
        assert found == expected
        assert reading.identities is not None
        assert ("P00001", 0) in reading.identities.aliases["uniprot"]
        assert [path.name for path in reading.files][-1] == "goa_human.gpi"
    else:
        assert {(names[gene], term) for gene, term in found} == expected
        assert any("goa_human.gpi" in note for note in reading.notes)


def test_gpad_isoforms_are_their_protein(folder: Path) -> None:
    (folder / "goa_human.gaf").unlink()
    rows = [("P00001:PRO_0000012345", *ROWS[0][1:]), ("P00002-3", *ROWS[1][1:])]
    (folder / "goa_human.gpad").write_text(gpad_1(rows))
    assert {gene for gene, _ in edges(read(folder), "annotated_bp")} == {"P00001", "P00002"}


def test_gpi_of_another_species_is_refused(folder: Path) -> None:
    (folder / "goa_human.gaf").unlink()
    (folder / "goa_human.gpad").write_text(gpad_1())
    (folder / "goa_human.gpi").write_text(gpi("1.2", taxon="10090"))
    with pytest.raises(FileFormatError, match=r"(?s)no annotations of taxon 9606.*10090"):
        read(folder)
    (folder / "goa_human.gpi").write_text(gpi("3.0"))
    with pytest.raises(FileFormatError, match="not a GPI file that can be read"):
        read(folder)


def test_unknown_evidence_is_counted(folder: Path) -> None:
    (folder / "goa_human.gaf").unlink()
    (folder / "goa_human.gpad").write_text(gpad_1(properties="").replace("ECO:0000315", "ECO:9999999"))
    assert any("1 annotations of unknown evidence kept" in note for note in read(folder).notes)
    dropped = read(folder, evidence="experimental")
    assert any("1 annotations of unknown evidence dropped" in note for note in dropped.notes)
    assert not any(gene == "P00001" for gene, _ in edges(dropped, "annotated_bp"))


GENE2GO = (
    "#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\tGO_term\tPubMed\tCategory\n"
    "9606\t983\tGO:0000003\tIMP\tinvolved_in\tmitosis\t1\tProcess\n"
    "9606\t5347\tGO:0000004\tIDA\tNOT involved_in\tspindle\t1\tProcess\n"
    "10090\t12534\tGO:0000003\tIDA\tinvolved_in\tmitosis\t-\tProcess\n"
)


def test_gene2go(folder: Path) -> None:
    (folder / "goa_human.gaf").unlink()
    (folder / "gene2go.gz").write_bytes(gzip.compress(GENE2GO.encode()))
    reading = read(folder)
    assert edges(reading, "annotated_bp") == {("983", "GO:0000003"), ("983", "GO:0000002"), ("983", BP)}
    assert reading.lines_read == 3
    assert edges(read(folder, species=10090), "annotated_bp") == {
        ("12534", "GO:0000003"), ("12534", "GO:0000002"), ("12534", BP),
    }  # fmt: skip
    with pytest.raises(FileFormatError, match=r"(?s)taxon 7227.*10090, 9606"):
        read(folder, species=7227)


def test_other_species_have_their_own_file_names(tmp_path: Path) -> None:
    (tmp_path / "go-basic.obo").write_text(obo())
    (tmp_path / "mgi.gaf").write_text(gaf(taxon="taxon:10090"))
    (tmp_path / "goa_human.gaf").write_text(gaf(ROWS[:1]))
    reading = read(tmp_path, species=10090)
    assert reading.files[1].name == "mgi.gaf"
    assert len(edges(reading, "annotated_bp")) == 13


# --- the ontology's corners


def test_alternative_identifier_of_two_terms_is_dropped_and_counted(folder: Path) -> None:
    terms = [(n, a, s, [*x, "alt_id: GO:0000013"] if n == "GO:0000004" else x) for n, a, s, x in TERMS]
    (folder / "go-basic.obo").write_text(obo(terms))
    reading = read(folder)
    assert not any(gene == "PLK1" for gene, _ in edges(reading, "annotated_bp"))
    assert "1 alternative identifiers that belong to several terms left out" in reading.notes
    assert "1 annotations to unknown terms dropped" in reading.notes


def test_replaced_by_several_terms_is_dropped(folder: Path) -> None:
    terms = [(n, a, s, [*x, "replaced_by: GO:0000004"] if n == "GO:0000090" else x) for n, a, s, x in TERMS]
    (folder / "go-basic.obo").write_text(obo(terms))
    reading = read(folder)
    assert not any(gene == "MAD2L1" for gene, _ in edges(reading, "annotated_bp"))
    assert "2 annotations to obsolete terms dropped" in reading.notes


def test_links_to_missing_terms_are_counted(folder: Path) -> None:
    terms = [*TERMS, ("GO:0000008", "x", "biological_process", ["is_a: GO:0999999", "is_a: GO:0000091"])]
    (folder / "go-basic.obo").write_text(obo(terms))
    assert any("2 links to obsolete or unknown terms" in note for note in read(folder).notes)


def test_default_namespace_is_used(folder: Path) -> None:
    header = "format-version: 1.2\ndefault-namespace: biological_process\n"
    terms = [row for row in TERMS if row[2] == "biological_process"]
    (folder / "go-basic.obo").write_text(obo(terms, header).replace("namespace: biological_process\ndef", "def"))
    assert edges(read(folder, namespace="bp"), "annotated_bp")


# --- bad input


@pytest.mark.parametrize(
    ("extra", "cycle"),
    [
        (["is_a: GO:0000003"], "GO:0000002 -> GO:0000003 -> GO:0000002"),
        (["relationship: part_of GO:0000004"], "GO:0000002 -> GO:0000004 -> GO:0000002"),
        (["is_a: GO:0000002"], "GO:0000002 -> GO:0000002"),
    ],
)
def test_cycle_is_named(folder: Path, extra: list[str], cycle: str) -> None:
    terms = [(n, a, s, extra if n == "GO:0000002" else x) for n, a, s, x in TERMS]
    (folder / "go-basic.obo").write_text(obo(terms))
    with pytest.raises(FileFormatError, match=r"go-basic.obo has a cycle") as error:
        read(folder)
    found = error.value.problem.split("cycle: ")[1].split(" -> ")
    assert found[0] == found[-1]
    assert set(found) == set(cycle.split(" -> "))


def test_cycle_over_a_relation_that_is_not_read_does_no_harm(folder: Path) -> None:
    terms = [(n, a, s, [*x, "relationship: regulates GO:0000005"] if n == "GO:0000003" else x) for n, a, s, x in TERMS]
    (folder / "go-basic.obo").write_text(obo(terms))
    assert edges(read(folder), "annotated_bp")
    with pytest.raises(FileFormatError, match="cycle"):
        read(folder, relations=["is_a", "regulates"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>not found</html>\n", "not an OBO file"),
        ("format-version: 1.2\n\n", "not an OBO file"),
        (obo(header=""), "not an OBO file"),
        (obo([*TERMS, TERMS[2]]), r"gives the term GO:0000003 twice"),
        (obo([("HP:1", "x", "human_phenotype", [])]), "no live terms of the Gene Ontology"),
        (obo([("GO:1", "x", "biological_process", ["relationship: part_of GO:2 GO:3"])]), "not a valid OBO file"),
        ("format-version: 1.2\n\n[Term]\nid: GO:1\nname: x\n\n[Term]\nname: no id\n", "not a valid OBO file"),
    ],
)
def test_bad_ontology(folder: Path, text: str, message: str) -> None:
    (folder / "go-basic.obo").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (gaf(version="1.0"), r"(?s)is GAF 1.0.*2.0, 2.1, 2.2"),
        (gaf(version="3.0"), "is GAF 3.0"),
        (gpad_1().replace("1.1", "9.9"), "is GPAD 9.9"),
        (gaf().split("\n", 2)[2], "does not say which annotation format"),
        (gaf().replace("!gaf-version: 2.2", "!made by me"), "does not say which annotation format"),
        ("!gaf-version: 2.2\n!nothing else\n", "has no data"),
        (gaf().replace("\t", ","), r"(?s)is not GAF 2.2.*separated by commas"),
        (gaf().replace("\t", " "), "is not GAF 2.2"),
        (gaf(taxon="taxon:10090"), r"(?s)no annotations of taxon 9606.*taxon 10090"),
        (gaf([(*row[:3], "", *row[4:]) for row in ROWS]), r"line 3 .* has no term \(field 5\)"),
        ("\n".join(gaf().split("\n")[:-2]) + "\nUniProtKB\tP1\tTTK\tinvolved_in\tGO:00", r"line 12 .* has no evidence"),
        (gaf([(*row[:3], "CL:0000001", *row[4:]) for row in ROWS]), "is to a term of the ontology"),
    ],
)
def test_bad_annotations(folder: Path, text: str, message: str) -> None:
    (folder / "goa_human.gaf").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read(folder)


@pytest.mark.parametrize("name", ["go-basic.obo", "goa_human.gaf"])
def test_damaged_files(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty"):
        read(folder)
    path.write_bytes(gzip.compress(content)[:-40])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        read(folder)
    path.write_bytes(content.replace(b"a", b"\xff"))
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read(folder)
    path.unlink()
    with pytest.raises(FileFormatError, match=r"is not in .*"):
        read(folder)


def test_gene2go_with_symbols_is_refused(folder: Path) -> None:
    (folder / "goa_human.gaf").write_text(GENE2GO.replace("983", "CDK1"))
    with pytest.raises(FileFormatError, match="'CDK1'"):
        read(folder)
    (folder / "goa_human.gaf").write_text(GENE2GO.split("\n")[0] + "\n")
    with pytest.raises(FileFormatError, match="no data"):
        read(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"namespace": "biological_proces"}, "namespace"),
        ({"namespace": []}, "empty list"),
        ({"relations": ["is_b"]}, "relations"),
        ({"evidence": ["IMPP"]}, "did you mean 'IMP'"),
        ({"evidence": ["IDA"], "exclude_evidence": ["IDA"]}, "no evidence code is left"),
        ({"min_term_genes": 10, "max_term_genes": 5}, "max_term_genes = 5 is below"),
        ({"relations": [], "close_ancestors": True}, "ancestors cannot be closed"),
        ({"close_ancestors": ["regulates"]}, "ancestors cannot be closed"),
        ({"top_k": 5}, "'top_k' is a setting of the reading 'similarity'"),
        ({"measure": "jaccard"}, "'measure' is a setting"),
        ({"reading": "similarity", "top_k": None}, "set top_k, or a min_similarity"),
        ({"reading": "similarity", "measure": "cosine"}, "measure"),
        ({"confidence": 0.7}, "no setting 'confidence'"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GeneOntology.parse(settings)


def test_nothing_left_is_an_error(folder: Path) -> None:
    with pytest.raises(EmptyGraphError, match=r"(?s)evidence.*IDA \(3\)|evidence.*IEA \(3\)"):
        read(folder, evidence=["ISS"])
    with pytest.raises(EmptyGraphError, match=r"(?s)no set has from 100.*sets of 1 to 4"):
        read(folder, min_term_genes=100)


def test_settings_make_the_same_source_again() -> None:
    values = {"namespace": "bp", "evidence": "experimental", "reading": "similarity", "top_k": 3}
    for source in (GeneOntology(), GeneOntology.parse(values)):
        assert GeneOntology.parse(source.settings()) == source


def ancestors_by_hand(path: Path) -> dict[str, set[str]]:
    """Term to itself and its ancestors over is_a, from the lines of the file."""
    parents: dict[str, list[str]] = {}
    with gzip.open(path, "rt") as handle:
        for line in handle:
            if line.startswith("id: "):
                term = line[4:].strip()
            elif line.startswith("is_a: "):
                parents.setdefault(term, []).append(line[6:16])
    found: dict[str, set[str]] = {}

    def climb(term: str) -> set[str]:
        if term not in found:
            found[term] = {term}.union(*(climb(parent) for parent in parents.get(term, [])))
        return found[term]

    for term in list(parents):
        climb(term)
    return found


@pytest.mark.shared
def test_real_files(shared_data: Path) -> None:
    reading = GeneOntology().read(SourceContext(shared_data / "graphs"))
    sizes = {table.relation: len(table) for table in reading.tables}
    assert reading.lines_read == 252_037
    assert sizes == {"annotated_bp": 997_608, "annotated_mf": 266_314, "annotated_cc": 252_725, "is_a": 35_134}
    terms = reading.tables[0].dst_names
    assert len(terms) == 21_983
    assert reading.labels["go_term"]["GO:0006915"] == "apoptotic process"
    assert any("5,287 obsolete terms" in note for note in reading.notes)
    above = ancestors_by_hand(shared_data / "graphs" / "go-basic.obo.gz")
    sample = set(reading.tables[0].src_names[::50].tolist())
    expected: set[tuple[str, str]] = set()
    with gzip.open(shared_data / "graphs" / "goa_human.gaf.gz", "rt") as handle:
        for fields in (line.split("\t", 5) for line in handle if not line.startswith("!")):
            if fields[2] in sample:
                expected.update((fields[2], term) for term in above.get(fields[4], {fields[4]}))
    annotated = [table for table in reading.tables if table.etype[0] == "gene"]
    chosen = [table.take(np.isin(table.src_names, list(sample))[table.src]) for table in annotated]
    assert set().union(*map(named, chosen)) == expected
