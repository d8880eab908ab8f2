"""Recipes: what a graph is made of, from a TOML file, a dict, or source objects.

A recipe file has top-level settings and one table per source::

    name = "my graph"
    species = 9606
    source_dir = "raw"                 # relative to this file
    normalise = "max"                  # "sym", "row" or "max"; left out: weights stay as the sources give them

    [genes]
    hgnc = "hgnc_complete_set.txt"     # previous symbols and accessions; found in source_dir
    optional = true                    # go on without it, and record that

    [sources.string_db]
    type = "string"
    release = "12.0"
    licence = "CC BY 4.0"
    urls = ["https://..."]             # for ``gnnvcell graph fetch``
    args = {confidence = 0.7}
    filters = [{type = "top_k", k = 50}]

A dict has the same content, or is the table of sources alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gnnvcell.config import Config, apply_overrides, read_toml
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import make_filter
from gnnvcell.graphs.sources import SOURCES, Source
from gnnvcell.graphs.urls import Download


class GenesEntry(Config):
    """Where gene identities come from beside the sources' own files.

    Args:
        hgnc: HGNC's complete set, absolute or in ``source_dir``; empty for none.
        optional: whether to go on without it when it is not there.
        urls: where to download it.
    """

    hgnc: str = ""
    optional: bool = False
    urls: tuple[str | Download, ...] = ()


class SourceEntry(Config):
    """One source of a recipe.

    Args:
        type: name of the kind of source ("string", "go" ...).
        args: its settings.
        filters: tables of filters, run in order after the source's own.
        release: release of the files, for the manifest.
        licence: licence of the files; the source's own when empty.
        urls: where to download the files.
        optional: whether to go on without the source when its files are not there.
    """

    type: str
    args: dict[str, Any] = Field(default_factory=dict)
    filters: tuple[dict[str, Any], ...] = ()
    release: str = ""
    licence: str = ""
    urls: tuple[str | Download, ...] = ()
    optional: bool = False


class Recipe(Config):
    """A whole recipe; see the module for the file format.

    Args:
        name: of the graph.
        description: for people.
        species: NCBI taxon.
        source_dir: folder of the files.
        normalise: how every relation's weights are rescaled at the end; empty for not at all.
        genes: gene identities beside those in the sources.
        sources: source key to entry.
    """

    name: str = ""
    description: str = ""
    species: int = Field(default=9606, gt=0)
    source_dir: str = ""
    normalise: Literal["", "row", "sym", "max"] = ""
    genes: GenesEntry = Field(default_factory=GenesEntry)
    sources: dict[str, SourceEntry]


Filter = Callable[[EdgeTable], EdgeTable]


@dataclass(frozen=True)
class PlannedSource:
    """A source ready to be read: its key, itself, the filters that follow, and its entry in the recipe."""

    key: str
    source: Source
    filters: tuple[Filter, ...]
    entry: SourceEntry

    @property
    def type(self) -> str:
        """The kind of source, the same for all its registered names."""
        return type(self.source).type

    @property
    def licence(self) -> str:
        """The recipe's word on the licence, else the source's."""
        return self.entry.licence or type(self.source).licence


@dataclass(frozen=True)
class Plan:
    """A recipe whose sources and filters exist.

    Args:
        recipe: the resolved recipe.
        sources: in the recipe's order.
        source_dir: folder of the files, or None.
    """

    recipe: Recipe
    sources: tuple[PlannedSource, ...]
    source_dir: Path | None


def read_recipe(
    recipe: str | Path | Mapping[str, Any] | Sequence[Any],
    *,
    source_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Turn any form of recipe into a plan, checking every key, type, setting and filter before a file is opened.

    Args:
        recipe: path of a TOML file, a dict, or source objects.
        source_dir: folder of the files; goes before the recipe's own.
        overrides: ``sources.string_db.args.confidence=0.9`` and the like.

    Raises:
        ConfigError: unknown keys, types or settings (with the nearest valid ones), bad values, or no sources.
        FileFormatError: the recipe's file is missing or empty.
    """
    ready: dict[str, Source] = {}
    if isinstance(recipe, (str, Path)):
        values, base = read_toml(Path(recipe).expanduser()), Path(recipe).expanduser().parent
    elif isinstance(recipe, Mapping):
        values, base = dict(recipe), Path()
    else:
        ready = _keyed(recipe)
        values, base = {"sources": ready}, Path()
    values = _whole_form(values)
    ready |= {key: entry for key, entry in values["sources"].items() if isinstance(entry, Source)}
    values["sources"] = {k: _entry_of(e) if isinstance(e, Source) else e for k, e in values["sources"].items()}
    if overrides:
        touched = sorted(key for key in ready if any(text.startswith(f"sources.{key}.") for text in overrides))
        if touched:
            raise ConfigError(f"overrides cannot change the source object {touched[0]!r}", remedy="change the object")
        values = apply_overrides(values, overrides)
    for key, entry in values["sources"].items():
        # One by one first, because an error should name the source and the nearest of its settings.
        if not isinstance(entry, Mapping):
            raise ConfigError(f"sources.{key} is not a table", expected='{type = "string"}', found=repr(entry))
        SourceEntry.parse(entry, where=f"sources.{key}")
    parsed = Recipe.parse(values, where="the recipe")
    if not parsed.sources:
        raise ConfigError("the recipe has no sources", expected="at least one [sources.<key>] table")
    folder = Path(source_dir) if source_dir is not None else base / parsed.source_dir if parsed.source_dir else None
    planned = tuple(_planned(key, entry, ready.get(key), parsed.normalise) for key, entry in parsed.sources.items())
    return Plan(parsed, planned, None if folder is None else folder.expanduser())


