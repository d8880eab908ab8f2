"""Manifest: where every edge of a graph comes from, what was dropped on the way, and why."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pydantic import Field

import gnnvcell
from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean

MAX_EXAMPLES = 20
NOT_SELECTED = "not_selected"


class FileRecord(Config):
    """One file that was read: its name, its size in bytes and the SHA-256 of its bytes on disk."""

    name: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class RelationRecord(Config):
    """What became of the edges of one relation. ``read`` is the sum of the other counts (``balance`` checks it).

    Args:
        relation: its name in the graph.
        etype: (source node type, relation, destination node type).
        read: edges as the source gave them.
        unmatched: edges dropped because a gene at an end is not in the vocabulary.
        self_loops: edges dropped because both ends are one gene.
        duplicates: edges merged into another one of the same pair.
        filtered: edges dropped by the filters.
        kept: edges in the graph; an undirected pair counts once.
    """

    relation: str
    etype: tuple[str, str, str]
    read: int = Field(ge=0)
    unmatched: int = Field(ge=0)
    self_loops: int = Field(ge=0)
    duplicates: int = Field(ge=0)
    filtered: int
    kept: int = Field(ge=0)

    @property
    def balance(self) -> int:
        """Edges that are neither kept nor accounted for; 0 in a correct record."""
        return self.read - self.unmatched - self.self_loops - self.duplicates - self.filtered - self.kept


class SourceRecord(Config):
    """What one source of a recipe gave to the graph.

    Args:
        key: the source's name in the recipe.
        type: the kind of source ("string", "go" ...).
        settings: its settings in full, defaults included.
        filters: the filters that ran after the names were resolved, in order.
        files: the files that were read.
        lines_read: data lines of the edge files before any filter.
        relations: names of its relations in the graph.
        relation_records: one record per relation, in the same order.
        genes_matched: unique gene names matched, by how ("symbol", "previous", "ensp" ...).
        genes_unmatched: unique gene names not matched, by why ("unknown", "ambiguous", "wrong_species";
            "not_selected": a known gene that was not asked for).
        unmatched_examples: up to 20 of those names per reason.
        notes: counted facts from the reading.
    """

    key: str
    type: str
    settings: dict[str, Any] = Field(default_factory=dict)
    filters: tuple[dict[str, Any], ...] = ()
    files: tuple[FileRecord, ...] = ()
    release: str = ""
    licence: str = ""
    citation: str = ""
    urls: tuple[str, ...] = ()
    lines_read: int = 0
    relations: tuple[str, ...] = ()
    relation_records: tuple[RelationRecord, ...] = ()
    genes_matched: dict[str, int] = Field(default_factory=dict)
    genes_unmatched: dict[str, int] = Field(default_factory=dict)
    unmatched_examples: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def edges_read(self) -> int:
        """Edges the source gave, over its relations."""
        return sum(record.read for record in self.relation_records)

    @property
    def edges_kept(self) -> int:
        """Edges in the graph, over its relations; an undirected pair counts once."""
        return sum(record.kept for record in self.relation_records)

    @property
    def self_loops(self) -> int:
        """Edges dropped because both ends are one gene."""
        return sum(record.self_loops for record in self.relation_records)

    @property
    def duplicates(self) -> int:
        """Edges merged into another one of the same pair."""
        return sum(record.duplicates for record in self.relation_records)

    @property
    def coverage(self) -> float:
        """Share of the source's unique gene names that are matched; 1.0 for a source without genes.

        Genes that are known, but were not among those asked for, are not counted.
        """
        matched = sum(self.genes_matched.values())
        missed = sum(count for reason, count in self.genes_unmatched.items() if reason != NOT_SELECTED)
        return matched / (matched + missed) if matched + missed else 1.0

    def report(self) -> str:
        """A few lines for people: edges read and kept, and the names that were not matched, by reason."""
        matched, missed = sum(self.genes_matched.values()), sum(self.genes_unmatched.values())
        how = ", ".join(f"{reason} {count:,}" for reason, count in self.genes_matched.items() if reason != "symbol")
        lines = [
            f"{self.key} ({self.type}): {self.edges_kept:,} of {self.edges_read:,} edges kept; "
            f"{matched:,} of {matched + missed:,} gene names matched ({self.coverage:.1%}{'; ' + how if how else ''})"
        ]
        for record in self.relation_records:
            dropped = {
                "unmatched": record.unmatched,
                "self loops": record.self_loops,
                "duplicates": record.duplicates,
                "filtered": record.filtered,
            }
            lost = ", ".join(f"{count:,} {what}" for what, count in dropped.items() if count)
            lines.append(f"  {record.relation}: {record.kept:,} edges" + (f" ({lost} dropped)" if lost else ""))
        for reason, count in self.genes_unmatched.items():
            examples = ", ".join(self.unmatched_examples.get(reason, ())[:5])
            lines.append(f"  {count:,} names {reason}: {examples}{' ...' if count > 5 else ''}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


class Manifest(Config):
    """Provenance of a whole graph. ``sources[key].relations`` says which relations a source gave.

    Args:
        name: the recipe's name.
        species: NCBI taxon.
        sources: source key to its record.
        skipped: optional sources that were not found, with the reason.
        recipe: the resolved recipe the graph was built from, as plain values.
        notes: counted facts about the whole graph.
        versions: versions of gnnvcell, dgl, torch, numpy and python at the time.
        created: UTC date and time, ISO 8601.
        history: what was done to the graph after it was built ("subset to 500 of 19,000 genes").
    """

    name: str = ""
    species: int = 9606
    sources: dict[str, SourceRecord] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    history: tuple[str, ...] = ()

    @classmethod
    def create(
        cls,
        sources: Mapping[str, SourceRecord] | None = None,
        *,
        name: str = "",
        species: int = 9606,
        skipped: Mapping[str, str] | None = None,
        recipe: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> "Manifest":
        """A manifest of now, with the versions of this installation."""
        return cls(
            name=name,
            species=species,
            sources=dict(sources or {}),
            skipped=dict(skipped or {}),
            recipe=dict(recipe or {}),
            notes=tuple(notes),
            versions=installed_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def source_relations(self) -> dict[str, list[str]]:
        """Source key to the relations it gave."""
        return {key: list(record.relations) for key, record in self.sources.items()}

    def source_of(self, relation: str) -> str:
        """The key of the source that gave a relation; empty where no source claims it."""
        return next((key for key, record in self.sources.items() if relation in record.relations), "")

    def with_history(self, event: str) -> "Manifest":
        """The same manifest with one more thing done to the graph."""
        return self.model_copy(update={"history": (*self.history, event)})

    def of_relations(self, relations: Sequence[str]) -> "Manifest":
        """The manifest of a graph that keeps only these relations; sources that lose all of theirs are left out."""
        kept = {}
        for key, record in self.sources.items():
            records = tuple(r for r in record.relation_records if r.relation in relations)
            names = tuple(name for name in record.relations if name in relations)
            if names:
                kept[key] = record.model_copy(update={"relations": names, "relation_records": records})
        return self.model_copy(update={"sources": kept})

    def source(self, key: str) -> SourceRecord:
        """The record of one source.

        Raises:
            ConfigError: no source has that key.
        """
        if key not in self.sources:
            raise ConfigError(f"the graph has no source {key!r}", remedy=did_you_mean(key, self.sources))
        return self.sources[key]

    def report(self) -> str:
        """What was read, kept and not matched, by source."""
        skipped = [f"{key}: skipped, {reason}" for key, reason in self.skipped.items()]
        return "\n".join([*(record.report() for record in self.sources.values()), *skipped, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``parse`` reads back to an equal manifest."""
        return json.loads(self.model_dump_json())


def installed_versions() -> dict[str, str]:
    """Versions of what a graph's content can depend on."""
    versions = {"gnnvcell": gnnvcell.__version__, "python": platform.python_version()}
    for package in ("dgl", "torch", "numpy"):
        versions[package] = metadata.version(package)
    return versions
