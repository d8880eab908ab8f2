"""JepaConfig: settings of a JEPA of cells, and the published versions and ours as presets."""

from typing import Any, Literal

from pydantic import Field, model_validator

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.fitting.config import FitConfig
from gnnvcell.nn.gene_encoder import GeneGraphEncoderConfig
from gnnvcell.nn.transformer import TransformerConfig

ActionInput = Literal["adaln", "cross", "field"]
Prior = Literal["knn", "smoother", "propagation", "perturbation_mean"]


class JepaConfig(Config):
    """Settings of a JEPA.

    Args:
        width: d of latents, and of all tokens.
        heads, feed_forward_dim, norm, feed_forward, dropout: of encoder and predictor; see ``TransformerConfig``.
            ``feed_forward_dim`` is 4 times the width when left out.
        attention: "linear" (time grows with the number of genes) or "softmax" (with its square).
        positions: "rotary": tokens are a sequence, in the order of the genes or pathways; "none": they are a set.
        layers: of the encoder.
        predictor_layers: of the predictor.
        checkpoint_layers: recompute layers in the backward pass in place of keeping what they made.
        gene_tokens: "learned": a vector of each gene; "graph": that, and its embedding by message passing.
        graph: encoder of the gene graph, of gene tokens and of targets.
        graph_inputs: what its nodes begin with, see ``TargetFeatures``.
        spectral_dim: length of the spectral vectors.
        pathways: whether genes become pathways, which latents are then of.
        pathway_l1: weight of the penalty on genes that join a pathway.
        mask_share: share of genes that are hidden in pre-training.
        pretrain_cells: cells of a batch, control and perturbed ones drawn alike, that a step of pre-training is made
            of; all when left out.
        ema: decay of the teacher.
        pretrain_l1, pretrain_variance, pretrain_covariance: weights in the loss of pre-training.
        vicreg_over: what the variance and covariance of latents are over: "cells" (each token by itself), or "tokens"
            and cells alike (as published; tokens that differ from each other then count as variance).
        encoders: what an action is known by, one or several: "onehot", "esm", "graph", "compound"; as of
            ``StateTransitionConfig``.
        encoder_layers: linear layers of the projection of each.
        pooling: how several targets become one vector: "attention" or "sum".
        hide_targets: share of targets whose features are hidden in a step of training.
        action_inputs: how the action enters the predictor, one or several: "adaln" (shift, scale and gate of every
            normalisation), "cross" (cross-attention to the action's tokens), "field" (a vector of its own for every
            gene, propagated from the targets over the gene graph).
        neighbours: tokens of the targets' neighbourhood, beside the one of the action, that "cross" looks at.
        hops, channels: of the diffusion that makes the field.
        measured: model of effects whose cross-fitted predictions (``EffectPrior``: training outcomes passed over the
            graph) join the field and are added to the decoded change; None for none.
        folds: parts that training perturbations are cut into for that.
        queries: "index": the predictor is asked by a learned vector of each token, beside the latents of the control
            cell; "state": it changes the latents themselves, beginning at no change.
        probabilistic: whether the predictor says a variance beside the mean.
        action_loss: "l1", or "nll" (Gaussian, of a probabilistic predictor).
        action_weight, action_variance, action_covariance: weights in the loss of actions.
        rollout: weight of the two-step loss (``JepaNetwork``).
        pool_cells: whether the predictor sees the mean latents of a set in place of those of each cell.
        decoder_dim: width of the decoder's hidden layer.
        decode_residual: whether predicted expression is the control cell's and the decoded change, or what the
            predicted latents decode to.
        decode_trains_predictor: whether the stage "decode" trains the predictor too, or the decoder alone.
        reconstruction: weight of decoding the teacher's latents back to the cell, beside decoding the prediction.
        genes: number of genes that are read and predicted; all when left out. Targets are added.
        gene_choice: the genes that are highest on average ("expressed", as published), or "variable".
        set_size: cells in a set; 1 pairs each perturbed cell with a random control of its batch.
        sets_per_batch: sets in a batch.
        target_sum: what counts of a cell are scaled to before log1p; None is the median of the training cells.
        controls: "batch": control cells of a set are of its cell type and batch; "context": of its cell type.
        kept_controls: control cells of each cell type that are kept in the model to predict from.
        validation: share of the training perturbations held out for validation, where no others are given.
        pretrain, action, decode: settings of training of the three stages.
        skip: stages that are left out on purpose; what a model scores without them is a control of what they teach.
        shuffle_labels: deal the perturbations of training cells out anew, a control of what labels teach.
    """

    width: int = Field(default=64, ge=1)
    heads: int = Field(default=4, ge=1)
    feed_forward_dim: int | None = Field(default=None, ge=1)
    norm: Literal["rmsnorm", "layernorm"] = "layernorm"
    feed_forward: Literal["swiglu", "gelu"] = "gelu"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    attention: Literal["softmax", "linear"] = "linear"
    positions: Literal["none", "rotary"] = "none"
    layers: int = Field(default=2, ge=0)
    predictor_layers: int = Field(default=2, ge=1)
    checkpoint_layers: bool = False
    gene_tokens: Literal["learned", "graph"] = "learned"
    graph: GeneGraphEncoderConfig = GeneGraphEncoderConfig(width=64)
    graph_inputs: tuple[Literal["spectral", "esm"], ...] = ("spectral",)
    spectral_dim: int = Field(default=64, ge=1)
    pathways: bool = False
    pathway_l1: float = Field(default=1.0, ge=0)
    mask_share: float = Field(default=0.6, gt=0, lt=1)
    pretrain_cells: int | None = Field(default=None, ge=2)
    ema: float = Field(default=0.996, ge=0, le=1)
    pretrain_l1: float = Field(default=25.0, gt=0)
    pretrain_variance: float = Field(default=25.0, ge=0)
    pretrain_covariance: float = Field(default=1.0, ge=0)
    vicreg_over: Literal["cells", "tokens"] = "cells"
    encoders: tuple[Literal["onehot", "esm", "graph", "compound"], ...] = ("esm",)
    encoder_layers: int = Field(default=2, ge=1)
    pooling: Literal["attention", "sum"] = "sum"
    hide_targets: float = Field(default=0.1, ge=0, lt=1)
    action_inputs: tuple[ActionInput, ...] = ("cross",)
    neighbours: int = Field(default=0, ge=0)
    hops: int = Field(default=3, ge=1)
    channels: int = Field(default=4, ge=1)
    measured: Prior | None = None
    folds: int = Field(default=5, ge=2)
    queries: Literal["index", "state"] = "index"
    probabilistic: bool = False
    action_loss: Literal["l1", "nll"] = "l1"
    action_weight: float = Field(default=1.0, gt=0)
    action_variance: float = Field(default=0.0, ge=0)
    action_covariance: float = Field(default=0.0, ge=0)
    rollout: float = Field(default=0.0, ge=0)
    pool_cells: bool = False
    decoder_dim: int = Field(default=64, ge=1)
    decode_residual: bool = False
    decode_trains_predictor: bool = False
    reconstruction: float = Field(default=0.0, ge=0)
    genes: int | None = Field(default=None, ge=1)
    gene_choice: Literal["expressed", "variable"] = "expressed"
    set_size: int = Field(default=1, ge=1)
    sets_per_batch: int = Field(default=16, ge=2)
    target_sum: float | None = Field(default=1e4, gt=0)
    controls: Literal["batch", "context"] = "batch"
    kept_controls: int = Field(default=512, ge=1)
    validation: float = Field(default=0.1, ge=0, lt=1)
    pretrain: FitConfig = FitConfig(max_steps=2000, val_every=200)
    action: FitConfig = FitConfig(max_steps=2000, val_every=100, patience=8)
    decode: FitConfig = FitConfig(max_steps=1000, val_every=100, patience=8)
    skip: tuple[Literal["pretrain", "action", "decode"], ...] = ()
    shuffle_labels: bool = False

    @model_validator(mode="after")
    def _fits(self) -> "JepaConfig":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide the width {self.width}")
        for name, given in (("encoders", self.encoders), ("action_inputs", self.action_inputs)):
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name} are one or more, each once")
        if self.pathways and ("field" in self.action_inputs or self.measured is not None):
            raise ValueError("a field has a value for each gene, and latents are of pathways: pathways or a field")
        if self.action_loss == "nll" and not self.probabilistic:
            raise ValueError("the loss nll needs a variance: probabilistic = true")
        if self.probabilistic and self.action_loss != "nll":
            raise ValueError("a variance is learned by the loss nll only: action_loss = 'nll'")
        if self.neighbours and not {"cross", "field"} <= set(self.action_inputs):
            raise ValueError("neighbours are tokens of 'cross', found by the diffusion of 'field'")
        if self.measured is not None and "field" not in self.action_inputs:
            raise ValueError("measured outcomes are part of the field: action_inputs with 'field'")
        return self

    @property
    def uses_graph(self) -> bool:
        """Whether the model looks at the gene graph."""
        return self.gene_tokens == "graph" or "graph" in self.encoders or "field" in self.action_inputs

    @property
    def field_channels(self) -> int:
        """Numbers of each gene in the field: being a target, what reaches it, and what was measured."""
        return 1 + self.hops * self.channels + (2 if self.measured is not None else 0)

    def transformer(self, layers: int) -> TransformerConfig:
        """Settings of a transformer over the tokens of a cell."""
        return TransformerConfig(
            width=self.width,
            layers=layers,
            heads=self.heads,
            hidden=self.feed_forward_dim or 4 * self.width,
            norm=self.norm,
            feed_forward=self.feed_forward,
            attention=self.attention,
            positions=self.positions,
            dropout=self.dropout,
            checkpoint_layers=self.checkpoint_layers,
        )

    @classmethod
    def preset(cls, name: str, **settings: Any) -> "JepaConfig":
        """A preset by its name, with some settings changed.

        Args:
            name: "v0.2" and "v0.3" (bio-JEPA as described and, where the description is silent, as JEPAs are made), or
                "graph" (ours).
            settings: changed settings.

        Raises:
            ConfigError: there is no such preset or setting.
        """
        if name not in PRESETS:
            raise ConfigError(f"there is no preset {name!r}", remedy=did_you_mean(name, PRESETS))
        return cls.parse({**PRESETS[name], **settings})


