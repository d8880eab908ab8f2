"""Manifest: round trip, accounting, reports, refusal of unknown keys."""

import pytest

from gnnvcell.errors import ConfigError
from gnnvcell.graphs.manifest import FileRecord, Manifest, RelationRecord, SourceRecord


def record(relation="string", **changes) -> RelationRecord:
    values = {"read": 100, "unmatched": 10, "self_loops": 3, "duplicates": 7, "filtered": 30, "kept": 50}
    return RelationRecord(relation=relation, etype=("gene", relation, "gene"), **{**values, **changes})


def source(key="string_db", relations=("string",), **changes) -> SourceRecord:
    values = {
        "key": key,
        "type": "string",
        "settings": {"confidence": 0.7},
        "files": (FileRecord(name="links.txt.gz", bytes=12, sha256="a" * 64),),
        "lines_read": 200,
        "relations": relations,
        "relation_records": tuple(record(name) for name in relations),
        "genes_matched": {"symbol": 80, "previous": 10},
        "genes_unmatched": {"unknown": 6, "ambiguous": 4},
        "unmatched_examples": {"unknown": tuple("abcdef"), "ambiguous": ("x",)},
        "notes": ("1 line repeats another",),
    }
    return SourceRecord(**{**values, **changes})


def test_every_edge_is_accounted_for() -> None:
    assert record().balance == 0
    assert record(kept=49).balance == 1
    both = source(relations=("a", "b"))
    assert (both.edges_read, both.edges_kept, both.self_loops, both.duplicates) == (200, 100, 6, 14)


def test_coverage_counts_unique_names_and_not_the_genes_nobody_asked_for() -> None:
    assert source().coverage == 0.9
    assert source(genes_unmatched={"unknown": 10, "not_selected": 900}).coverage == 0.9
    assert source(genes_matched={}, genes_unmatched={}).coverage == 1.0


def test_report_says_what_was_lost_and_why() -> None:
    text = source().report()
    for part in (
        "50 of 100 edges kept",
        "90 of 100 gene names matched (90.0%; previous 10)",
        "10 unmatched, 3 self loops, 7 duplicates, 30 filtered dropped",
        "6 names unknown: a, b, c, d, e ...",
        "4 names ambiguous: x",
        "1 line repeats another",
    ):
        assert part in text
    manifest = Manifest.create({"string_db": source()}, skipped={"scgpt": "not there"}, notes=["no HGNC"])
    assert "scgpt: skipped, not there" in manifest.report()
    assert "no HGNC" in manifest.report()


def test_round_trip_through_plain_values() -> None:
    manifest = Manifest.create({"string_db": source()}, name="human", recipe={"sources": {"string_db": {"k": [1]}}})
    assert Manifest.parse(manifest.to_json()) == manifest
    assert set(manifest.versions) == {"gnnvcell", "python", "dgl", "torch", "numpy"}
    assert manifest.created.endswith("+00:00")


def test_unknown_keys_and_bad_checksums_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'species'"):
        Manifest.parse({"specie": 9606})
    with pytest.raises(ConfigError, match="sha256"):
        FileRecord.parse({"name": "a", "bytes": 1, "sha256": "123"})


def test_selection_of_relations_keeps_their_sources_only() -> None:
    manifest = Manifest.create({"go": source("go", ("annotated_bp", "is_a")), "string_db": source()})
    assert manifest.source_relations == {"go": ["annotated_bp", "is_a"], "string_db": ["string"]}
    assert manifest.source_of("is_a") == "go"
    assert manifest.source_of("nothing") == ""
    fewer = manifest.of_relations(["is_a"]).with_history("selected")
    assert fewer.source_relations == {"go": ["is_a"]}
    assert [r.relation for r in fewer.source("go").relation_records] == ["is_a"]
    assert fewer.history == ("selected",)
    with pytest.raises(ConfigError, match="did you mean 'string_db'"):
        manifest.source("stringdb")
