"""A state embedding model on disk: a folder with all that it needs; reading it executes nothing.

``config.json``
    Format, version, settings, datasets, versions of packages, digests of the graph and of the files below.
``weights.safetensors``, ``genes.safetensors``
    Weights and buffers; the vocabulary (``GeneVocab.to_arrays``).
``esm.npz``
    Protein features of the model's genes, where it has them.
``graph/`` or ``graph.npz``
    The gene graph (``GeneGraph.save``), or the table of graph embeddings computed beforehand.
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

import gnnvcell
from gnnvcell.errors import FileFormatError, ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.files import atomic_folder, sha256_of
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.network import StateEmbedding

FORMAT = "gnnvcell-state-embedding"
FORMAT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, GENES_FILE = "config.json", "weights.safetensors", "genes.safetensors"
ESM_FILE, TABLE_FILE, GRAPH_FOLDER = "esm.npz", "graph.npz", "graph"
MODEL_FOLDER = "model"  # where a run keeps its model
_PACKAGES = ("torch", "dgl", "numpy", "safetensors")


def save(model: StateEmbedding, path: str | Path) -> Path:
    """Write a model as a folder, whole or not at all; a model there is replaced.

    Raises:
        FileFormatError: the folder holds something other than a model.
    """
    from safetensors.numpy import save as numpy_bytes
    from safetensors.torch import save as torch_bytes

    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / CONFIG_FILE).is_file()):
        raise FileFormatError(f"{path} holds something other than a model", remedy="choose another folder")
    with atomic_folder(path) as folder:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        (folder / WEIGHTS_FILE).write_bytes(torch_bytes(state))
        arrays = {name: np.ascontiguousarray(array) for name, array in model.vocab.to_arrays().items()}
        (folder / GENES_FILE).write_bytes(numpy_bytes(arrays))
        _save_sources(model, folder)
        head = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "config": model.config.model_dump(mode="json"),
            "datasets": list(model.datasets),
            "graph_digest": _graph_digest(model),
            "versions": {"gnnvcell": gnnvcell.__version__} | {p: importlib.metadata.version(p) for p in _PACKAGES},
            "files": {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.is_file()},
        }
        (folder / CONFIG_FILE).write_text(json.dumps(head, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(path: str | Path) -> StateEmbedding:
    """Read what ``save`` wrote, in evaluation mode.

    Args:
        path: the folder, or that of the run which it is in.

    Raises:
        FileFormatError: no model is there, a file is missing, or another version wrote it.
        ModelError: a file was changed or damaged.
        GraphIntegrityError: the graph was.
    """
    from safetensors.numpy import load_file as load_arrays
    from safetensors.torch import load_file as load_tensors

    folder = _folder_of(Path(path))
    head = _read_head(folder)
    for name, digest in head["files"].items():
        if not (folder / name).is_file():
            raise FileFormatError(f"{folder} has no {name}", remedy="copy the whole folder again")
        if sha256_of(folder / name) != digest:
            raise ModelError(f"{folder / name} was changed or damaged", remedy="copy or train the model again")
    config = StateEmbeddingConfig.parse(head["config"], where=str(folder / CONFIG_FILE))
    graph: GeneGraph | FeatureTable | None = None
    if config.use_graph_embeddings:
        in_table = TABLE_FILE in head["files"]
        graph = FeatureTable.load(folder / TABLE_FILE) if in_table else GeneGraph.load(folder / GRAPH_FOLDER)
    model = StateEmbedding(
        GeneVocab.from_arrays(load_arrays(folder / GENES_FILE)),
        config,
        graph=graph,
        esm=FeatureTable.load(folder / ESM_FILE) if config.use_esm else None,
        datasets=head["datasets"],
    )
    try:
        model.load_state_dict(load_tensors(folder / WEIGHTS_FILE))
    except RuntimeError as error:
        raise ModelError(f"the weights in {folder} are of another model", found=str(error).splitlines()[-1]) from error
    return model.eval()


def _save_sources(model: StateEmbedding, folder: Path) -> None:
    esm = model.gene_tokens.esm
    if esm is not None:
        # A gene without features must not get any when the model is read.
        has = (model.gene_tokens.place < 0).cpu().numpy()
        values = esm.cpu().numpy()[has]
        FeatureTable(model.vocab.symbols[has], values, model.esm_source).save(folder / ESM_FILE)
    source = None if model.graph is None else model.graph.source
    if isinstance(source, GeneGraph):
        source.save(folder / GRAPH_FOLDER)
    elif source is not None:
        source.save(folder / TABLE_FILE)


def _graph_digest(model: StateEmbedding) -> str | None:
    source = None if model.graph is None else model.graph.source
    return source.digest if isinstance(source, GeneGraph) else None


def _folder_of(path: Path) -> Path:
    for folder in (path, path / MODEL_FOLDER):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise FileFormatError(
        f"no state embedding model at {path}",
        expected=f"a folder with {CONFIG_FILE}, or a run that ended",
        remedy="train one: gnnvcell embed fit CELLS.h5ad --out RUN",
    )


def _read_head(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    try:
        head = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{file} is damaged", found=str(error), remedy="copy or train the model again") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise FileFormatError(f"{file} describes no state embedding model", expected=f'"format": "{FORMAT}"')
    if head.get("version") != FORMAT_VERSION:
        raise FileFormatError(
            f"{folder} was written in another version of the format",
            expected=f"version {FORMAT_VERSION}",
            found=f"version {head.get('version')}",
            remedy="update gnnvcell, or train the model again",
        )
    return head