_PUBLISHED = {"width": 256, "heads": 4, "layers": 6, "predictor_layers": 6, "decoder_dim": 256, "genes": 4096}
PRESETS: dict[str, dict[str, Any]] = {
    "v0.2": {
        **_PUBLISHED,
        "attention": "softmax",
        "positions": "rotary",
        "pathways": True,
        "pretrain_l1": 1.0,
        "pretrain_variance": 0.0,
        "pretrain_covariance": 0.0,
        "encoders": ("esm",),
        "action_inputs": ("adaln",),
    },
    "v0.3": {
        **_PUBLISHED,
        "attention": "linear",
        "vicreg_over": "tokens",
        "encoders": ("esm",),
        "action_inputs": ("cross",),
        "probabilistic": True,
        "action_loss": "nll",
        "action_weight": 25.0,
        "action_variance": 25.0,
        "action_covariance": 1.0,
    },
    "graph": {
        "gene_tokens": "graph",
        # Half of the time it has to say what comes by the field alone, else it learns training targets by heart.
        "hide_targets": 0.5,
        "dropout": 0.1,
        "encoders": ("graph",),
        "action_inputs": ("adaln", "cross", "field"),
        "neighbours": 16,
        "queries": "state",
        "rollout": 1.0,
        "pool_cells": True,
        "decode_residual": True,
        "decode_trains_predictor": True,
        "reconstruction": 1.0,
        "measured": "knn",
        "genes": 8192,
        "set_size": 16,
        "sets_per_batch": 8,
        "pretrain_cells": 64,
    },
}
