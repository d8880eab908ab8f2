"""The documents, and the blocks of code in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Document:
    """One document.

    Args:
        path: relative to the repository.
        text: Markdown; of a notebook its Markdown cells.
    """

    path: str
    text: str

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """Language and content of the fenced blocks."""
        return _FENCE.findall(self.text)

    @property
    def commands(self) -> Iterator[str]:
        """Command lines of gnnvcell in fenced and indented blocks, put together where they go on in the next line."""
        code = "\n".join(content for language, content in self.blocks if language in ("", "sh"))
        indented = "\n".join(re.findall(r"^ {4}(.*)$", _FENCE.sub("", self.text), re.MULTILINE))
        for line in re.sub(r"\\\n\s*", "", f"{code}\n{indented}").splitlines():
            if line.startswith("gnnvcell "):
                yield line


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def documents() -> dict[str, Document]:
    """README.md and everything in docs/, by path."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.ipynb"))]
    found = [Document(str(path.relative_to(ROOT)), _markdown(path)) for path in paths]
    return {document.path: document for document in found}


def _markdown(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
