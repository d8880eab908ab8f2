"""A graph on disk: a folder of three files, written whole or not at all, verified when it is read, never unpickled.

``edges.safetensors``
    Per relation i: ``i.src``, ``i.dst`` (int32, int64 in huge graphs), ``i.weight`` (float32) and, where there are
    signs, ``i.sign`` (int8). A symmetric pair is stored once; mirror images and reverse types are rebuilt on loading,
    which is faster than reading and hashing them.
``names.safetensors``
    The vocabulary (``vocab.*``, as ``GeneVocab.to_arrays`` gives it), and the names and labels of other nodes
    (``nodes.<type>``, ``labels.<type>``) as UTF-8 bytes, each name ended by a zero byte.
``manifest.json``
    Format, version, the list of relations, the digests of the two other files' content, the manifest, and the digest of
    all that.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import digest_of
from gnnvcell.errors import ConfigError, FileFormatError, GraphIntegrityError
from gnnvcell.files import atomic_folder
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.canonical import is_directed
from gnnvcell.graphs.edges import EdgeTable, EType
from gnnvcell.graphs.manifest import Manifest
from gnnvcell.keys import GENE

if TYPE_CHECKING:
    from gnnvcell.graphs.gene_graph import GeneGraph

FORMAT = "gnnvcell-graph"
FORMAT_VERSION = 1
EDGES_FILE, NAMES_FILE, MANIFEST_FILE = "edges.safetensors", "names.safetensors", "manifest.json"
_VOCAB, _NODES, _LABELS = "vocab.", "nodes.", "labels."
_INT32_MAX = np.iinfo(np.int32).max


def save(graph: "GeneGraph", path: str | Path) -> Path:
    """Write a graph as a folder; an existing graph there is replaced, anything else is not touched.

    Raises:
        ConfigError: the path is a file, or a folder that holds something other than a saved graph.
    """
    path = _require_replaceable(Path(path))
    relations = _relations(graph)
    names = name_tensors(graph)
    head = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "relations": [{**relation.spec, "edges": len(relation.columns["src"])} for relation in relations],
        "nodes": {ntype: graph.graph.num_nodes(ntype) for ntype in graph.graph.ntypes},
        "labelled": list(graph.node_labels),
        "edges_digest": edges_digest(relations),
        "names_digest": names_digest(names),
        "manifest": graph.manifest.to_json(),
    }
    tensors = {f"{i}.{key}": column for i, r in enumerate(relations) for key, column in r.columns.items()}
    with atomic_folder(path) as folder:
        _write_tensors(folder / EDGES_FILE, tensors)
        _write_tensors(folder / NAMES_FILE, names)
        text = json.dumps({**head, "self_digest": digest_of(head)}, indent=1, ensure_ascii=False)
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return path


def load(path: str | Path) -> "GeneGraph":
    """Read a graph and verify that it is what was written.

    Raises:
        FileFormatError: the folder or a file is missing, it is no saved graph, or another version wrote it.
        GraphIntegrityError: a file was changed or damaged (the error names it).
    """
    from gnnvcell.graphs.gene_graph import GeneGraph
    from gnnvcell.graphs.heterograph import heterograph

    path = _require_complete(Path(path))
    head = _read_head(path / MANIFEST_FILE)
    names, edges = _read_tensors(path / NAMES_FILE), _read_tensors(path / EDGES_FILE)
    try:
        relations = [Relation.stored(spec, edges, i) for i, spec in enumerate(head["relations"])]
    except KeyError as error:
        raise _changed(path / EDGES_FILE, f"no tensor {error}") from error
    for file, expected, found in (
        (NAMES_FILE, head["names_digest"], names_digest(names)),
        (EDGES_FILE, head["edges_digest"], edges_digest(relations)),
    ):
        if found != expected:
            raise _changed(path / file, f"digest {found}", expected=f"digest {expected}")
    manifest = Manifest.parse(head["manifest"], where=f"the manifest of {path}")
    node_names = {
        ntype: np.array(_decode(names[_NODES + ntype]), dtype=str) for ntype in head["nodes"] if ntype != GENE
    }
    labels = {ntype: np.array(_decode(names[_LABELS + ntype]), dtype=object) for ntype in head["labelled"]}
    # The tables only need names of the right number: their content was checked when it was written, and verified now.
    blank = {ntype: np.zeros(count, dtype="<U1") for ntype, count in head["nodes"].items()}
    graph = heterograph([relation.table(blank) for relation in relations], head["nodes"])
    vocab_arrays = {key.removeprefix(_VOCAB): array for key, array in names.items() if key.startswith(_VOCAB)}
    return GeneGraph(graph, lambda: GeneVocab.from_arrays(vocab_arrays), manifest, node_names, labels)


@dataclass(frozen=True, eq=False)
class Relation:
    """A canonical edge table as it is stored.

    Args:
        etype: (source node type, relation, destination node type).
        directed: whether it has a reverse type rather than both directions.
        columns: "src", "dst" (int32, int64 in huge graphs), "weight" (float32) and, if signed, "sign" (int8).
    """

    etype: EType
    directed: bool
    columns: dict[str, NDArray]

    @classmethod
    def of(cls, table: EdgeTable) -> "Relation":
        """From a canonical edge table."""
        wide = max(len(table.src_names), len(table.dst_names)) > _INT32_MAX
        index = np.int64 if wide else np.int32
        columns = {"src": table.src.astype(index), "dst": table.dst.astype(index), "weight": table.weight}
        signed = {} if table.sign is None else {"sign": table.sign}
        return cls(table.etype, is_directed(table), {**columns, **signed})

    @classmethod
    def stored(cls, spec: Mapping[str, Any], tensors: Mapping[str, NDArray], number: int) -> "Relation":
        """From its description in the manifest file and the tensors of the edge file."""
        source, relation, destination = spec["etype"]
        columns = ("src", "dst", "weight", "sign") if spec["signed"] else ("src", "dst", "weight")
        return cls((source, relation, destination), spec["directed"], {c: tensors[f"{number}.{c}"] for c in columns})

    @property
    def spec(self) -> dict[str, Any]:
        """What the manifest file says of it."""
        return {"etype": list(self.etype), "directed": self.directed, "signed": "sign" in self.columns}

    def table(self, names: Mapping[str, NDArray]) -> EdgeTable:
        """As an edge table over named nodes."""
        src, dst = (self.columns[end].astype(np.int64) for end in ("src", "dst"))
        sign, ends = self.columns.get("sign"), (names[self.etype[0]], names[self.etype[2]])
        return EdgeTable(self.etype, src, dst, self.columns["weight"], *ends, sign, directed=self.directed)


def content_digest(graph: "GeneGraph") -> str:
    """Hex SHA-256 of a graph's content: genes with all their names, node names and labels, edges, weights, signs."""
    parts = names_digest(name_tensors(graph)), edges_digest(_relations(graph))
    return hashlib.sha256(f"{FORMAT} {' '.join(parts)}".encode()).hexdigest()


