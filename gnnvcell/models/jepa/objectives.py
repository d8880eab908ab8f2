"""What each stage of a JEPA minimises; ``JepaNetwork`` says it in formulas."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.models.jepa.predictor import PredictedLatents
from gnnvcell.models.jepa.two_steps import first_and_rest
from gnnvcell.nn.losses.gaussian_nll import gaussian_nll
from gnnvcell.nn.losses.vicreg import covariance_penalty, variance_hinge

if TYPE_CHECKING:
    from gnnvcell.models.jepa.network import JepaNetwork

Parts = dict[str, tuple[float, Tensor]]  # name to weight and value

CELLS = (keys.CONTROL_CELLS, keys.PERTURBED_CELLS, keys.CONTROL_LOG_TOTAL, keys.PERTURBED_LOG_TOTAL)


def pretraining(network: "JepaNetwork", batch: Mapping[str, Any]) -> Parts:
    """The teacher's latents of whole cells, from cells of which a share of genes is hidden; control and perturbed."""
    require(batch, CELLS)
    cfg, encoder = network.config, network.encoder
    expression = torch.cat([batch[keys.CONTROL_CELLS], batch[keys.PERTURBED_CELLS]]).flatten(0, 1)
    log_total = torch.cat([batch[keys.CONTROL_LOG_TOTAL], batch[keys.PERTURBED_LOG_TOTAL]]).flatten()
    if cfg.pretrain_cells is not None:
        some = torch.randperm(len(expression), device=expression.device)[: cfg.pretrain_cells]
        expression, log_total = expression[some], log_total[some]
    hidden = torch.rand(expression.shape, device=expression.device) < cfg.mask_share
    latents = encoder(expression, log_total, hidden)
    apart = (network.completion(latents) - network.teacher(expression, log_total)).abs().mean(dim=2)
    asked = hidden if encoder.pathways is None else torch.ones_like(apart, dtype=torch.bool)
    parts: Parts = {"l1": (cfg.pretrain_l1, (apart * asked).sum() / asked.sum().clamp_min(1))}
    parts |= _vicreg(latents, cfg.vicreg_over, cfg.pretrain_variance, cfg.pretrain_covariance)
    if encoder.pathways is not None and cfg.pathway_l1:
        parts["pathways"] = (cfg.pathway_l1, encoder.pathways.penalty())
    return parts


def acting(network: "JepaNetwork", batch: Mapping[str, Any]) -> Parts:
    """The teacher's latents of perturbed cells, from the student's of control cells and the action; set by set."""
    cfg = network.config
    require(batch, (*CELLS, *_of_actions(network)))
    control = network.state(network.encode(batch[keys.CONTROL_CELLS], batch[keys.CONTROL_LOG_TOTAL]))
    perturbed = network.target(batch[keys.PERTURBED_CELLS], batch[keys.PERTURBED_LOG_TOTAL])
    observed = mean_cell(perturbed, batch.get(keys.CELL_MASK))
    found = network.predictor(control, network.action(batch[keys.CONDITIONS], batch.get(keys.FIELD)))
    mean = found.mean.mean(dim=1)
    if found.log_variance is None:
        parts: Parts = {"l1": (cfg.action_weight, (mean - observed).abs().mean())}
    else:
        nll = gaussian_nll(mean, found.log_variance.mean(dim=1), observed).mean()
        parts = {"nll": (cfg.action_weight, nll)}
    parts |= _vicreg(found.mean.flatten(0, 1), cfg.vicreg_over, cfg.action_variance, cfg.action_covariance)
    if cfg.rollout:
        after = _two_steps(network, control, batch, found).mean.mean(dim=1)
        parts["rollout"] = (cfg.rollout, (after - observed).abs().mean())
    return parts


