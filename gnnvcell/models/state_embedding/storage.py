"""A state embedding model on disk: a folder with all that it needs (``model_folder``); reading it executes nothing.

``weights.safetensors``, ``genes.safetensors``
    Weights and buffers; the vocabulary (``GeneVocab.to_arrays``).
``esm.npz``
    Protein features of the model's genes, where it has them.
``graph/`` or ``graph.npz``
    The gene graph (``GeneGraph.save``), or the table of graph embeddings computed beforehand.
"""

from pathlib import Path

from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.models.model_folder import ModelFormat, load_weights, read_head, read_tensors, write_model, write_tensors
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.network import StateEmbedding

FORMAT = ModelFormat("gnnvcell-state-embedding", 1, "gnnvcell embed fit CELLS.h5ad --out RUN")
WEIGHTS_FILE, GENES_FILE = "weights.safetensors", "genes.safetensors"
ESM_FILE, TABLE_FILE, GRAPH_FOLDER = "esm.npz", "graph.npz", "graph"


def save(model: StateEmbedding, path: str | Path) -> Path:
    """Write a model as a folder, whole or not at all; a model there is replaced.

    Raises:
        FileFormatError: the folder holds something other than a model.
    """
    source = None if model.graph is None else model.graph.source
    head = {
        "config": model.config.model_dump(mode="json"),
        "datasets": list(model.datasets),
        "graph_digest": source.digest if isinstance(source, GeneGraph) else None,
    }

    def fill(folder: Path) -> None:
        write_tensors(folder / WEIGHTS_FILE, model.state_dict())
        # Copies: torch takes no arrays that are read-only.
        write_tensors(folder / GENES_FILE, {name: a.copy() for name, a in model.vocab.to_arrays().items()})
        if isinstance(source, GeneGraph):
            source.save(folder / GRAPH_FOLDER)
        elif source is not None:
            source.save(folder / TABLE_FILE)
        if model.gene_tokens.esm is not None:
            _features_of(model).save(folder / ESM_FILE)

    return write_model(path, FORMAT, head, fill)


def load(path: str | Path) -> StateEmbedding:
    """Read what ``save`` wrote, in evaluation mode.

    Args:
        path: the folder, or that of the run which it is in.

    Raises:
        FileFormatError: no model is there, a file is missing, or another version wrote it.
        ModelError: a file was changed or damaged.
    """
    folder, head = read_head(path, FORMAT)
    config = StateEmbeddingConfig.parse(head["config"], where=str(folder))
    graph: GeneGraph | FeatureTable | None = None
    if config.use_graph_embeddings:
        in_table = TABLE_FILE in head["files"]
        graph = FeatureTable.load(folder / TABLE_FILE) if in_table else GeneGraph.load(folder / GRAPH_FOLDER)
    arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / GENES_FILE).items()}
    model = StateEmbedding(
        GeneVocab.from_arrays(arrays),
        config,
        graph=graph,
        esm=FeatureTable.load(folder / ESM_FILE) if config.use_esm else None,
        datasets=head["datasets"],
    )
    load_weights(model, folder / WEIGHTS_FILE)
    return model.eval()


def _features_of(model: StateEmbedding) -> FeatureTable:
    """Features of the genes that have them: a gene without must not get any when the model is read."""
    has = (model.gene_tokens.place < 0).cpu().numpy()
    values = model.gene_tokens.esm.cpu().numpy()[has]  # type: ignore[union-attr]
    return FeatureTable(model.vocab.symbols[has], values, model.esm_source)
