"""Search among all actions of a model, and from what it finds back to real perturbations."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from tqdm import tqdm

from gnnvcell.config import Config
from gnnvcell.errors import ModelError
from gnnvcell.models.base import EffectPredictor
from gnnvcell.screens.gallery import checked_gallery, pair_name
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.predicting import genes_of
from gnnvcell.screens.result import ScreenResult
from gnnvcell.screens.steerable import Steerable
from gnnvcell.screens.target import TargetConfig, target_screen
from gnnvcell.screens.wanted import Measure, Wanted

_PAIRED = 1000  # perturbations next to what was found that are paired


class SearchConfig(Config):
    """Settings of a search. The defaults of "cem" are those of V-JEPA 2-AC (Assran et al. 2025).

    Args:
        method: "cem", the cross-entropy method: draw actions, keep the best, draw around them; or "gradient", Adam from
            several perturbations of the gallery.
        samples, elites, steps: of "cem": actions drawn in each step, how many of them are kept, and steps.
        starts, gradient_steps, learning_rate: of "gradient"; the rate is in standard deviations of the gallery.
        nearest: real perturbations next to what was found, singles and pairs each, that the model then predicts.
        seed: of all draws.
    """

    method: Literal["cem", "gradient"] = "cem"
    samples: int = Field(default=400, ge=2)
    elites: int = Field(default=10, ge=1)
    steps: int = Field(default=10, ge=1)
    starts: int = Field(default=16, ge=1)
    gradient_steps: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    nearest: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "SearchConfig":
        if self.elites > self.samples:
            raise ValueError(f"{self.elites} of {self.samples} samples cannot be kept")
        return self


def search_screen(
    model: EffectPredictor,
    goal: Goal,
    gallery: Iterable[str],
    *,
    context: Any = None,
    config: TargetConfig | None = None,
    search: SearchConfig | None = None,
    progress: bool = False,
) -> ScreenResult:
    """Find the action that carries cells nearest to a goal, and rank the real perturbations that come nearest to it.

    The search runs in the space of the gallery's actions, each coordinate in the gallery's standard deviations, and not
    beyond the longest of them. What it finds need not exist: the nearest perturbations of the gallery (and the nearest
    sums of two, where ``config.doubles`` asks for pairs) are predicted by the model and ranked as in ``target_screen``.

    Args:
        model: one with actions (``Steerable``).
        goal: the wanted change.
        gallery: real perturbations.
        context: cell type, as the model's ``predict`` takes it.
        config: settings of the ranking; ``centred`` is of no use here, and refused.
        search: settings of the search.
        progress: bars on stderr.

    Returns:
        As ``target_screen``, with ``action_distance`` (to what was found, in standard deviations, over the root of the
        number of coordinates). ``more["search"]``: step, best and mean score of the actions tried; the best score of
        all is ``reached`` in the provenance, which no real perturbation need come up to.

    Raises:
        ModelError: the model has no actions, or is to be centred; and all that ``target_screen`` raises.
    """
    cfg, how = config or TargetConfig(), search or SearchConfig()
    if not isinstance(model, Steerable):
        raise ModelError(
            f"{type(model).__name__} has no actions to search among",
            expected="a trained StateTransition or Jepa model",
            remedy="screen the whole gallery in place of a search",
        )
    if cfg.centred:
        raise ModelError("a search cannot be centred on a gallery that it does not predict", remedy="leave centred off")
    names = checked_gallery(gallery)
    wanted = Wanted.of(goal, genes_of(model, names[0], context=context).genes)
    with torch.no_grad():
        real = model.actions_of(names).float()
    space = _Space(real)
    score = _objective(model, wanted, cfg.measure, context, space)
    run = _by_cem if how.method == "cem" else _by_gradient
    found, steps = run(space, score, how, progress)
    near = _nearest(space, found, names, how.nearest, pairs=cfg.doubles > 0)
    plain = cfg.model_copy(update={"doubles": 0})
    result = target_screen(model, goal, list(near), context=context, config=plain, progress=progress)
    result.table["action_distance"] = [near[name] for name in result.table["perturbation"]]
    result.table["kind"] = np.where(result.table["perturbation"].isin(names), "gallery", "double")
    result.more["search"] = steps
    about = {"search": how.model_dump(mode="json"), "reached": float(steps["best"].max()), "gallery": len(names)}
    result.provenance.update(about)
    return result


class _Space:
    """Actions in the gallery's standard deviations, around its mean."""

    def __init__(self, real: Tensor) -> None:
        self.mean = real.mean(dim=0)
        self.sd = real.std(dim=0, correction=0).clamp_min(1e-6)
        self.real = self.inside(real)
        self.radius = float(self.real.norm(dim=1).max().clamp_min(1e-6))

    def inside(self, actions: Tensor) -> Tensor:
        return (actions - self.mean) / self.sd

    def actions(self, z: Tensor) -> Tensor:
        return z * self.sd + self.mean

    def clipped(self, z: Tensor) -> Tensor:
        """Not beyond the longest action of the gallery."""
        length = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return z * (self.radius / length).clamp_max(1.0)


