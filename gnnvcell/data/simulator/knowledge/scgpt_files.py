"""scGPT-like edges: nearest neighbours in noisy gene embeddings that carry modules and complexes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.knowledge.identifiers import Identifiers
from gnnvcell.data.simulator.knowledge.text_files import write_lines
from gnnvcell.data.simulator.knowledge.visibility import Visibility
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring

_DIMENSIONS = 32


def known_embedding_edges(
    config: SimulatorConfig, wiring: Wiring, visibility: Visibility
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(first, second, cosine) of the nearest neighbours by cosine; each pair once, isolated genes never."""
    rng = stream(config.seed, "embeddings")
    of_module = rng.normal(size=(config.modules, _DIMENSIONS))
    of_complex = rng.normal(size=(config.modules * config.complexes_per_module + 1, _DIMENSIONS))
    of_complex[-1] = 0  # genes in no complex have index -1
    embedding = (of_module[wiring.module] + of_complex[wiring.complex]) / np.sqrt(2)
    embedding += rng.normal(0, config.knowledge.embedding_noise, embedding.shape)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    cosine = embedding @ embedding.T
    hidden = visibility.isolated
    cosine[hidden] = cosine[:, hidden] = -np.inf
    np.fill_diagonal(cosine, -np.inf)
    count = min(config.knowledge.embedding_neighbours, int((~hidden).sum()) - 1)
    known = np.flatnonzero(~hidden)
    nearest = np.argsort(-cosine[known], axis=1, kind="stable")[:, :count]
    first, second = np.repeat(known, count), nearest.ravel()
    pairs = np.unique(np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1), axis=0)
    weight = cosine[pairs[:, 0], pairs[:, 1]]
    positive = weight > 0
    return pairs[positive, 0], pairs[positive, 1], weight[positive]


def write_embedding_edges(
    path: Path, edges: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], names: Identifiers
) -> Path:
    """Write ``gene_a``, ``gene_b``, ``weight`` (cosine, four digits), tab-separated, by older symbols."""
    symbols = names.as_older_files_say()
    first, second, weight = edges
    rows = zip(symbols[first], symbols[second], weight, strict=True)
    return write_lines(path, ["gene_a\tgene_b\tweight", *(f"{a}\t{b}\t{w:.4f}" for a, b, w in rows)])
