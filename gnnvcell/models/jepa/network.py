"""JepaNetwork: student, teacher, predictor and decoder, trained in three stages."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ModelError, did_you_mean
from gnnvcell.models.jepa.action import Action, ActionEncoder, Gallery
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.decoder import JepaDecoder
from gnnvcell.models.jepa.encoder import JepaEncoder
from gnnvcell.models.jepa.facts import JepaFacts
from gnnvcell.models.jepa.monitors import MONITOR_FLOORS, monitors_of
from gnnvcell.models.jepa.objectives import OBJECTIVES
from gnnvcell.models.jepa.predictor import JepaPredictor, PredictedLatents
from gnnvcell.nn.ema_teacher import EmaTeacher
from gnnvcell.nn.perturbation_batch import PerturbationBatch

STAGES = ("pretrain", "action", "decode")


class JepaNetwork(nn.Module):
    """A joint-embedding predictive architecture of cells, in three stages (LeCun 2022; Assran et al., V-JEPA 2, 2025).

    "pretrain": the student encodes a cell of which a share of genes is hidden, the teacher, a moving average of the
    student (``after_step``), the whole cell; a head on the student's latents has to say the teacher's where genes are
    hidden (everywhere, where latents are of pathways)::

        w_1 |head(student(x hidden)) - teacher(x)|_1 + w_2 variance + w_3 covariance     (VICReg, of student's latents)

    "action": both are frozen. The student encodes control cells, the teacher perturbed ones; the predictor has to say
    the second from the first and the action. Cells of a set are no pairs, so means over the set are compared; in a set
    of one cell that is the published loss::

        w |mean - teacher(perturbed)|_1, or Gaussian NLL, + variance + covariance
        + rollout |two steps - teacher(perturbed)|_1

    The two steps of "A+B" are A from the control cells, and B from what is predicted for A; those of a single
    perturbation are itself, and then a control, which has to leave the cell as it is. (V-JEPA 2-AC's loss, for actions
    that come at once.) The parts of a combination have no measured field of their own: they go without.

    "decode": the decoder learns expression, from predicted latents; the predictor with it, where the settings say so.
    With ``decode_residual`` expression is the control cell's and the decoded change::

        x^ = x_control + D(mean) - D(student(x_control)) + (a + b log(1 + support)) m

    where the last term, the measured field, is there with ``measured`` only, with learned a, b that begin at 1 and 0:
    the stage begins at what the field says. Without it x^ = D(mean). The loss is the squared error of the mean cell of
    each set, x_control being the mean of all controls that match it (its own are noisy, and D sees them), and in
    training, weighted, that of decoding the teacher's latents of perturbed cells.

    Args:
        config: settings.
        facts: genes, possible targets, graph, pathways.

    Raises:
        ModelError: the settings read what the facts do not have.

    Attributes:
        stage: what ``loss`` is, and what is trained; "pretrain" at first.
        monitor_floors: values of ``monitors`` below which latents have collapsed.
    """

    monitor_floors: Mapping[str, float] = MONITOR_FLOORS

    def __init__(self, config: JepaConfig, facts: JepaFacts) -> None:
        super().__init__()
        facts.require(config)
        self.config, width = config, config.width
        self.encoder = JepaEncoder(config, facts)
        self.teacher = EmaTeacher(JepaEncoder(config, facts), self.encoder, decay=config.ema)
        self.completion = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.action = ActionEncoder(config, facts)
        self.predictor = JepaPredictor(config, self.encoder.tokens)
        self.decoder = JepaDecoder(config, facts)
        self.measured_share = nn.Parameter(torch.tensor([1.0, 0.0])) if config.measured is not None else None
        self.stage = "pretrain"
        self.set_stage("pretrain")

    def set_stage(self, stage: str) -> None:
        """Choose what is trained, and what ``loss`` is; the rest is frozen, in evaluation mode.

        Raises:
            ModelError: there is no such stage.
        """
        if stage not in STAGES:
            raise ModelError(f"there is no stage {stage!r}", remedy=did_you_mean(stage, STAGES))
        self.stage = stage
        learning = self._learning()
        for module in (self.encoder, self.completion, self.action, self.predictor, self.decoder):
            module.requires_grad_(module in learning)
        if self.measured_share is not None:
            self.measured_share.requires_grad_(stage == "decode")
        if stage == "decode" and self.predictor.log_variance is not None:
            self.predictor.log_variance.requires_grad_(False)  # nothing is said of it in expression
        self.train(self.training)

    def _learning(self) -> tuple[nn.Module, ...]:
        if self.stage == "pretrain":
            return (self.encoder, self.completion)
        if self.stage == "action":
            return (self.action, self.predictor)
        return (self.decoder, self.action, self.predictor) if self.config.decode_trains_predictor else (self.decoder,)

    def train(self, mode: bool = True) -> "JepaNetwork":
        """What is frozen stays in evaluation mode."""
        super().train(mode)
        learning = self._learning()
        for module in (self.encoder, self.completion, self.action, self.predictor, self.decoder):
            module.train(mode and module in learning)
        return self

    def after_step(self) -> None:
        """The teacher follows the student, in pre-training; to be called after each step of the optimiser."""
        if self.stage == "pretrain":
            self.teacher.follow(self.encoder)

    # --- what it is made of

    def encode(
        self, expression: Float[Tensor, "*cells genes"], log_total: Float[Tensor, "*cells"]
    ) -> Float[Tensor, "*cells tokens d"]:
        """The student's latents of cells; without gradients where it is frozen."""
        return self._latents(self.encoder, expression, log_total)

    def target(
        self, expression: Float[Tensor, "*cells genes"], log_total: Float[Tensor, "*cells"]
    ) -> Float[Tensor, "*cells tokens d"]:
        """The teacher's latents of cells."""
        return self._latents(self.teacher, expression, log_total)

    def _latents(self, encoder: nn.Module, expression: Tensor, log_total: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.stage == "pretrain"):
            found = encoder(expression.flatten(0, -2), log_total.flatten())
        return found.view(*expression.shape[:-1], *found.shape[1:])

    def predict_latents(self, latents: Float[Tensor, "sets cells tokens d"], action: Action) -> PredictedLatents:
        """What actions make of control cells: of each, or with ``pool_cells`` of the mean cell of each set."""
        return self.predictor(self.state(latents), action)

    def decode(self, latents: Float[Tensor, "*cells tokens d"]) -> Float[Tensor, "*cells genes"]:
        """Expression (log1p) of latents."""
        return self.decoder(latents)

    def change(
        self,
        latents: Float[Tensor, "sets some tokens d"],
        expression: Float[Tensor, "sets cells genes"],
        action: Action,
    ) -> Float[Tensor, "sets genes"]:
        """Predicted change of the mean expression of sets of control cells.

        Args:
            latents: of the control cells (``encode``), or what ``state`` made of them.
            expression: of the control cells.
            action: what is done to each set.
        """
        state = self.state(latents)
        after = self.decoder(self.predictor(state, action).mean).mean(dim=1)
        if not self.config.decode_residual:
            return after - expression.mean(dim=1)
        change = after - self.decoder(state).mean(dim=1)
        if self.measured_share is not None and action.measured is not None:
            share = self.measured_share[0] + self.measured_share[1] * action.measured[:, -1:]
            change = change + share * action.measured[:, :-1]
        return change

    def state(self, latents: Float[Tensor, "sets cells tokens d"]) -> Float[Tensor, "sets some tokens d"]:
        """What the predictor sees of control cells: their latents, or with ``pool_cells`` the mean of each set."""
        return latents.mean(dim=1, keepdim=True) if self.config.pool_cells else latents

    # --- actions as vectors

    def actions_of(self, conditions: PerturbationBatch) -> Float[Tensor, "perturbations d"]:
        """Perturbations as vectors, between which one can search (``effects_of_actions``)."""
        return self.action.gallery(conditions).vectors

    def effects_of_actions(
        self,
        vectors: Float[Tensor, "actions d"],
        gallery: Gallery,
        latents: Float[Tensor, "cells tokens d"],
        expression: Float[Tensor, "cells genes"],
    ) -> Float[Tensor, "actions genes"]:
        """Predicted change of mean expression by actions of any vectors, differentiable in them.

        Args:
            vectors: of the kind of ``actions_of``.
            gallery: real perturbations (``self.action.gallery``), from which fields and tokens of others are mixed
                (``ActionEncoder.between``); at their own vectors the result is their prediction.
            latents, expression: of the control cells to begin from.
        """
        count, state = len(vectors), self.state(latents[None])
        action = self.action.between(vectors, gallery)
        return self.change(state.expand(count, -1, -1, -1), expression.expand(count, -1, -1), action)

    # --- losses

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Loss of the stage: "loss", minimised, and its parts, not weighted.

        Args:
            batch: of sets: perturbed and control cells and their log totals, conditions, the mask of cells that are
                there, and the measured field where the settings have one.

        Returns:
            Of "pretrain": "l1", "variance", "covariance" and "pathways" (the penalty on genes that join a pathway). Of
            "action": "l1" or "nll", "variance", "covariance", "rollout". Of "decode": "delta", the mean squared error
            of the mean cell of a set, "reconstruction", "pathways"; in evaluation mode "loss" is "delta" there, and
            leaves each set's own targets out, as scores do. Parts whose weight is 0 are left out.

        Raises:
            ModelError: the batch lacks something.
        """
        parts = OBJECTIVES[self.stage](self, batch)
        total = torch.stack([weight * value for weight, value in parts.values()]).sum()
        return {"loss": total, **{name: value.detach() for name, (_, value) in parts.items()}}

    def monitors(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Numbers that tell a collapse; see ``monitors_of``."""
        return monitors_of(self, batch)
