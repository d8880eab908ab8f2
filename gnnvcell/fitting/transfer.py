"""Weights from another run: rows that stand for genes, targets or batches by their names, all else by shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gnnvcell.errors import ModelError
from gnnvcell.fitting.checkpoint_file import read_checkpoint

ROWS, COLUMNS = "rows", "columns"
# What a checkpoint keeps of the names of a model's rows and columns.
AXES = "named_axes"
PREFIX = "model."

Axes = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True)
class TransferReport:
    """Which parameters of a model got weights from another run.

    Args:
        taken: names of parameters that got all of theirs.
        partly: parameter to (entries of its named dimensions that were found, all of them).
        left: parameter to why it keeps the weights it had.
        unused: parameters of the other run that the model does not have.
    """

    taken: list[str] = field(default_factory=list)
    partly: dict[str, tuple[int, int]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"weights of {len(self.taken)} parameters taken, of {len(self.partly)} in part; "
            f"{len(self.left)} begin anew, {len(self.unused)} of the other run are not used"
        ]
        lines += [f"  {name}: {found:,} of {total:,} names found" for name, (found, total) in self.partly.items()]
        lines += [f"  {name}: begins anew, {why}" for name, why in self.left.items()]
        return "\n".join(lines)


def named_axes(model: nn.Module) -> dict[str, dict[str, list[str]]]:
    """What the rows and columns of a model's parameters stand for, where it says so.

    A model says so by ``named_rows()`` and ``named_columns()``: parameter to names along its first or second dimension.
    """
    axes: dict[str, dict[str, list[str]]] = {}
    for axis, method in ((ROWS, "named_rows"), (COLUMNS, "named_columns")):
        named = getattr(model, method, dict)()
        axes[axis] = {parameter: [str(name) for name in names] for parameter, names in named.items()}
    return axes


def init_from(
    model: nn.Module, source: str | Path | Mapping[str, Tensor], *, axes: Axes | None = None
) -> TransferReport:
    """Give a model the weights of another run, as far as they mean the same.

    A parameter whose rows or columns have names gets those of the same name, and keeps the rest; any other parameter is
    taken where name and shape agree. Buffers stay: what a model was told is its own.

    Args:
        model: it is changed in place.
        source: a checkpoint of ``fit``, or the weights themselves.
        axes: names of the source's rows and columns (``named_axes``); a checkpoint knows them.

    Raises:
        ModelError: nothing of the source fits the model.
    """
    if isinstance(source, str | Path):
        saved = read_checkpoint(source)
        axes = axes or saved.get(AXES)
        weights = {name.removeprefix(PREFIX): value for name, value in saved["state_dict"].items()}
    else:
        weights = dict(source)
    own, other = named_axes(model), axes or {}
    report = TransferReport()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _transfer(name, parameter, weights, own, other, report)
    report.unused.extend(sorted(set(weights) - set(model.state_dict())))
    if not report.taken and not report.partly:
        raise ModelError(
            "no parameter of the model gets weights from the other run",
            expected=", ".join(list(report.left)[:3]) or "parameters",
            found=", ".join(sorted(weights)[:3]) or "no weights",
            remedy="take a run of the same kind of model",
        )
    return report


def _transfer(
    name: str, parameter: nn.Parameter, weights: Mapping[str, Tensor], own: Axes, other: Axes, report: TransferReport
) -> None:
    given = weights.get(name)
    if given is None:
        report.left[name] = "the other run has no parameter of this name"
        return
    places = []
    for dimension, axis in enumerate((ROWS, COLUMNS)):
        if name not in own.get(axis, {}):
            continue
        if name not in other.get(axis, {}):
            report.left[name] = f"the other run does not say what its {axis} stand for"
            return
        places.append((dimension, *_matched(own[axis][name], other[axis][name])))
    named = [dimension for dimension, _, _ in places]
    same = parameter.dim() == given.dim() and all(
        parameter.shape[at] == given.shape[at] for at in range(parameter.dim()) if at not in named
    )
    if not same:
        report.left[name] = f"its shape is {tuple(parameter.shape)}, there it is {tuple(given.shape)}"
        return
    _copy(name, parameter, given, places, report)


def _copy(name: str, parameter: nn.Parameter, given: Tensor, places: list[Any], report: TransferReport) -> None:
    values, index = given.to(parameter), [torch.arange(size, device=parameter.device) for size in parameter.shape]
    found, total = 1, 1
    for dimension, here, there in places:
        values = values.index_select(dimension, torch.from_numpy(there).to(parameter.device))
        index[dimension] = torch.from_numpy(here).to(parameter.device)
        found, total = found * len(here), total * parameter.shape[dimension]
    if not found:
        report.left[name] = "none of its names is there"
        return
    if index:
        parameter[torch.meshgrid(*index, indexing="ij")] = values
    else:
        parameter.copy_(values)
    if found == total:
        report.taken.append(name)
    else:
        report.partly[name] = (found, total)


def _matched(own: Sequence[str], other: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of names that both have, here and there."""
    place = {name: at for at, name in enumerate(other)}
    here = [at for at, name in enumerate(own) if name in place]
    return np.array(here, dtype=np.int64), np.array([place[own[at]] for at in here], dtype=np.int64)
