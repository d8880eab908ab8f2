"""The provenance table of a page: what the caller says, and the installation it ran on."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gnnvcell.report.installation import describe_installation


def provenance_rows(extras: Mapping[str, Any]) -> list[list[str]]:
    """(name, text) rows: the caller's first, then versions and hardware that the caller did not name.

    Args:
        extras: any values; nested mappings become one row per leaf, named by their path.
    """
    stated = dict(_leaves(extras))
    if "command" not in stated:
        stated = {"command": " ".join(sys.argv), **stated}
    found = {name: value for name, value in describe_installation().items() if name not in stated}
    return [[name, value] for name, value in {**stated, **found}.items()]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name} ")
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(map(str, value))
        else:
            yield name, str(value)
