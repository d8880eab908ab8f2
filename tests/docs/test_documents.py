"""Links of the documents lead somewhere, and their commands are commands."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from gnnvcell.cli.main import _without_settings, make_parser

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:docs|benchmarks|graphs|tests|gnnvcell)/[\w./-]*\w)`")
_MADE = ("graphs/built", "graphs/raw")  # by commands


def test_relative_links_resolve(root: Path, documents: dict[str, Any]) -> None:
    broken = []
    for document in documents.values():
        for link in _LINK.findall(document.text):
            target, _, anchor = link.partition("#")
            if "://" in target or not target:
                continue
            path = (root / document.path).parent / target
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                broken.append(f"{document.path}: {link}")

    assert not broken


def test_paths_in_the_text_are_there(root: Path, documents: dict[str, Any]) -> None:
    named = {(document.path, path) for document in documents.values() for path in _PATH.findall(document.text)}
    missing = [f"{where}: {path}" for where, path in named if not path.startswith(_MADE) and not (root / path).exists()]

    assert named
    assert not missing


def test_every_document_is_on_the_map(root: Path, documents: dict[str, Any]) -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(documents["docs/README.md"].text)}
    here = {path.removeprefix("docs/") for path in documents if path.startswith("docs/")} - {"README.md"}

    assert here <= linked


def test_commands_are_found(documents: dict[str, Any]) -> None:
    count = {path: len(list(document.commands)) for path, document in documents.items()}

    assert count["README.md"] > 20
    assert all(count[f"docs/{name}.md"] for name in ("own_graph", "own_data", "screens/target", "screens/explain"))


def test_commands_parse(documents: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    parser, refused = make_parser(), []
    for document in documents.values():
        for command in document.commands:
            arguments = shlex.split(command, comments=True)[1:]
            try:
                options, rest = parser.parse_known_args(arguments)
                unknown = _without_settings(options, rest)
            except SystemExit as end:
                unknown = [] if end.code == 0 else [capsys.readouterr().err.strip().splitlines()[-1]]
            if unknown:
                refused.append(f"{document.path}: {command}: {' '.join(unknown)}")

    assert not refused


def _anchors(path: Path) -> set[str]:
    """Names of the headings of a document, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
