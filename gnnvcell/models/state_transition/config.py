"""StateTransitionConfig: settings of ST, and its presets."""

from typing import Any, Literal

from pydantic import Field, model_validator

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.fitting.config import FitConfig
from gnnvcell.nn.gene_encoder import GeneGraphEncoderConfig
from gnnvcell.nn.losses import SetLossConfig
from gnnvcell.nn.transformer import TransformerConfig

Encoder = Literal["onehot", "esm", "graph", "field", "compound"]


class StateTransitionConfig(Config):
    """Settings of the state transition model.

    Args:
        encoders: what a perturbation is known by, one or several: "onehot" (a learned vector of each target seen in
            training), "esm" (features of the target's protein), "graph" (the target's embedding by message passing over
            the gene graph), "field" (the effect that ``field_model`` predicts), "compound" (features of the drug).
        hidden_dim: width h of all states.
        layers, heads: of the transformer over cells.
        feed_forward_dim: width of its feed-forward layers; 4 times the width when left out.
        norm, feed_forward: see ``TransformerConfig``.
        dropout: everywhere.
        checkpoint_layers: recompute the transformer's layers in the backward pass.
        cell_encoder_layers: linear layers from expression to states.
        perturbation_encoder_layers: linear layers of the projection of each feature set of targets.
        decoder_layers: linear layers from states to the output.
        decoder: "linear": one output for each gene of training; "named": weights made from the graph embeddings (or
            protein features) of the genes, so that any gene can be read out.
        pooling: how several targets become one vector: "attention", "sum", or "auto": attention where training has
            combinations to learn it from, else the sum.
        hide_targets: share of targets whose features are hidden in a step of training, so that the model learns what to
            say of a target that nothing is known of.
        graph: the encoder of the gene graph.
        graph_inputs: what its genes begin with: "spectral" (leading singular vectors of the graph), "esm" (features of
            their proteins), or both; with none each gene learns a vector, which tells little of unseen targets.
        spectral_dim: length of the spectral vectors.
        batch_encoder: whether a set's batch is an input.
        residual: whether the model predicts a change that is added to the control cells, or the cells themselves.
        input_genes: number of highly variable genes that are read; all when left out.
        genes: number of highly variable genes that are predicted (targets are added); all when left out.
        embedding: key of obsm whose rows are transformed in place of expression ("X_state"); genes are then decoded
            from predicted embeddings.
        gene_decoder: widths of the hidden layers of that decoder.
        confidence: whether to predict each set's own loss.
        field_model: model of effects that makes the field: "knn", "smoother", "propagation" or "perturbation_mean".
        fallback: model of effects that the prediction falls back to where the graph has no evidence; None: it does not.
        folds: parts that training perturbations are cut into, so that the field of each comes from a model that did not
            see it.
        loss: between predicted and observed sets.
        gene_loss_weight: of the loss on decoded genes, beside that on embeddings.
        set_size: cells in a set.
        sets_per_batch: sets in a batch.
        target_sum: what the counts of a cell are scaled to before log1p; None is the median of the training cells.
        controls: "batch": control cells of a set are of its cell type and batch; "context": of its cell type.
        kept_controls: control cells of each cell type that are kept in the model to predict from.
        validation: share of the training perturbations held out for validation, where no others are given.
        training: settings of training.
    """

    encoders: tuple[Encoder, ...] = ("graph",)
    hidden_dim: int = Field(default=128, ge=1)
    layers: int = Field(default=4, ge=0)
    heads: int = Field(default=8, ge=1)
    feed_forward_dim: int | None = Field(default=None, ge=1)
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    checkpoint_layers: bool = False
    cell_encoder_layers: int = Field(default=1, ge=1)
    perturbation_encoder_layers: int = Field(default=2, ge=1)
    decoder_layers: int = Field(default=1, ge=1)
    decoder: Literal["linear", "named"] = "linear"
    pooling: Literal["auto", "attention", "sum"] = "auto"
    hide_targets: float = Field(default=0.1, ge=0, lt=1)
    graph: GeneGraphEncoderConfig = GeneGraphEncoderConfig(width=64)
    graph_inputs: tuple[Literal["spectral", "esm"], ...] = ("spectral",)
    spectral_dim: int = Field(default=64, ge=1)
    batch_encoder: bool = True
    residual: bool = True
    input_genes: int | None = Field(default=None, ge=1)
    genes: int | None = Field(default=None, ge=1)
    embedding: str | None = None
    gene_decoder: tuple[int, ...] = (1024, 1024, 512)
    confidence: bool = False
    field_model: Literal["knn", "smoother", "propagation", "perturbation_mean"] = "knn"
    fallback: Literal["knn", "smoother", "propagation", "perturbation_mean"] | None = None
    folds: int = Field(default=5, ge=2)
    loss: SetLossConfig = SetLossConfig()
    gene_loss_weight: float = Field(default=1.0, ge=0)
    set_size: int = Field(default=64, ge=1)
    sets_per_batch: int = Field(default=8, ge=1)
    target_sum: float | None = Field(default=1e4, gt=0)
    controls: Literal["batch", "context"] = "batch"
    kept_controls: int = Field(default=512, ge=1)
    validation: float = Field(default=0.1, ge=0, lt=1)
    training: FitConfig = FitConfig(max_steps=2000, val_every=100, patience=8)

    @model_validator(mode="after")
    def _fits(self) -> "StateTransitionConfig":
        if not self.encoders or len(set(self.encoders)) < len(self.encoders):
            raise ValueError("encoders are one or more of onehot, esm, graph, field, compound, each once")
        if self.hidden_dim % self.heads:
            raise ValueError(f"{self.heads} heads do not divide hidden_dim {self.hidden_dim}")
        if self.embedding is not None and self.decoder == "named":
            raise ValueError("genes of a model of embeddings are decoded by gene_decoder, not by the decoder 'named'")
        return self

    @property
    def uses_graph(self) -> bool:
        """Whether the model looks at the gene graph."""
        return bool({"graph", "field"} & set(self.encoders)) or self.decoder == "named" or self.fallback is not None

    @property
    def transformer(self) -> TransformerConfig:
        """Settings of the transformer over cells, which has no positions: cells are a set."""
        return TransformerConfig(
            width=self.hidden_dim,
            layers=self.layers,
            heads=self.heads,
            hidden=self.feed_forward_dim or 4 * self.hidden_dim,
            norm=self.norm,
            feed_forward=self.feed_forward,
            dropout=self.dropout,
            checkpoint_layers=self.checkpoint_layers,
        )

    @classmethod
    def preset(cls, name: str, **settings: Any) -> "StateTransitionConfig":
        """A preset by its name, with some settings changed.

        Raises:
            ConfigError: there is no such preset or setting.
        """
        if name not in PRESETS:
            raise ConfigError(f"there is no preset {name!r}", remedy=did_you_mean(name, PRESETS))
        return cls.parse({**PRESETS[name], **settings})


# Sizes of STATE (FIELD.md section 5); "esm" is the variant that reads protein features, trained at 3e-4.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_dim": 32, "layers": 2, "heads": 4, "set_size": 32},
    "small": {"hidden_dim": 128, "layers": 4, "heads": 8, "set_size": 64},
    "base": {"hidden_dim": 328, "layers": 8, "heads": 8, "set_size": 128},
    "large": {
        "hidden_dim": 1488,
        "layers": 6,
        "heads": 12,
        "set_size": 256,
        "cell_encoder_layers": 4,
        "decoder_layers": 4,
    },
    "esm": {
        "encoders": ("esm",),
        "hidden_dim": 696,
        "layers": 8,
        "heads": 12,
        "set_size": 512,
        "perturbation_encoder_layers": 2,
        "sets_per_batch": 8,
    },
}
