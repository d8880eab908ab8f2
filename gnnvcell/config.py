"""Configurations: frozen, typed, no unknown keys; from TOML with dotted overrides; each with a digest."""

import copy
import datetime
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.files import require_file

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """Base of every configuration: frozen, and a key it does not know is an error.

    Raises:
        ConfigError: on ``parse``, an unknown key or a value of the wrong type or range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls: type[C], values: Mapping[str, Any], *, where: str = "") -> C:
        """Make the configuration from plain values, with errors that name the key and the nearest valid one."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _as_config_error(cls, error, where or cls.__name__) from None

    def digest(self) -> str:
        """Hex SHA-256 of the configuration's content, equal for equal configurations."""
        return digest_of(self.model_dump(mode="json"))


def _as_config_error(cls: type[Config], error: ValidationError, where: str) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = _settings_at(cls, first["loc"][:-1])
        return ConfigError(f"{where} has no setting {key!r}", remedy=did_you_mean(str(first["loc"][-1]), valid))
    if first["type"] == "missing":
        return ConfigError(f"{where} needs the setting {key!r}", remedy=f"add {key} = ...")
    return ConfigError(f"{where}: bad value for {key!r}", expected=first["msg"], found=repr(first["input"]))


def _settings_at(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """The settings of the configuration that a path of keys leads to; none where it cannot be told."""
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        field = model.model_fields.get(str(part))
        model = field.annotation if field else None
        # An optional table, "Inner | None", is the one configuration among its choices.
        choices = [choice for choice in get_args(model) if isinstance(choice, type) and issubclass(choice, BaseModel)]
        model = choices[0] if len(choices) == 1 else model
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def digest_of(values: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of the order of keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        FileFormatError: the file is missing or empty.
        ConfigError: it is not TOML (with the line).
    """
    path = require_file(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML", found=str(error), remedy="mend the line it names") from error


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Apply ``a.b.c=value`` overrides to nested settings; values are TOML, bare words are strings.

    Args:
        values: nested settings; not changed.
        overrides: texts such as ``model.hidden_dim=1024`` or ``sources.string.confidence=0.9``.

    Raises:
        ConfigError: no ``=``, an empty key, or a path that runs through something that is not a table.
    """
    result = copy.deepcopy(dict(values))
    for override in overrides:
        key, separator, text = override.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not separator or not all(path):
            raise ConfigError(f"cannot read the override {override!r}", expected="key.sub_key=value")
        table = result
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"the override {override!r} goes through {part!r}, which is not a table")
        table[path[-1]] = _parse_value(text.strip())
    return result


def _parse_value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    # No setting is a date; a release named 2023-01-01 is a word.
    return text if isinstance(value, datetime.date | datetime.time) else value
