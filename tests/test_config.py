import datetime
import subprocess
import sys

import pytest
from pydantic import Field, ValidationError

from gnnvcell.config import Config, apply_overrides, digest_of, read_toml
from gnnvcell.errors import ConfigError, FileFormatError


class Inner(Config):
    hidden_dim: int = Field(default=64, gt=0)
    activation: str = "relu"


class Outer(Config):
    name: str
    model: Inner = Inner()
    other: Inner | None = None
    layers: tuple[Inner, ...] = ()
    rate: float = 0.1


def test_values_are_parsed_and_frozen() -> None:
    config = Outer.parse({"name": "a", "model": {"hidden_dim": 8}, "layers": [{"hidden_dim": 2}]})
    assert (config.model.hidden_dim, config.model.activation, config.layers[0].hidden_dim) == (8, "relu", 2)
    with pytest.raises(ValidationError):
        config.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "key", "remedy"),
    [
        ({"name": "a", "modle": {}}, "modle", "did you mean 'model'?"),
        ({"name": "a", "model": {"hiden_dim": 8}}, "model.hiden_dim", "did you mean 'hidden_dim'?"),
        ({"name": "a", "other": {"hiden_dim": 8}}, "other.hiden_dim", "did you mean 'hidden_dim'?"),
        ({"name": "a", "model": {"zzz": 8}}, "model.zzz", "choose one of activation, hidden_dim"),
    ],
)
def test_unknown_keys_show_the_nearest_at_their_level(values, key, remedy) -> None:
    with pytest.raises(ConfigError, match=f"Outer has no setting '{key}'") as caught:
        Outer.parse(values)
    assert caught.value.remedy == remedy


def test_unknown_keys_inside_a_list_are_named() -> None:
    with pytest.raises(ConfigError, match=r"the recipe has no setting 'layers.0.zzz'"):
        Outer.parse({"name": "a", "layers": [{"zzz": 1}]}, where="the recipe")


def test_missing_and_bad_values_are_named() -> None:
    with pytest.raises(ConfigError, match="Outer needs the setting 'name'") as caught:
        Outer.parse({})
    assert caught.value.remedy == "add name = ..."
    with pytest.raises(ConfigError, match=r"bad value for 'model.hidden_dim'") as caught:
        Outer.parse({"name": "a", "model": {"hidden_dim": -1}})
    assert "greater than 0" in caught.value.expected
    assert caught.value.found == "-1"
    with pytest.raises(ConfigError, match=r"bad value for 'rate'"):
        Outer.parse({"name": "a", "rate": "fast"})


def test_the_digest_is_of_the_content(tmp_path) -> None:
    one = Outer.parse({"name": "a", "model": {"hidden_dim": 8, "activation": "relu"}})
    other = Outer.parse({"model": {"activation": "relu", "hidden_dim": 8}, "name": "a"})
    assert one.digest() == other.digest()
    assert Outer(name="a").digest() != Outer(name="b").digest()
    assert Outer(name="a").digest() == Outer(name="a", model=Inner(hidden_dim=64)).digest()
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_the_digest_is_the_same_in_another_process() -> None:
    code = "from gnnvcell.config import digest_of; print(digest_of({'b': 'é', 'a': [1, 2.5, None]}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == digest_of({"a": [1, 2.5, None], "b": "é"})


def test_toml_is_read_and_bad_toml_names_the_line(tmp_path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\n[model]\nhidden_dim = 8\n')
    assert Outer.parse(read_toml(path)).model.hidden_dim == 8
    path.write_text('name = "a"\nmodel = {hidden_dim\n')
    with pytest.raises(ConfigError, match="not valid TOML") as caught:
        read_toml(path)
    assert "line 2" in caught.value.found
    path.write_bytes(b'name = "\xff"\n')
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(path)
    path.write_text("")
    with pytest.raises(FileFormatError, match="is empty"):
        read_toml(path)
    with pytest.raises(FileFormatError, match="no file"):
        read_toml(tmp_path / "b.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1024", 1024),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('"quoted"', "quoted"),
        ("relu", "relu"),
        ("two words", "two words"),
        ("a=b", "a=b"),
        ("", ""),
        ("v12.0", "v12.0"),
        ("2023-01-01", "2023-01-01"),
        ("{hidden_dim = 3}", {"hidden_dim": 3}),
    ],
)
def test_overrides_are_toml_or_words(text, value) -> None:
    found = apply_overrides({}, [f"a.b={text}"])["a"]["b"]
    assert found == value
    assert type(found) is type(value)


def test_overrides_reach_nested_tables_and_leave_the_input_alone() -> None:
    values = {"model": {"hidden_dim": 8}, "made": datetime.date(2023, 1, 1), "layers": [{"hidden_dim": 1}]}
    found = apply_overrides(values, ["model.hidden_dim=16", " model . activation = tanh", "new.deep.key=1", "name=a"])
    assert found["model"] == {"hidden_dim": 16, "activation": "tanh"}
    assert found["new"] == {"deep": {"key": 1}}
    assert found["name"] == "a"
    assert found["made"] == datetime.date(2023, 1, 1)
    assert values == {"model": {"hidden_dim": 8}, "made": datetime.date(2023, 1, 1), "layers": [{"hidden_dim": 1}]}
    found["layers"][0]["hidden_dim"] = 2
    assert values["layers"] == [{"hidden_dim": 1}]


@pytest.mark.parametrize("override", ["model", "=1", "model.=1", ".a=1", "a..b=1"])
def test_bad_overrides_are_refused(override) -> None:
    with pytest.raises(ConfigError, match="cannot read the override"):
        apply_overrides({}, [override])


def test_an_override_through_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="'name', which is not a table"):
        apply_overrides({"name": "a"}, ["name.first=b"])
