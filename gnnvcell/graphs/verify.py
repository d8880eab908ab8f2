"""Verify a saved graph: its own digest, and whether the files it was built from are still the same."""

from dataclasses import dataclass
from pathlib import Path

from gnnvcell.errors import FileFormatError
from gnnvcell.files import sha256_of
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import FileRecord, Manifest


@dataclass(frozen=True)
class FileCheck:
    """One file of a source.

    Args:
        source: key of the source.
        name: file name in the manifest.
        status: "same", "changed" or "missing".
        expected: SHA-256 in the manifest.
        found: SHA-256 of the file now; empty where it is missing.
    """

    source: str
    name: str
    status: str
    expected: str
    found: str = ""

    def __str__(self) -> str:
        change = f" ({self.expected[:12]} then, {self.found[:12]} now)" if self.status == "changed" else ""
        return f"{self.status:<8} {self.source:<16} {self.name}{change}"


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Args:
        digest: the graph's digest, which fits its content.
        files: one check per file of every source; empty where no folder of files was given.
    """

    digest: str
    files: tuple[FileCheck, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every file is there and the same."""
        return all(check.status == "same" for check in self.files)

    def __str__(self) -> str:
        return "\n".join([f"digest {self.digest}: the content is as it was saved", *map(str, self.files)])


def verify(path: str | Path, *, source_dir: str | Path | None = None) -> Verification:
    """Check a saved graph against its digest and, with ``source_dir``, its source files against their checksums.

    Args:
        path: folder of the saved graph.
        source_dir: folder with the files it was built from; they are looked for there and one folder below.

    Raises:
        FileFormatError: no saved graph there, or ``source_dir`` is not a folder.
        GraphIntegrityError: the graph was changed or damaged after it was saved.
    """
    graph = GeneGraph.load(path)
    if source_dir is None:
        return Verification(graph.digest)
    folder = Path(source_dir).expanduser()
    if not folder.is_dir():
        raise FileFormatError(f"source_dir {folder} is not a folder", remedy="check the path")
    return Verification(graph.digest, tuple(_check_files(graph.manifest, folder)))


def _check_files(manifest: Manifest, folder: Path) -> list[FileCheck]:
    return [_check(key, file, folder) for key, record in manifest.sources.items() for file in record.files]


def _check(source: str, file: FileRecord, folder: Path) -> FileCheck:
    places = [p for p in (folder / file.name, *sorted(folder.glob(f"*/{file.name}"))) if p.is_file()]
    digests = [sha256_of(place) for place in places]
    if not digests:
        return FileCheck(source, file.name, "missing", file.sha256)
    # One file name may occur in several folders; the right one among them is enough.
    same = file.sha256 in digests
    return FileCheck(source, file.name, "same" if same else "changed", file.sha256, file.sha256 if same else digests[0])
