"""StateEmbeddingModel: the state embedding model as a LightningModule, in the interface that people know."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import lightning.pytorch as pl
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.features import FeatureTable, read_features
from gnnvcell.fitting import OptimizerConfig, make_optimizer, schedule
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph, build
from gnnvcell.models.state_embedding import storage
from gnnvcell.models.state_embedding.batches import SentenceBatches
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.embedding import embed_cells
from gnnvcell.models.state_embedding.expressed_cells import CellSource, ExpressedCells
from gnnvcell.models.state_embedding.network import StateEmbedding
from gnnvcell.models.state_embedding.perturbing import perturbation_effects
from gnnvcell.models.state_embedding.user_settings import UserSettings, read_settings
from gnnvcell.models.state_embedding.vocabulary import match_columns

_CLIP = 0.8  # as published; where the trainer says nothing
# Where files are looked for, beside the working folder, when the settings do not say.
_SOURCE_DIR, _ESM_FILE = Path("state/graphs"), Path("state/embeddings/protein_embeddings.pt")


class StateEmbeddingModel(pl.LightningModule):
    """``StateEmbedding`` with constructor, methods and training loop of the published interface.

    Args:
        token_dim: width of the protein features; 0 for none.
        d_model, nhead, d_hid, nlayers, dropout: of the transformer.
        output_dim: width of the decoded [CLS].
        cfg: further settings (``user_settings.read_settings``): ``cfg.model.graph_config`` is the recipe of the graph
            (as of ``gnnvcell.graphs.build``), ``cfg.model.source_dir`` the folder of its files (state/graphs, where
            there is such a folder), ``cfg.model.esm_embeddings`` a file of protein features
            (state/embeddings/protein_embeddings.pt), ``cfg.loss.name`` the loss, ``cfg.optimizer.lr`` the highest
            learning rate.
        use_graph_embeddings: whether gene tokens have graph embeddings; what ``cfg.model`` says, else True.
        graph_dim: width of graph embeddings; what ``cfg.model`` says, else 64.
        compiled: compile the transformer and the decoder (``torch.compile``); the results are the same but for
            rounding.
        genes: the model's genes; those of the graph and of the protein features when left out. Cells may have others,
            which are not read; the genes of the cells are the best choice for training.
        graph: a graph that is built already, or a table of graph embeddings, in place of ``cfg.model.graph_config``.
        esm: protein features or their file, in place of ``cfg.model.esm_embeddings``.
        datasets: names of the datasets that cells come from.
        seed: of the first weights.

    Raises:
        ConfigError: settings that contradict each other, that are not known, or a source that is not given.
        FileFormatError: a file is missing or damaged.

    Example:
        >>> model = StateEmbeddingModel(0, 16, 2, 32, 1, 8, use_graph_embeddings=False, genes=["TP53", "MYC"])
        >>> model.get_gene_embedding(["MYC"]).shape
        torch.Size([1, 16])
    """

    network: StateEmbedding
    optimizer_config: OptimizerConfig

    def __init__(
        self,
        token_dim: int,
        d_model: int,
        nhead: int,
        d_hid: int,
        nlayers: int,
        output_dim: int,
        dropout: float = 0.0,
        cfg: Any = None,
        use_graph_embeddings: bool | None = None,
        graph_dim: int | None = None,
        compiled: bool = False,
        *,
        genes: Sequence[str] | NDArray | None = None,
        graph: GeneGraph | FeatureTable | None = None,
        esm: FeatureTable | str | Path | None = None,
        datasets: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"width": d_model, "heads": nhead, "hidden": d_hid, "layers": nlayers, "output": output_dim}
        flags = {"use_graph_embeddings": use_graph_embeddings, "graph.width": graph_dim, "use_esm": token_dim > 0}
        settings = read_settings(cfg, {**sizes, "dropout": dropout, **flags})
        config = StateEmbeddingConfig.parse(settings.model, where="StateEmbeddingModel")
        graph = _graph_of(config, settings, graph)
        table = _features_of(config, settings, esm, token_dim)
        network = StateEmbedding(
            _genes_of(genes, graph, table), config, graph=graph, esm=table, datasets=datasets, seed=seed
        )
        self._adopt(network, settings.optimizer, compiled)

    def _adopt(self, network: StateEmbedding, optimizer: OptimizerConfig, compiled: bool) -> None:
        self.network, self.optimizer_config = network, optimizer
        if compiled:
            # In place, so that the names of weights stay as they are.
            for part in network.compiled_parts():
                part.compile()

    @classmethod
    def of(
        cls, network: StateEmbedding, *, optimizer: OptimizerConfig | None = None, compiled: bool = False
    ) -> "StateEmbeddingModel":
        """A model around a network that is made already."""
        model = cls.__new__(cls)
        pl.LightningModule.__init__(model)
        model._adopt(network, optimizer or OptimizerConfig(), compiled)
        return model

    def save(self, path: str | Path) -> Path:
        """Write the model as a self-contained folder (``state_embedding.storage``)."""
        return storage.save(self.network, path)

    @classmethod
    def load(cls, path: str | Path, *, compiled: bool = False) -> "StateEmbeddingModel":
        """Read what ``save`` or ``gnnvcell embed fit`` wrote; errors as of ``state_embedding.storage.load``."""
        return cls.of(storage.load(path), compiled=compiled).eval()

    @property
    def genes(self) -> NDArray:
        """Names of the model's genes."""
        return self.network.vocab.symbols

    def get_gene_embedding(self, genes: Sequence[str]) -> Float[Tensor, "genes d_model"]:
        """Tokens of some genes, from protein features and graph.

        Raises:
            GeneError: a gene is unknown to the model, or its name is ambiguous.
        """
        return self.network.tokens(self._rows(genes))

    def get_graph_embeddings(self, genes: Sequence[str]) -> Float[Tensor, "genes graph_dim"]:
        """Graph embeddings of some genes, after message passing over the whole graph; learned vectors outside it.

        Raises:
            GeneError: as of ``get_gene_embedding``.
            ModelError: the model has no graph.
        """
        return self._graph()(self._rows(genes))

    def forward(
        self,
        src: Float[Tensor, "cells length"] | Float[Tensor, "cells length token_dim"],
        mask: Bool[Tensor, "cells length"] | None,
        gene_names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    ) -> tuple[Float[Tensor, "cells output_dim"], Float[Tensor, "cells d_model"], Float[Tensor, "cells dataset_dim"]]:
        """Read cells.

        Args:
            src: (cells, length) log1p expression of the genes that ``gene_names`` names; or (cells, length, token_dim)
                protein features of tokens without expression, to which names add the graph.
            mask: True for genes that are there; all when None.
            gene_names: the genes of all sentences, or of each cell.

        Returns:
            predictions: the decoded [CLS], whose direction is the cell embedding; embedding: the [CLS] itself; and the
            dataset embedding.

        Raises:
            GeneError: an unknown gene.
            ModelError: expression without names, or shapes that do not go together.
        """
        rows = None if gene_names is None else self._rows_of_cells(gene_names, src.shape[:2])
        mask = torch.ones(src.shape[:2], dtype=torch.bool, device=src.device) if mask is None else mask
        if src.ndim == 3:
            features = torch.where(mask[..., None], src, 0.0)
            graph = None if rows is None or self.network.graph is None else self.network.graph()[rows]
            encoded = self.network.encode(self.network.gene_tokens.of_features(features, graph), None, mask)
        elif rows is None:
            raise ModelError("expression alone does not say of which genes it is", remedy="give gene_names")
        else:
            encoded = self.network.encode(self.network.tokens(rows), src, mask)
        return encoded.decoded, encoded.summary, encoded.dataset

    def loader(
        self,
        cells: CellSource,
        *,
        batch_size: int = 32,
        rows: NDArray | Sequence[int] | None = None,
        training: bool = True,
        dataset: str | None = None,
        seed: int = 0,
    ) -> SentenceBatches:
        """Batches for ``Trainer.fit``.

        Args:
            cells: counts or log1p expression.
            batch_size, rows, training, seed: as of ``SentenceBatches``.
            dataset: obs column with the names of datasets; those that the model does not know have no part in the
                classifier's loss.
        """
        given = ExpressedCells.of(cells)
        names = {name: at for at, name in enumerate(self.network.datasets)}
        labels = [""] * len(given) if dataset is None else given.labels(dataset).tolist()
        code = np.array([names.get(label, -1) for label in labels], dtype=np.int64)
        match = match_columns(self.network.vocab, given.genes)
        config = self.network.config.sentences
        return SentenceBatches(
            given, match, config, dataset=code, batch_size=batch_size, rows=rows, training=training, seed=seed
        )

    def embed(self, cells: CellSource, *, batch_size: int = 32, progress: bool = True) -> NDArray[np.float32]:
        """(cells, output_dim + dataset width) cell embeddings, as ``gnnvcell embed transform`` writes them."""
        return embed_cells(self.network, cells, batch_size=batch_size, progress=progress)

    def predict_perturbation_effects(
        self, data: Cells | ad.AnnData, perturbations: Sequence[str] | None = None, **options: Any
    ) -> ad.AnnData:
        """Predicted effects of perturbations on the control cells of ``data`` (``perturbing.perturbation_effects``).

        Args:
            data: cells with controls among them.
            perturbations: names; those of the data when left out.
            options: ``control_cells``, ``batch_size``, ``seed``, ``progress``.

        Returns:
            obs: a perturbation in a cell type each; var: genes; X: change of log1p expression; the mean expression of
            control cells in ``varm["control_expression"]``. ``EffectTable.from_anndata`` reads it.
        """
        cells = data if isinstance(data, Cells) else Cells.of(data)
        return perturbation_effects(self.network, cells, perturbations, **options).to_anndata()

    # --- Lightning

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch; all parts of it are logged as train/<name>."""
        return self._logged(batch, "train")

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Log the losses of a batch as val/<name>."""
        self._logged(batch, "val")

    def _logged(self, batch: Mapping[str, Tensor], stage: str) -> Tensor:
        losses = self.network.loss(batch)
        cells = len(next(iter(batch.values())))
        named = {f"{stage}/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(named, batch_size=cells, prog_bar=stage == "val", sync_dist=stage == "val")
        return losses["loss"]

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine, over the steps that the trainer will take."""
        optimizer = make_optimizer(self, self.optimizer_config)
        steps = int(self.trainer.estimated_stepping_batches)
        plan = schedule(optimizer, self.optimizer_config, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plan, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm at 0.8, or as the trainer says."""
        self.clip_gradients(
            optimizer,
            gradient_clip_val=_CLIP if gradient_clip_val is None else gradient_clip_val,
            gradient_clip_algorithm=gradient_clip_algorithm or "norm",
        )

    # --- names

    def _rows(self, genes: Sequence[str]) -> Tensor:
        return torch.tensor([self.network.vocab.index(gene) for gene in genes], device=self.device)

    def _rows_of_cells(self, names: Sequence[Any], shape: torch.Size) -> Tensor:
        """(cells, length) which genes."""
        shared = all(isinstance(name, str) for name in names)
        lists = [names] if shared else names
        if (not shared and len(names) != shape[0]) or any(len(row) != shape[1] for row in lists):
            raise ModelError(
                "the names of genes do not fit src",
                expected=f"{shape[1]} names, or {shape[0]} lists of {shape[1]}",
                found=f"{len(names)} {'names' if shared else 'lists'}",
            )
        return torch.stack([self._rows(row) for row in lists]).expand(*shape)

    def _graph(self) -> nn.Module:
        if self.network.graph is None:
            raise ModelError("the model has no graph", remedy="make it with use_graph_embeddings=True")
        return self.network.graph


def _graph_of(
    config: StateEmbeddingConfig, settings: UserSettings, graph: GeneGraph | FeatureTable | None
) -> GeneGraph | FeatureTable | None:
    if not config.use_graph_embeddings or graph is not None:
        return graph  # one that is not to be used is refused by the network
    if settings.graph_config is None:
        raise ConfigError(
            "use_graph_embeddings is True, and there is no graph",
            remedy="set cfg.model.graph_config to a recipe, give graph=, or set use_graph_embeddings to False",
        )
    usual = _SOURCE_DIR if _SOURCE_DIR.is_dir() else None
    return build(settings.graph_config, source_dir=settings.source_dir or usual, progress=False)


def _features_of(
    config: StateEmbeddingConfig, settings: UserSettings, esm: FeatureTable | str | Path | None, token_dim: int
) -> FeatureTable | None:
    given = settings.esm_embeddings if esm is None else esm
    if given is None and config.use_esm and _ESM_FILE.is_file():
        given = _ESM_FILE
    if given is None:
        if config.use_esm:
            raise ConfigError(
                f"token_dim is {token_dim}, and there are no protein features",
                expected=f"{_ESM_FILE}, or another file",
                remedy="set cfg.model.esm_embeddings to it, give esm=, or set token_dim to 0",
            )
        return None
    table = given if isinstance(given, FeatureTable) else read_features(given)
    if config.use_esm and table.width != token_dim:
        raise ConfigError(
            "token_dim is not the width of the protein features", expected=f"{table.width}", found=f"{token_dim}"
        )
    return table


def _genes_of(
    genes: Sequence[str] | NDArray | None, graph: GeneGraph | FeatureTable | None, table: FeatureTable | None
) -> GeneVocab:
    if genes is not None:
        return GeneVocab.from_symbols(np.asarray(genes, dtype=str))
    if graph is None and table is None:
        raise ConfigError("the model does not know which genes there are", remedy="give genes=[...]")
    vocab = graph.vocab if isinstance(graph, GeneGraph) else None
    tables = [t for t in (graph, table) if isinstance(t, FeatureTable)]
    named = list(dict.fromkeys(str(name) for t in tables for name in t.names))
    if vocab is None:
        return GeneVocab.from_symbols(named)
    outside = [name for name in named if vocab.lookup([name])[0] < 0]
    return GeneVocab.from_identities([vocab, GeneVocab.from_symbols(outside)]) if outside else vocab