Objective = Callable[[Tensor], Tensor]


def _objective(model: Steerable, wanted: Wanted, measure: Measure, context: Any, space: _Space) -> Objective:
    """(n, d) points of the space to (n,) scores, as ``Wanted.scores`` has them."""
    columns = torch.from_numpy(wanted.columns)
    goal, weight = (torch.from_numpy(one).float() for one in (wanted.change, wanted.weight))

    def score(z: Tensor) -> Tensor:
        y = model.effects_of_actions(space.actions(z), context=context)[:, columns.to(z.device)].float()
        g, w = goal.to(y.device), weight.to(y.device)
        if measure == "distance":
            return 1 - (w * (y - g) ** 2).sum(dim=1).clamp_min(1e-20).sqrt() / (w * g * g).sum().sqrt()
        if measure == "pearson":
            y = y - (w * y).sum(dim=1, keepdim=True) / w.sum()
            g = g - (w * g).sum() / w.sum()
        length = (w * y * y).sum(dim=1).clamp_min(1e-20).sqrt() * (w * g * g).sum().clamp_min(1e-20).sqrt()
        return (w * y * g).sum(dim=1) / length

    return score


def _by_cem(space: _Space, score: Objective, how: SearchConfig, progress: bool) -> tuple[Tensor, pd.DataFrame]:
    """The best point that was drawn, and the scores of every step."""
    generator = torch.Generator().manual_seed(how.seed)
    mean, sd = torch.zeros_like(space.mean), torch.ones_like(space.mean)
    best, reached, rows = mean, -float("inf"), []
    for step in tqdm(range(how.steps), desc="searching", unit="step", disable=None if progress else True):
        noise = torch.randn(how.samples, len(mean), generator=generator).to(mean.device)
        drawn = space.clipped(mean + sd * noise)
        with torch.no_grad():
            scores = score(drawn)
        order = scores.argsort(descending=True)
        kept = drawn[order[: how.elites]]
        mean, sd = kept.mean(dim=0), kept.std(dim=0, correction=0).clamp_min(1e-3)
        rows.append((step + 1, float(scores[order[0]]), float(scores.mean())))
        if rows[-1][1] > reached:
            best, reached = drawn[order[0]], rows[-1][1]
    return best, _steps(rows)


def _by_gradient(space: _Space, score: Objective, how: SearchConfig, progress: bool) -> tuple[Tensor, pd.DataFrame]:
    """The best point that any start came to, and the scores of every step."""
    generator = torch.Generator().manual_seed(how.seed)
    chosen = torch.randperm(len(space.real), generator=generator)[: how.starts].to(space.real.device)
    z = space.real[chosen].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=how.learning_rate)
    best, reached, rows = z.detach()[0].clone(), -float("inf"), []
    for step in tqdm(range(how.gradient_steps), desc="searching", unit="step", disable=None if progress else True):
        scores = score(z)
        seen = scores.detach()
        rows.append((step + 1, float(seen.max()), float(seen.mean())))
        if rows[-1][1] > reached:
            best, reached = z.detach()[int(seen.argmax())].clone(), rows[-1][1]
        (z.grad,) = torch.autograd.grad(-scores.sum(), [z])
        optimizer.step()
        with torch.no_grad():
            z.copy_(space.clipped(z))
    return best, _steps(rows)


def _steps(rows: Sequence[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index(["step", "best", "mean"]))


def _nearest(space: _Space, found: Tensor, names: list[str], count: int, *, pairs: bool) -> dict[str, float]:
    """The real perturbations nearest to a point, and their distances; sums of two of them too."""
    scale = len(found) ** 0.5
    away = ((space.real - found).norm(dim=1) / scale).cpu().numpy()
    order = np.argsort(away, kind="stable")
    near = {names[at]: float(away[at]) for at in order[:count]}
    if pairs:
        near |= _nearest_pairs(space, found, names, order[:_PAIRED], count, scale)
    return near


def _nearest_pairs(
    space: _Space, found: Tensor, names: list[str], pool: NDArray, count: int, scale: float
) -> dict[str, float]:
    """The pairs whose summed actions come nearest, of those that have a name."""
    actions = space.actions(space.real[torch.from_numpy(pool).to(found.device)]) / space.sd
    wanted = space.actions(found[None])[0] / space.sd
    square = (actions * actions).sum(dim=1)
    along = actions @ wanted
    distance = square[:, None] + square + 2 * actions @ actions.T - 2 * (along[:, None] + along) + wanted @ wanted
    distance = (distance.clamp_min(0).sqrt() / scale).cpu().numpy()
    distance[np.tril_indices(len(pool))] = np.inf
    near: dict[str, float] = {}
    for at in np.argsort(distance, axis=None, kind="stable")[: 10 * count]:
        i, j = np.unravel_index(at, distance.shape)
        name = pair_name(*sorted((names[pool[i]], names[pool[j]])))
        if name is not None and np.isfinite(distance[i, j]) and len(near) < count:
            near[name] = float(distance[i, j])
    return near