def _two_steps(
    network: "JepaNetwork", control: Tensor, batch: Mapping[str, Any], found: PredictedLatents
) -> PredictedLatents:
    """One target of each perturbation, and then its others; for a single one, a control."""
    conditions, field = batch[keys.CONDITIONS], None
    first, rest = first_and_rest(conditions)
    if network.config.measured is not None:
        field = torch.zeros_like(batch[keys.FIELD])
    if len(first.target) < len(conditions.target):
        combined = torch.bincount(conditions.owner, minlength=len(conditions)) > 1
        own = None if field is None else torch.where(combined[:, None], field, batch[keys.FIELD])
        found = network.predictor(control, network.action(first, own))
    return network.predictor(found.mean, network.action(rest, field))


def decoding(network: "JepaNetwork", batch: Mapping[str, Any]) -> Parts:
    """The change of expression, from predicted latents; and cells, from the teacher's.

    The change is that from the mean of all matching controls. From the mean of the set's own few, whose noise the
    network sees, it would learn to take out that noise, which is larger than most effects and is no part of them.

    The decoder begins at the mean control cell of the first batch that it is trained on. Validation is of the
    change of genes that are no targets, as scores are: how well cells are decoded, and how well a knock-down is
    told from its own label, is not what weights are chosen by.
    """
    cfg = network.config
    require(batch, (*CELLS, keys.CONTROL_MEAN, *_of_actions(network)))
    control, perturbed = batch[keys.CONTROL_CELLS], batch[keys.PERTURBED_CELLS]
    unperturbed = batch[keys.CONTROL_MEAN]
    if network.training and not network.decoder.begun:
        network.decoder.begin_at(control)
    latents = network.encode(control, batch[keys.CONTROL_LOG_TOTAL])
    action = network.action(batch[keys.CONDITIONS], batch.get(keys.FIELD))
    observed = mean_cell(perturbed, batch.get(keys.CELL_MASK)) - unperturbed
    error = (network.change(latents, unperturbed[:, None], action) - observed).square()
    if not network.training:
        error = error[~network.action.own_genes(batch[keys.CONDITIONS])]
    parts: Parts = {"delta": (1.0, error.mean())}
    in_training = float(network.training)
    if cfg.reconstruction:
        decoded = network.decoder(network.target(perturbed, batch[keys.PERTURBED_LOG_TOTAL]))
        parts["reconstruction"] = (cfg.reconstruction * in_training, (decoded - perturbed).square().mean())
    if network.decoder.pathways is not None and cfg.pathway_l1:
        parts["pathways"] = (cfg.pathway_l1 * in_training, network.decoder.pathways.penalty())
    return parts


OBJECTIVES: dict[str, Callable[["JepaNetwork", Mapping[str, Any]], Parts]] = {
    "pretrain": pretraining,
    "action": acting,
    "decode": decoding,
}


def mean_cell(values: Tensor, mask: Tensor | None) -> Tensor:
    """(sets, ...) mean over the cells of each set that are there.

    Args:
        values: (sets, cells, ...).
        mask: (sets, cells), False where a cell was drawn again to fill its set.
    """
    if mask is None:
        return values.mean(dim=1)
    share = (mask / mask.sum(dim=1, keepdim=True)).to(values.dtype)
    return torch.einsum("sc,sc...->s...", share, values)


def require(batch: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Refuse a batch that lacks something.

    Raises:
        ModelError: it does.
    """
    missing = [name for name in names if name not in batch]
    if missing:
        raise ModelError(
            f"the batch has no {missing[0]!r}",
            expected=", ".join(names),
            found=", ".join(map(str, batch)),
            remedy="make batches with Jepa.loader(cells)",
        )


def _of_actions(network: "JepaNetwork") -> tuple[str, ...]:
    return (keys.CONDITIONS, keys.FIELD) if network.config.measured is not None else (keys.CONDITIONS,)


def _vicreg(latents: Tensor, over: str, variance: float, covariance: float) -> Parts:
    """The terms that have a weight, of (cells, tokens, d) latents."""
    if over == "tokens":
        latents = latents.flatten(0, 1)
    found: Parts = {}
    if variance:
        found["variance"] = (variance, variance_hinge(latents))
    if covariance:
        found["covariance"] = (covariance, covariance_penalty(latents))
    return found
