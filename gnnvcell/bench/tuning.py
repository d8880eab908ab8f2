"""Settings chosen on validation perturbations, cut from the training perturbations: one budget for every arm."""

import itertools
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

from gnnvcell.config import Config, digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import EffectModel
from gnnvcell.tasks import UnseenEffect, UnseenPerturbation

C = TypeVar("C", bound=Config)

TRAIN, VAL = "train", "val"
SCORE, ERROR = "per_gene_auroc", "mse_delta"  # of labels, the larger the better; of effects, the smaller the better


@dataclass(frozen=True, eq=False)
class Tuning:
    """The settings that are tried for a model, the same ones on every graph, control and seed.

    Args:
        trials: settings, each as they differ from the model's own.
        share: of the training perturbations that is cut for validation.
        seed: of the cut.
    """

    trials: Sequence[Mapping[str, Any]]
    share: float
    seed: int

    @cached_property
    def digest(self) -> str:
        """Of all of it."""
        return digest_of([list(self.trials), self.share, self.seed])


def drawn_settings(space: Mapping[str, Any], trials: int, *, seed: int, label: str) -> list[dict[str, Any]]:
    """Settings drawn from a space without repetition; all of it where it has no more.

    Args:
        space: setting to a list of values, or to a table of settings inside it; empty for nothing to choose.
        trials: how many.
        seed: of the draw, together with the label.
        label: of the model, for errors.

    Raises:
        ConfigError: a setting without a list of values.
    """
    axes = _axes(space, (), label)
    sizes = [len(values) for _, values in axes]
    total = prod(sizes)
    rng = np.random.default_rng([seed, crc32(label.encode())])
    drawn = np.sort(rng.choice(total, size=min(trials, total), replace=False))
    chosen = zip(*np.unravel_index(drawn, sizes), strict=True) if sizes else [()]
    return [_nested(axes, [int(place) for place in places]) for places in chosen]


def choose_settings(
    model: type[EffectModel], config: Config, tuning: Tuning, train: EffectTable, graph: GeneGraph, *, seed: int
) -> tuple[Config, dict[str, Any]]:
    """The settings of the best trial, and what there is to record about the choice.

    Every trial learns from the same part of the training perturbations and predicts the rest of them: labels by
    per-gene AUROC, effects by mean squared error. The held-out perturbations are not known here. Of equals the first
    wins.

    Raises:
        DataError: too few training perturbations, or no trial can be scored.
    """
    start, measure = time.perf_counter(), ERROR if train.kind == "delta" else SCORE
    if len(tuning.trials) == 1:
        scores = [float("nan")]
        best = 0
    else:
        table = with_validation(train, tuning.share, seed=tuning.seed)
        inner = UnseenEffect(table, held_out=VAL) if train.kind == "delta" else UnseenPerturbation(table, held_out=VAL)
        inputs = inner.inputs()
        scores = []
        for settings in tuning.trials:
            fitted = model(with_settings(config, settings)).fit(inputs.train, graph, seed=seed)
            scores.append(inner.evaluate(fitted.predict(inputs.perturbations)).metrics[measure])
        if not np.isfinite(scores).any():
            raise DataError(
                "no validation gene has both labels, so no settings can be chosen",
                found=f"{len(inputs.perturbations)} validation perturbations",
                remedy="raise tune.share, or leave [tune] out",
            )
        best = int(np.nanargmin(scores) if train.kind == "delta" else np.nanargmax(scores))
    trials = [
        {"settings": dict(settings), measure: None if np.isnan(score) else float(f"{score:.5g}")}
        for settings, score in zip(tuning.trials, scores, strict=True)
    ]
    seconds = round(time.perf_counter() - start, 3)
    return with_settings(config, tuning.trials[best]), {
        "tuning": {"chosen": dict(tuning.trials[best]), "trials": trials, "seconds": seconds}
    }


def with_validation(train: EffectTable, share: float, *, seed: int) -> EffectTable:
    """Training effects with a share of their perturbations marked as validation.

    Raises:
        DataError: nothing would be left on one side.
    """
    names = np.unique(train.perturbations)
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise DataError(f"{len(names)} training perturbations are too few to cut {share:.0%} of them for validation")
    cut = np.random.default_rng(seed).permutation(names)[:count]
    table = train.take(np.arange(train.shape[0]))
    table.split = np.where(np.isin(train.perturbations, cut), VAL, TRAIN)
    return table


def with_settings(config: C, settings: Mapping[str, Any], *, where: str = "") -> C:
    """A configuration with some settings changed, checked as if it had been given so.

    Raises:
        ConfigError: an unknown setting or a bad value.
    """
    values = config.model_dump()
    _update(values, settings)
    return type(config).parse(values, where=where)


def _update(values: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            _update(values[name], value)
        else:
            values[name] = deepcopy(value)


def _axes(space: Mapping[str, Any], path: tuple[str, ...], label: str) -> list[tuple[tuple[str, ...], list[Any]]]:
    axes = []
    for name, values in space.items():
        if isinstance(values, Mapping):
            axes += _axes(values, (*path, name), label)
        elif isinstance(values, list) and values:
            axes.append(((*path, name), values))
        else:
            raise ConfigError(
                f"tune.space.{'.'.join([label, *path, name])} is no list of values",
                expected="values to choose from, such as [1.5, 2.5]",
                found=repr(values),
            )
    return axes


def _nested(axes: Sequence[tuple[tuple[str, ...], list[Any]]], places: Sequence[int]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for (path, values), place in zip(axes, places, strict=True):
        table = settings
        for name in itertools.islice(path, len(path) - 1):
            table = table.setdefault(name, {})
        table[path[-1]] = values[place]
    return settings
