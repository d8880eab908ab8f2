"""What every graph source is: a frozen configuration that reads files into edge tables and says what it read."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from gnnvcell.config import Config
from gnnvcell.errors import FileFormatError, MissingFileError, did_you_mean
from gnnvcell.files import require_file, sha256_of
from gnnvcell.genes import Identities
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.registry import Registry

SOURCES: Registry[type["Source"]] = Registry("graph source")


@dataclass(frozen=True)
class Reading:
    """What a source read.

    Args:
        tables: one edge table per relation, in the names of the files.
        files: the files that were opened, for checksums.
        lines_read: data lines of the edge files, before any filter.
        identities: gene identities found on the way, or None.
        notes: counted facts worth a line in the manifest ("1,204 annotations with NOT dropped").
        labels: node type -> {node name: readable label}, for term and pathway nodes.
    """

    tables: Sequence[EdgeTable]
    files: Sequence[Path]
    lines_read: int
    identities: Identities | None = None
    notes: Sequence[str] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass
class SourceContext:
    """Where a source looks for its files.

    Args:
        source_dir: the folder given to ``build``, or None.
        species: NCBI taxon of the graph (9606 is human).
        report: called with short progress texts.
    """

    source_dir: Path | None = None
    species: int = 9606
    report: Callable[[str], None] = field(default=lambda text: None)

    def find(self, patterns: Sequence[str], *, what: str, explicit: str | Path | None = None) -> Path:
        """The one file that matches the first pattern with a match, in ``source_dir`` or one folder below it.

        Args:
            patterns: regular expressions for whole file names; ``.gz`` may follow each.
            what: what the file is, for the error.
            explicit: a path the user gave; absolute, or relative to ``source_dir`` or the working folder.

        Raises:
            MissingFileError: nothing matches.
            FileFormatError: several files match one pattern.
        """
        found = self.find_optional(patterns, explicit=explicit)
        if found is None:
            names = self._names()
            wanted = " or ".join(patterns)
            raise MissingFileError(
                f"{what} is not in {self.source_dir or 'source_dir (not given)'}",
                expected=f"a file named like {wanted} (also with .gz)",
                found=f"{len(names)} other files" if names else "no files",
                remedy="run `gnnvcell graph fetch`, or give the path in the recipe; "
                + (did_you_mean(patterns[0].replace("\\", ""), names) if names else "pass source_dir=..."),
            )
        return found

    def find_optional(self, patterns: Sequence[str], *, explicit: str | Path | None = None) -> Path | None:
        """Like ``find``, but None where nothing matches. An explicit path must exist."""
        if explicit is not None:
            path = Path(explicit).expanduser()
            if not path.is_absolute() and self.source_dir is not None and (self.source_dir / path).exists():
                path = self.source_dir / path
            return require_file(path)
        if self.source_dir is None:
            return None
        if not self.source_dir.is_dir():
            raise FileFormatError(f"source_dir {self.source_dir} is not a folder", remedy="check the path")
        candidates = sorted(p for p in [*self.source_dir.glob("*"), *self.source_dir.glob("*/*")] if p.is_file())
        for pattern in patterns:
            expression = re.compile(rf"{pattern}(\.gz)?")
            matches = [path for path in candidates if expression.fullmatch(path.name)]
            if len(matches) > 1:
                raise FileFormatError(
                    f"several files match {pattern}",
                    expected="one",
                    found=", ".join(str(path.relative_to(self.source_dir)) for path in matches[:5]),
                    remedy="name the one you mean in the recipe",
                )
            if matches:
                return require_file(matches[0])
        return None

    def _names(self) -> list[str]:
        if self.source_dir is None or not self.source_dir.is_dir():
            return []
        return [path.name for path in [*self.source_dir.glob("*"), *self.source_dir.glob("*/*")] if path.is_file()]


class Source(Config, ABC):
    """A knowledge source. Subclasses declare their settings as fields and implement ``read``.

    Concrete sources are final: vary one by its settings and by filters, not by subclassing.
    """

    type: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str] = ""

    @abstractmethod
    def read(self, context: SourceContext) -> Reading:
        """Read the source's files.

        Raises:
            FileFormatError: a file is missing, damaged or of another format.
            EmptyGraphError: nothing is left after the source's own thresholds.
        """

    def filters(self) -> Sequence[Callable[[EdgeTable], EdgeTable]]:
        """Filters this source's settings ask for; ``build`` applies them once names are resolved to genes."""
        return ()

    def settings(self) -> dict[str, Any]:
        """The settings as plain values, for the manifest."""
        return self.model_dump(mode="json")


def file_record(path: Path) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file, for the manifest."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