def _whole_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """The form with a table of sources, from that form or from the table of sources alone."""
    sources = values.get("sources")
    if "sources" in values and not (isinstance(sources, Mapping) and isinstance(sources.get("type"), str)):
        if not isinstance(sources, Mapping):
            raise ConfigError("sources is not a table", expected="[sources.<key>] tables", found=repr(sources))
        whole = {**values, "sources": dict(sources)}
    elif values and all(isinstance(v, Source) or (isinstance(v, Mapping) and "type" in v) for v in values.values()):
        whole = {"sources": dict(values)}
    else:
        found = next((k for k, v in values.items() if not isinstance(v, Mapping) or "type" not in v), "")
        raise ConfigError(
            "this is no recipe",
            expected='a table "sources", or sources only, each with a "type"',
            found=f"{found!r}: {values[found]!r}" if found else "an empty recipe",
        )
    if "hgnc" in whole:
        genes = dict(whole.get("genes", {}))
        if "hgnc" in genes:
            raise ConfigError("the recipe names HGNC's table twice", remedy="keep hgnc in [genes] only")
        whole["genes"] = {**genes, "hgnc": whole.pop("hgnc")}
    return whole


def _keyed(sources: Any) -> dict[str, Source]:
    """Source objects by key: their type, numbered from the second of a type on."""
    if not isinstance(sources, Sequence) or isinstance(sources, bytes):
        raise ConfigError("this is no recipe", expected="a path, a dict or a list of sources", found=repr(sources))
    keyed: dict[str, Source] = {}
    for source in sources:
        if not isinstance(source, Source):
            raise ConfigError("a list of sources holds something else", expected="Source objects", found=repr(source))
        kind = type(source).type
        number = sum(type(other).type == kind for other in keyed.values()) + 1
        keyed[kind if number == 1 else f"{kind}_{number}"] = source
    return keyed


def _entry_of(source: Source) -> dict[str, Any]:
    return {"type": type(source).type, "args": source.settings()}


def _planned(key: str, entry: SourceEntry, source: Source | None, normalise: str) -> PlannedSource:
    if not key.replace("-", "_").isidentifier():
        raise ConfigError(f"bad source key {key!r}", expected="letters, digits, '_' and '-'", remedy="rename it")
    where = f"sources.{key}"
    if source is None:
        source = SOURCES.get(entry.type).parse(entry.args, where=f"{where}.args")
    filters: list[Filter] = [make_filter(spec, where=f"{where}.filters[{i}]") for i, spec in enumerate(entry.filters)]
    if normalise:
        filters.append(make_filter({"type": "normalise", "how": normalise}, where="normalise"))
    return PlannedSource(key, source, (*source.filters(), *filters), entry)