def _relations(graph: "GeneGraph") -> list[Relation]:
    return [Relation.of(graph.table(relation)) for relation in graph.relations]


def edges_digest(relations: Sequence[Relation]) -> str:
    """Hex SHA-256 of the edges, whatever the order of the relations."""
    digest = hashlib.sha256()
    for relation in sorted(relations, key=lambda relation: relation.etype):
        digest.update(json.dumps({**relation.spec, "edges": len(relation.columns["src"])}).encode())
        for column in relation.columns.values():
            digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def names_digest(tensors: Mapping[str, NDArray]) -> str:
    """Hex SHA-256 of the tensors that ``name_tensors`` gives."""
    digest = hashlib.sha256()
    for key, array in sorted(tensors.items()):
        digest.update(f"{key} {array.dtype.str} {len(array)}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def name_tensors(graph: "GeneGraph") -> dict[str, NDArray]:
    """Everything that has a name in a graph, as tensors."""
    names = {_NODES + ntype: _encode(array) for ntype, array in graph.node_names.items()}
    labels = {_LABELS + ntype: _encode(array) for ntype, array in graph.node_labels.items()}
    return {_VOCAB + key: array for key, array in graph.vocab.to_arrays().items()} | names | labels


def _encode(names: NDArray) -> NDArray[np.uint8]:
    return np.frombuffer("".join(f"{name}\0" for name in names.tolist()).encode("utf-8"), dtype=np.uint8)


def _decode(array: NDArray[np.uint8]) -> list[str]:
    return array.tobytes().decode("utf-8").split("\0")[:-1]


def _write_tensors(path: Path, tensors: Mapping[str, NDArray]) -> None:
    from safetensors.numpy import save

    # Not save_file, which makes files that only their owner can read.
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))


def _read_tensors(path: Path) -> dict[str, NDArray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise _changed(path, str(error)) from error


def _read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _changed(path, str(error)) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise FileFormatError(f"{path} does not describe a saved gene graph", expected=f'"format": "{FORMAT}"')
    if head.get("version") != FORMAT_VERSION:
        raise FileFormatError(
            f"{path.parent} was written in another version of the graph format",
            expected=f"version {FORMAT_VERSION}",
            found=f"version {head.get('version')}",
            remedy="update gnnvcell, or build the graph again",
        )
    claimed = head.pop("self_digest", None)
    if digest_of(head) != claimed:
        raise _changed(path, f"digest {digest_of(head)}", expected=str(claimed))
    return head


def _changed(path: Path, found: str, *, expected: str = "the content that was saved") -> GraphIntegrityError:
    return GraphIntegrityError(
        f"{path} was changed or damaged after it was saved",
        expected=expected,
        found=found,
        remedy="build the graph again",
    )


def _require_complete(path: Path) -> Path:
    if not path.is_dir():
        raise FileFormatError(f"no saved graph at {path}", expected="a folder that GeneGraph.save wrote")
    missing = [name for name in (MANIFEST_FILE, EDGES_FILE, NAMES_FILE) if not (path / name).is_file()]
    if missing:
        raise FileFormatError(
            f"{path} is not a complete saved graph",
            expected=f"the files {MANIFEST_FILE}, {EDGES_FILE} and {NAMES_FILE}",
            found=f"without {', '.join(missing)}",
            remedy="build or copy the graph again",
        )
    return path


def _require_replaceable(path: Path) -> Path:
    """Refuse to put a graph in the place of someone's other files."""
    foreign = path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / MANIFEST_FILE).is_file())
    if foreign:
        raise ConfigError(
            f"{path} holds something other than a saved graph",
            expected="a new folder, an empty one, or a graph to replace",
            remedy="choose another folder",
        )
    return path
