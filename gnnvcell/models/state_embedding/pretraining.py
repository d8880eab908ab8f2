"""Training a state embedding model on cells."""

from pathlib import Path

import numpy as np
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError
from gnnvcell.features import FeatureTable
from gnnvcell.fitting import FitConfig
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.models.model_folder import MODEL_FOLDER
from gnnvcell.models.state_embedding.batches import SentenceBatches
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.expressed_cells import CellSource, ExpressedCells
from gnnvcell.models.state_embedding.network import StateEmbedding
from gnnvcell.models.state_embedding.storage import save
from gnnvcell.models.state_embedding.vocabulary import match_columns

_VALIDATION = 2  # stream of random numbers


class PretrainingFitConfig(FitConfig):
    """``FitConfig`` with gradients clipped at 0.8, as published."""

    clip: float | None = Field(default=0.8, gt=0)


class PretrainingConfig(Config):
    """Settings of training.

    Args:
        model: of the model.
        fit: of the optimiser and of everything that training needs.
        batch_size: cells of a batch.
        validation: share of the cells that are held out, to choose the best weights.
        dataset: obs column that says which dataset a cell is from; left out, all are one.
        layer: layer with the values; X when left out.
    """

    model: StateEmbeddingConfig = StateEmbeddingConfig()
    fit: PretrainingFitConfig = PretrainingFitConfig()
    batch_size: int = Field(default=32, ge=1)
    validation: float = Field(default=0.05, ge=0, lt=1)
    dataset: str | None = None
    layer: str | None = None


def pretrain(
    cells: CellSource,
    config: PretrainingConfig | None = None,
    *,
    graph: GeneGraph | FeatureTable | None = None,
    esm: FeatureTable | None = None,
    out_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> StateEmbedding:
    """Train a model on cells, without labels; its genes are those of the cells.

    Args:
        cells: counts or log1p expression.
        config: settings.
        graph, esm: as of ``StateEmbedding``.
        out_dir: folder of the run: checkpoints and logs (``gnnvcell.fitting.fit``), and the model in ``model/``.
        resume: go on with a run that was interrupted.
        progress: a bar on stderr.

    Returns:
        The model, in evaluation mode, with the weights of its best validation.

    Raises:
        ConfigError: sources that do not fit the settings; all cells are held out; as of ``fit``.
        DataError: values that are neither counts nor log1p, or no such column.
    """
    from gnnvcell.fitting.fit_model import fit

    config = config or PretrainingConfig()
    given = ExpressedCells.of(cells, layer=config.layer)
    labels = np.zeros(len(given), dtype="<U1") if config.dataset is None else given.labels(config.dataset)
    datasets, code = np.unique(labels, return_inverse=True)
    seed = config.fit.seed
    model = StateEmbedding(
        GeneVocab.from_symbols(given.genes), config.model, graph=graph, esm=esm, datasets=datasets.tolist(), seed=seed
    )
    match = match_columns(model.vocab, given.genes)
    held_out = _held_out(len(given), config.validation, seed)

    def batches(rows: np.ndarray, *, training: bool) -> SentenceBatches:
        return SentenceBatches(
            given,
            match,
            config.model.sentences,
            dataset=code.astype(np.int64),
            batch_size=config.batch_size,
            rows=rows,
            training=training,
            seed=seed,
        )

    fit(
        model,
        batches(~held_out, training=True),
        batches(held_out, training=False) if held_out.any() else None,
        config=config.fit,
        out_dir=out_dir,
        resume=resume,
        progress=progress,
    )
    if out_dir is not None:
        save(model, Path(out_dir) / MODEL_FOLDER)
    return model.eval()


def _held_out(cells: int, share: float, seed: int) -> np.ndarray:
    """(cells,) bool, which are for validation."""
    count = round(cells * share)
    if share and not 0 < count < cells:
        raise ConfigError(
            f"a share of {share:g} of {cells:,} cells leaves none to validate or to train on",
            remedy="choose another validation share, or 0 for none",
        )
    chosen = np.random.default_rng([seed, _VALIDATION]).permutation(cells)[:count]
    return np.isin(np.arange(cells), chosen)
