"""Recipes: every form, relative folders, overrides, and mistakes that are named before a file is opened."""

from pathlib import Path

import pytest

from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.graphs.filters import Normalise, TopK
from gnnvcell.graphs.recipe import read_recipe
from gnnvcell.graphs.sources import GeneOntology, Scgpt, String

SOURCES = {"string_db": {"type": "string", "args": {"confidence": 0.9}}}

TOML = """
name = "mine"
species = 10090
source_dir = "raw"
normalise = "max"
[genes]
hgnc = "names.txt"
[sources.string_db]
type = "string"
release = "12.0"
licence = "CC BY 4.0"
urls = ["https://example.org/links.txt", {url = "https://example.org/a.zip", member = "b.txt"}]
args = {confidence = 0.9}
filters = [{type = "top_k", k = 7}]
"""


def test_a_toml_file(tmp_path) -> None:
    (tmp_path / "recipe.toml").write_text(TOML)
    plan = read_recipe(tmp_path / "recipe.toml")
    assert plan.source_dir == tmp_path / "raw"
    assert (plan.recipe.name, plan.recipe.species, plan.recipe.genes.hgnc) == ("mine", 10090, "names.txt")
    (planned,) = plan.sources
    assert isinstance(planned.source, String)
    assert planned.source.confidence == 0.9
    assert planned.filters == (TopK(7), Normalise("max"))
    assert (planned.entry.release, planned.licence) == ("12.0", "CC BY 4.0")
    assert read_recipe(str(tmp_path / "recipe.toml"), source_dir="elsewhere").source_dir == Path("elsewhere")


def test_a_dict_of_sources_and_a_whole_dict_are_the_same() -> None:
    bare, whole = read_recipe(SOURCES), read_recipe({"sources": SOURCES})
    assert bare.sources[0].source == whole.sources[0].source
    assert bare.source_dir is None
    assert read_recipe({"sources": SOURCES, "hgnc": "h.txt"}).recipe.genes.hgnc == "h.txt"
    assert read_recipe({"sources": {"type": "string"}}).sources[0].key == "sources"


def test_source_objects_in_a_list_or_a_dict() -> None:
    first, second = (GeneOntology.parse({"namespace": name}) for name in ("bp", "mf"))
    plan = read_recipe([first, String(), second])
    assert [planned.key for planned in plan.sources] == ["go", "string", "go_2"]
    assert plan.sources[0].source is first
    assert plan.recipe.sources["go_2"].args["namespace"] == ["molecular_function"]
    mixed = read_recipe({"mine": first, **SOURCES})
    assert [planned.key for planned in mixed.sources] == ["mine", "string_db"]
    with pytest.raises(ConfigError, match="source object 'go'"):
        read_recipe([first], overrides=["sources.go.args.min_term_genes=3"])


def test_filters_of_the_source_come_before_those_of_the_recipe() -> None:
    entry = {"type": "string", "args": {"top_k": 3}, "filters": [{"type": "top_k", "k": 9}]}
    assert read_recipe({"a": entry}).sources[0].filters == (TopK(3), TopK(9))


def test_overrides_reach_every_setting() -> None:
    overrides = ["sources.string_db.args.confidence=0.4", "species=10090", "normalise=sym"]
    plan = read_recipe(SOURCES, overrides=overrides)
    assert plan.sources[0].source == String(confidence=0.4)
    assert plan.recipe.species == 10090
    assert plan.sources[0].filters == (Normalise("sym"),)
    assert SOURCES["string_db"]["args"] == {"confidence": 0.9}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"string_db": {"type": "sting"}}, "did you mean 'string'"),
        ({"string_db": {"type": "string", "args": {"confidense": 0.7}}}, "did you mean 'confidence'"),
        ({"string_db": {"type": "string", "args": {"confidence": 7}}}, r"sources.string_db.args: bad value"),
        ({"string_db": {"type": "string", "arg": {}}}, "did you mean 'args'"),
        ({"string_db": {"type": "string", "url": "x"}}, "did you mean 'urls'"),
        ({"sources": SOURCES, "specie": 9606}, "did you mean 'species'"),
        ({"sources": SOURCES, "normalise": "rows"}, "normalise"),
        ({"sources": SOURCES, "genes": {"hgnk": "a"}}, "hgnk"),
        ({"sources": SOURCES, "genes": {"hgnc": "a"}, "hgnc": "b"}, "twice"),
        ({"sources": {}}, "no sources"),
        ({"sources": []}, "not a table"),
        ({}, "an empty recipe"),
        ({"string_db": {"confidence": 0.7}}, "'string_db'"),
        ({"a/b": {"type": "string"}}, "bad source key 'a/b'"),
        ({"s": {"type": "string", "filters": [{"type": "topk"}]}}, "did you mean 'top_k'"),
        ({"s": {"type": "string", "filters": [{"type": "top_k", "n": 3}]}}, r"sources.s.filters\[0\]: top_k has no"),
        ({"s": {"type": "scgpt_derived", "args": {"mode": "top5"}}}, "top_<k>"),
        (["string"], "Source objects"),
    ],
)
def test_mistakes_are_named(recipe, message) -> None:
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe)


def test_a_missing_or_broken_toml_file(tmp_path) -> None:
    (tmp_path / "recipe.toml").write_text(TOML)
    with pytest.raises(FileFormatError, match=r"did you mean 'recipe.toml'"):
        read_recipe(tmp_path / "recipes.toml")
    (tmp_path / "recipe.toml").write_text("[sources")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_recipe(tmp_path / "recipe.toml")


def test_every_shipped_recipe_can_be_read() -> None:
    folder = Path(__file__).parents[2] / "graphs"
    recipes = sorted(folder.glob("*.toml"))
    assert "human.toml" in [path.name for path in recipes]
    for path in recipes:
        plan = read_recipe(path)
        assert plan.recipe.name == path.stem
        for planned in plan.sources:
            assert planned.entry.release, f"{path.name}: {planned.key} names no release"
            assert planned.entry.licence, f"{path.name}: {planned.key} names no licence"
            assert planned.entry.urls or planned.entry.optional, f"{path.name}: {planned.key} names no urls"
    human = {planned.key: planned for planned in read_recipe(folder / "human.toml").sources}
    assert isinstance(human["scgpt"].source, Scgpt)
    assert human["scgpt"].entry.optional
