"""Settings of the state embedding model."""

from typing import Literal

from pydantic import Field, model_validator

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError
from gnnvcell.nn.gene_encoder import GeneGraphEncoderConfig
from gnnvcell.nn.losses import GraphConsistencyConfig
from gnnvcell.nn.transformer import TransformerConfig

LossName = Literal["energy", "cross_entropy", "mse", "wasserstein", "mmd"]


class SentenceConfig(Config):
    """What a batch holds of each cell.

    Args:
        length: most genes of a sentence; the highest expressed are taken, ties at random.
        expressed: genes of its own sentence that are decoded of each cell while training.
        sampled: further genes of each cell that are decoded, drawn from all genes of the data.
        shared: genes that are decoded of all cells of a batch, drawn from all genes of the data.
        dropped: share of a sentence's genes that a training step hides from the transformer.
        read_depth: what stands for the depth of a cell: the log1p of its total counts, or of the number of genes that
            were detected (for log1p values whose total counts are not known).
    """

    length: int = Field(default=2048, ge=1)
    expressed: int = Field(default=256, ge=0)
    sampled: int = Field(default=256, ge=0)
    shared: int = Field(default=256, ge=0)
    dropped: float = Field(default=0.0, ge=0, lt=1)
    read_depth: Literal["total_counts", "detected_genes"] = "total_counts"

    @model_validator(mode="after")
    def _something_is_decoded(self) -> "SentenceConfig":
        if not self.expressed + self.sampled + self.shared:
            raise ConfigError("no gene is decoded", expected="expressed, sampled or shared above 0")
        return self


class SentenceGraphConfig(GeneGraphEncoderConfig):
    """Settings of the graph encoder; narrower than where it stands alone, and without dropout."""

    width: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class StateEmbeddingConfig(Config):
    """Settings of the model; defaults are the published architecture at its small size.

    Args:
        width: d of tokens.
        layers, heads, hidden, dropout: of the transformer (pre-norm, GELU).
        positions: "none": a sentence is a set; "sinusoidal" or "rotary": genes know their rank.
        output: width of the decoded [CLS]; the cell embedding is this and the dataset embedding.
        bins: soft bins of expression.
        bin_hidden: units of the soft bins.
        dataset_width: width of the dataset embedding.
        decoder_hidden: width of the decoder of (gene, cell) pairs.
        use_esm: whether gene tokens are made of ESM features.
        use_graph_embeddings: whether they are made of graph embeddings. With neither, each gene's token is learned.
        graph: settings of the graph encoder.
        loss: what compares decoded with measured expression (``state_embedding.losses``).
        within_cell, within_gene: weights of the loss over genes within a cell, and over cells within a shared gene.
        dataset: weight of the cross-entropy of the dataset classifier; used where there are several datasets.
        graph_consistency: settings of the loss that draws tokens of genes together which are near in the graph; None
            leaves it out. Its weight is scheduled by the number of training batches.
        sentences: settings of batches.
        checkpoint_layers: recompute layers in the backward pass instead of keeping what they made.
    """

    width: int = Field(default=512, ge=2)
    layers: int = Field(default=8, ge=1)
    heads: int = Field(default=8, ge=1)
    hidden: int = Field(default=2048, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    positions: Literal["none", "sinusoidal", "rotary"] = "none"
    output: int = Field(default=512, ge=1)
    bins: int = Field(default=10, ge=2)
    bin_hidden: int = Field(default=512, ge=1)
    dataset_width: int = Field(default=10, ge=1)
    decoder_hidden: int = Field(default=512, ge=1)
    use_esm: bool = True
    use_graph_embeddings: bool = True
    graph: SentenceGraphConfig = SentenceGraphConfig()
    loss: LossName = "energy"
    within_cell: float = Field(default=1.0, ge=0)
    within_gene: float = Field(default=1.0, ge=0)
    dataset: float = Field(default=1.0, ge=0)
    graph_consistency: GraphConsistencyConfig | None = None
    sentences: SentenceConfig = SentenceConfig()
    checkpoint_layers: bool = False

    @property
    def transformer(self) -> TransformerConfig:
        """Settings of the transformer over a sentence."""
        return TransformerConfig(
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            hidden=self.hidden,
            norm="layernorm",
            feed_forward="gelu",
            positions=self.positions,
            dropout=self.dropout,
            checkpoint_layers=self.checkpoint_layers,
        )
