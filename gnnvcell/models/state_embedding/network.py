"""StateEmbedding: a transformer over the genes of a cell, which embeds the cell."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from gnnvcell import keys
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs import GeneGraph
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig
from gnnvcell.models.state_embedding.consistency import consistency_of
from gnnvcell.models.state_embedding.gene_tokens import GeneTokens
from gnnvcell.models.state_embedding.graph_embeddings import GraphEmbeddings
from gnnvcell.models.state_embedding.losses import compare
from gnnvcell.nn.binary_decoder import BinaryDecoder
from gnnvcell.nn.skip_block import SkipBlock
from gnnvcell.nn.soft_bins import SoftBins
from gnnvcell.nn.transformer import Transformer

_CELL, _DEPTH, _DATASET = "cell", "depth", "dataset"
_NEEDED = (
    keys.SENTENCE_GENES, keys.SENTENCE_EXPRESSION, keys.SENTENCE_MASK, keys.READ_DEPTH, keys.DATASET,
    keys.OWN_GENES, keys.OWN_EXPRESSION, keys.OWN_MASK, keys.SHARED_GENES, keys.SHARED_EXPRESSION,
)  # fmt: skip


class EncodedCells(NamedTuple):
    """What the transformer says of cells.

    Args:
        summary: (cells, d) the [CLS] token.
        decoded: (cells, output) the same, decoded.
        dataset: (cells, dataset_width) dataset embeddings, from the [DS] token.
    """

    summary: Float[Tensor, "cells d"]
    decoded: Float[Tensor, "cells output"]
    dataset: Float[Tensor, "cells dataset_width"]

    @property
    def cell(self) -> Float[Tensor, "cells output"]:
        """The decoded [CLS] at length 1."""
        return F.normalize(self.decoded, dim=1)

    @property
    def embedding(self) -> Float[Tensor, "cells width"]:
        """Cell embeddings: the decoded [CLS] at length 1, and the dataset embedding."""
        return torch.cat([self.cell, self.dataset], dim=1)


class StateEmbedding(nn.Module):
    """The State Embedding model (SE; Adduri et al. 2025) with gene tokens that know the gene graph.

    A cell is the sentence [CLS], its highest expressed genes, [DS]. A gene's token (``GeneTokens``) plus its expression
    as a soft bin (``SoftBins``) enters a transformer; of the results, that of [CLS] is decoded to the cell embedding,
    that of [DS] to the dataset embedding. Both, with the read depth, decode the expression of any gene from its token
    (``BinaryDecoder``), which is what the model learns from: what a dataset adds, [DS] can explain, and the cell
    embedding need not.

    Args:
        genes: names of the genes, unique; or a vocabulary of them.
        config: settings.
        graph: the gene graph, or a table of graph embeddings computed beforehand; needed by
            ``use_graph_embeddings``.
        esm: protein features; needed by ``use_esm``.
        datasets: names of the datasets that cells come from. With two or more, a classifier learns to tell them apart
            by the dataset embedding.
        seed: of the first weights, and of the edges drawn for graph consistency; the global generator stays as it was.

    Shapes: see the methods.

    Raises:
        ConfigError: a source is to be used and was not given, or was given and is not to be used; graph consistency
            without a gene graph.
        EmptyGraphError: graph consistency with a graph that has no edge between two of the genes.
        ModelError: the graph has none of the genes.
        DataError: the table has none of them.

    Example:
        >>> config = StateEmbeddingConfig(width=16, layers=1, heads=2, hidden=32, use_esm=False,
        ...                               use_graph_embeddings=False)
        >>> model = StateEmbedding(["TP53", "MYC"], config)
        >>> genes, values = torch.tensor([[0, 1]]), torch.tensor([[1.5, 0.5]])
        >>> model.encode(model.tokens(genes), values, genes >= 0).embedding.shape
        torch.Size([1, 522])
    """

    def __init__(
        self,
        genes: Sequence[str] | NDArray | GeneVocab,
        config: StateEmbeddingConfig | None = None,
        *,
        graph: GeneGraph | FeatureTable | None = None,
        esm: FeatureTable | None = None,
        datasets: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = cfg = config or StateEmbeddingConfig()
        _require_sources(cfg, graph, esm)
        self.vocab = genes if isinstance(genes, GeneVocab) else GeneVocab.from_symbols(genes)
        self.datasets = tuple(datasets)
        self.seed = seed
        self.consistency = None
        if cfg.graph_consistency is not None:
            if not isinstance(graph, GeneGraph):
                raise ConfigError("graph_consistency needs a gene graph", remedy="give graph=, or leave it out")
            self.consistency = consistency_of(graph, self.vocab, cfg.graph_consistency)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._make(cfg, graph, esm)

    def _make(
        self, cfg: StateEmbeddingConfig, graph: GeneGraph | FeatureTable | None, esm: FeatureTable | None
    ) -> None:
        self.graph = None if graph is None else GraphEmbeddings(graph, self.vocab, cfg.graph)
        features = present = None
        if esm is not None:
            values, has, _ = esm.for_genes(self.vocab)
            self.esm_source = esm.source
            features, present = torch.from_numpy(values), torch.from_numpy(has)
        self.gene_tokens = GeneTokens(
            len(self.vocab),
            cfg.width,
            esm=features,
            esm_present=present,
            graph_width=None if self.graph is None else self.graph.width,
        )
        self.summary_token = nn.Parameter(torch.randn(cfg.width))
        self.dataset_token = nn.Parameter(torch.randn(cfg.width))
        self.bins = SoftBins(cfg.width, bins=cfg.bins, hidden=cfg.bin_hidden)
        with torch.no_grad():  # gene tokens are that large; expression should not be lost beside them
            self.bins.embeddings.mul_(cfg.width**0.5)
        self.transformer = Transformer(cfg.transformer)
        self.to_cell = nn.Sequential(SkipBlock(cfg.width), nn.Linear(cfg.width, cfg.output))
        self.to_dataset = nn.Linear(cfg.width, cfg.dataset_width)
        self.classifier = nn.Linear(cfg.dataset_width, len(self.datasets)) if len(self.datasets) > 1 else None
        widths = {"gene": cfg.width, _CELL: cfg.output, _DEPTH: 1, _DATASET: cfg.dataset_width}
        self.decoder = BinaryDecoder(widths, hidden=cfg.decoder_hidden)
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.int64))

    @property
    def missing(self) -> dict[str, int]:
        """Source to the number of genes that it knows nothing of, which have a learned vector instead."""
        missing = {}
        if self.config.use_esm:
            missing["esm"] = self.gene_tokens.without_esm
        if self.graph is not None:
            missing["graph"] = self.graph.outside
        return missing

    def compiled_parts(self) -> list[nn.Module]:
        """What ``torch.compile`` takes whole."""
        return [self.transformer, self.decoder.blocks]

    def table(self, rows: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        """Tokens of some genes, or of all; the graph is encoded once."""
        if rows is None:
            rows = torch.arange(len(self.vocab), device=self.summary_token.device)
        return self.gene_tokens(rows, None if self.graph is None else self.graph(rows))

    def tokens(self, genes: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """Tokens of genes in any shape; each gene's is computed once."""
        rows, at = torch.unique(genes, return_inverse=True)
        return self.table(rows)[at]

    def encode(
        self,
        tokens: Float[Tensor, "cells length d"],
        expression: Float[Tensor, "cells length"] | None,
        mask: Bool[Tensor, "cells length"],
    ) -> EncodedCells:
        """Read the sentences of cells.

        Args:
            tokens: of their genes.
            expression: log1p; None leaves the soft bins out.
            mask: True for genes that are there. What stands elsewhere, even NaN, has no effect.
        """
        tokens = tokens.masked_fill(~mask[..., None], 0.0)
        if expression is not None:
            tokens = tokens + self.bins(expression.masked_fill(~mask, 0.0)).to(tokens.dtype)
        cells, length, _ = tokens.shape
        places = torch.arange(length + 2, device=tokens.device)
        # [DS] follows the last gene, so that its position does not depend on padding.
        last = (F.pad(mask, (1, 0)) * places[:-1]).amax(dim=1, keepdim=True) + 1
        first = self.summary_token.expand(cells, 1, -1).to(tokens.dtype)
        x = torch.cat([first, tokens, torch.zeros_like(first)], dim=1)
        x = torch.where((places == last)[..., None], self.dataset_token.to(tokens.dtype), x)
        there = F.pad(mask, (1, 1)) | (places == last) | (places == 0)
        # Without a mask the device may use its fastest kernel.
        out = self.transformer(x, None if bool(there.all()) else there)
        of_dataset = out[torch.arange(cells, device=out.device), last[:, 0]]
        return EncodedCells(out[:, 0], self.to_cell(out[:, 0]), self.to_dataset(of_dataset))

    def decode(
        self,
        encoded: EncodedCells,
        read_depth: Float[Tensor, "cells 1"],
        table: Float[Tensor, "genes d"],
        which: Int[Tensor, "cells queried"],
    ) -> Float[Tensor, "cells queried"]:
        """Expression (log1p; with the loss "cross_entropy" the logit of being expressed) of some genes in each cell.

        Args:
            encoded: the cells.
            read_depth: as in training batches.
            table: tokens of genes.
            which: rows of the table.
        """
        # At the scale at which other inputs have it: entries of a vector of length 1 are small.
        cell = encoded.cell * self.config.output**0.5
        parts = {_CELL: cell, _DEPTH: read_depth.to(cell.dtype), _DATASET: encoded.dataset}
        return self.decoder(table, which, parts)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch of ``SentenceBatches``.

        Returns:
            "loss", the weighted sum of "within_cell", "within_gene" and "dataset" (not weighted), and of "graph", the
            scheduled graph consistency. That is a part of training only: its weight may change from step to step, and
            validation should not. "graph_<relation>" are its parts, not weighted.

        Raises:
            ModelError: the batch lacks something.
        """
        _require_batch(batch)
        cfg = self.config
        genes = (batch[keys.SENTENCE_GENES], batch[keys.OWN_GENES], batch[keys.SHARED_GENES])
        table, (sentence, own, shared) = self._table_of(genes)
        encoded = self.encode(table[sentence], batch[keys.SENTENCE_EXPRESSION], batch[keys.SENTENCE_MASK])
        which = torch.cat([own, shared.expand(len(own), -1)], dim=1)
        predicted = self.decode(encoded, batch[keys.READ_DEPTH], table, which)
        losses = self._expression_losses(predicted, batch) | self._dataset_loss(encoded, batch[keys.DATASET])
        weights = {"within_cell": cfg.within_cell, "within_gene": cfg.within_gene, "dataset": cfg.dataset}
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        losses |= self._graph_losses(table)
        if self.training:
            total = total + losses.get("graph", 0.0)
            self.batches_seen += 1
        return {"loss": total, **losses}

    def _table_of(self, genes: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Tokens of the genes that are needed, each once, and the rows of ``genes`` among them."""
        if self.consistency is not None:  # it may draw any gene
            return self.table(), list(genes)
        rows, at = torch.unique(torch.cat([part.flatten() for part in genes]), return_inverse=True)
        places = at.split([part.numel() for part in genes])
        return self.table(rows), [place.view(part.shape) for place, part in zip(places, genes, strict=True)]

    def _graph_losses(self, table: Tensor) -> dict[str, Tensor]:
        if self.consistency is None:
            return {}
        step = int(self.batches_seen)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        made = self.consistency(table, generator=generator, step=step)
        return {"graph": made.loss, **{f"graph_{name}": value for name, value in made.by_relation.items()}}

    def _expression_losses(self, predicted: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        shared = batch[keys.SHARED_EXPRESSION]
        observed = torch.cat([batch[keys.OWN_EXPRESSION], shared], dim=1)
        everywhere = torch.ones_like(shared, dtype=torch.bool)
        mask = torch.cat([batch[keys.OWN_MASK], everywhere], dim=1)
        losses = {"within_cell": compare(self.config.loss, predicted, observed, mask)}
        if shared.shape[1]:
            of_shared = predicted[:, -shared.shape[1] :]
            losses["within_gene"] = compare(self.config.loss, of_shared.t(), shared.t(), everywhere.t())
        return losses

    def _dataset_loss(self, encoded: EncodedCells, dataset: Tensor) -> dict[str, Tensor]:
        if self.classifier is None or not bool((dataset >= 0).any()):
            return {}
        return {"dataset": F.cross_entropy(self.classifier(encoded.dataset), dataset, ignore_index=-1)}


def _require_sources(cfg: StateEmbeddingConfig, graph: object, esm: object) -> None:
    for flag, name, given in (("use_graph_embeddings", "graph", graph), ("use_esm", "esm", esm)):
        if getattr(cfg, flag) == (given is not None):
            continue
        if given is None:
            raise ConfigError(f"{flag} is True, and no {name} was given", remedy=f"give it, or set {flag} to False")
        raise ConfigError(f"{flag} is False, and {name} was given", remedy=f"set {flag} to True, or leave {name} out")


def _require_batch(batch: Mapping[str, Tensor]) -> None:
    missing = [name for name in _NEEDED if name not in batch] if isinstance(batch, Mapping) else list(_NEEDED)
    if missing:
        found = ", ".join(map(str, batch)) if isinstance(batch, Mapping) else type(batch).__name__
        raise ModelError(
            f"the batch has no {missing[0]!r}",
            expected=", ".join(_NEEDED),
            found=found,
            remedy="make batches with StateEmbeddingModel.loader(cells), or SentenceBatches",
        )
