import pytest

from gnnvcell.errors import ConfigError
from gnnvcell.registry import Registry


@pytest.fixture
def models() -> Registry[type]:
    registry: Registry[type] = Registry("model")
    registry.register("smoother", "diffusion")(int)
    registry.register("ridge")(float)
    return registry


def test_objects_are_found_by_every_name(models) -> None:
    assert models.get("smoother") is models.get("diffusion") is int
    assert list(models) == ["smoother", "diffusion", "ridge"]
    assert "ridge" in models
    assert "lasso" not in models


def test_the_decorator_returns_what_it_files(models) -> None:
    @models.register("mine")
    class Mine:
        pass

    assert models.get("mine") is Mine
    assert models.register("mine")(Mine) is Mine  # again the same object: as when a module is loaded twice


def test_unknown_names_show_the_nearest(models) -> None:
    with pytest.raises(ConfigError, match="unknown model 'smother'") as caught:
        models.get("smother")
    assert caught.value.remedy == "did you mean 'smoother'?"


def test_a_taken_name_is_refused_and_nothing_is_filed(models) -> None:
    with pytest.raises(ConfigError, match="'ridge' is already taken"):
        models.register("new", "ridge")(str)
    assert "new" not in models
    assert models.get("ridge") is float


def test_no_name_is_refused(models) -> None:
    with pytest.raises(ConfigError, match="without a name"):
        models.register()
