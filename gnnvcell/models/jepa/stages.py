"""The stages of a JEPA's training: run as one or one by one, each from where the one before it ended."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnnvcell.errors import ConfigError, ModelError, did_you_mean
from gnnvcell.files import write_text
from gnnvcell.fitting.checkpoint_file import read_checkpoint
from gnnvcell.fitting.config import OF_THE_MACHINE, FitConfig
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.network import STAGES, JepaNetwork

if TYPE_CHECKING:
    from gnnvcell.fitting import FitResult

STAGE_FILE = "stage.json"
_CHECKPOINTS, _LAST, _BEST = "checkpoints", "last.ckpt", "best.ckpt"
_PREFIX = "model."
# What training of all stages may be told at once; the rest is set stage by stage.
SHARED = OF_THE_MACHINE | {"precision", "deterministic", "seed"}


def require_stages(stages: Sequence[str] | None, config: JepaConfig) -> list[str]:
    """The stages to train, in order; all that are not skipped when None.

    Raises:
        ConfigError: there is no such stage, it is to be skipped, or the stages are out of order.
    """
    left = [stage for stage in STAGES if stage not in config.skip]
    if stages is None:
        return left
    for stage in stages:
        if stage not in STAGES:
            raise ConfigError(f"there is no stage {stage!r}", remedy=did_you_mean(stage, STAGES))
        if stage in config.skip:
            raise ConfigError(f"the stage {stage!r} is to be trained and to be skipped", remedy="take it out of skip")
    if list(stages) != [stage for stage in left if stage in stages]:
        raise ConfigError("stages out of order", expected=", ".join(left), found=", ".join(stages))
    return list(stages)


def settings_of(stage: str, config: JepaConfig, machine: FitConfig | None, seed: int) -> FitConfig:
    """Settings of training of a stage.

    Args:
        stage: which.
        config: of the model, with the settings of each stage.
        machine: where and how it is carried out; of it only what was set.
        seed: of everything random.

    Raises:
        ConfigError: ``machine`` sets what each stage sets for itself.
    """
    given = {} if machine is None else {name: getattr(machine, name) for name in sorted(machine.model_fields_set)}
    own = sorted(set(given) - SHARED)
    if own:
        raise ConfigError(
            f"{own[0]} is set for all stages at once",
            expected=f"settings of where the run is carried out: {', '.join(sorted(SHARED))}",
            remedy=f"set it by stage: model.pretrain.{own[0]}, model.action.{own[0]}, model.decode.{own[0]}",
        )
    return getattr(config, stage).model_copy(update={**given, "seed": seed})


@dataclass(frozen=True, eq=False)
class Stages:
    """Training of some stages of a network.

    Args:
        network: it is changed in place.
        config: of the model.
        done: stages that its weights went through; those trained here are added.
        folder: of the run; each stage has one of its own in it. None writes nothing.
    """

    network: JepaNetwork
    config: JepaConfig
    done: list[str]
    folder: Path | None = None

    def train(
        self,
        stages: Sequence[str],
        loaders: tuple[Any, Any],
        *,
        machine: FitConfig | None,
        seed: int,
        resume: bool,
        progress: bool,
    ) -> dict[str, "FitResult"]:
        """Train stages, after what those before them learned; results of those that were not over already.

        Args:
            stages: in order (``require_stages``).
            loaders: of training and validation cells; the second may be None.
            machine, seed: see ``settings_of``.
            resume: go on with stages that were begun, and pass over those that are over.
            progress: a bar on stderr.

        Raises:
            ModelError: a stage that comes before was neither trained nor skipped.
            ConfigError: as of ``gnnvcell.fitting.fit``.
        """
        order: list[str] = list(STAGES)
        if stages:  # what is trained again, and what comes after it, is not yet trained
            self.done[:] = [stage for stage in self.done if order.index(stage) < order.index(stages[0])]
        results = {}
        for stage in order:
            if stage in self.config.skip or stage in self.done:
                continue
            if stage not in stages:
                if stages and order.index(stage) < order.index(stages[-1]):
                    self._take(stage, before=stages[-1])
                continue
            if resume and self._is_over(stage):
                self._take(stage, before=stage)
            else:
                settings = settings_of(stage, self.config, machine, seed)
                results[stage] = self._fit(stage, loaders, settings, resume, progress)
        return results

    def _fit(
        self, stage: Any, loaders: tuple[Any, Any], settings: FitConfig, resume: bool, progress: bool
    ) -> "FitResult":
        from gnnvcell.fitting import fit

        folder = self._of(stage)
        goes_on = resume and folder is not None and (folder / _CHECKPOINTS / _LAST).is_file()
        self.network.train()
        self.network.set_stage(stage)
        result = fit(self.network, *loaders, config=settings, out_dir=folder, resume=goes_on, progress=progress)
        self.done.append(stage)
        if folder is not None:
            kept = _LAST if result.best is None else _BEST
            about = {"stage": stage, "steps": result.steps, "best_score": result.best_score, "checkpoint": kept}
            write_text(folder / STAGE_FILE, json.dumps(about, indent=1) + "\n")
        return result

    def _of(self, stage: str) -> Path | None:
        return None if self.folder is None else self.folder / stage

    def _is_over(self, stage: str) -> bool:
        folder = self._of(stage)
        return folder is not None and (folder / STAGE_FILE).is_file()

    def _take(self, stage: str, *, before: str) -> None:
        """Give the network what a stage learned.

        Raises:
            ModelError: it was not trained, or not to its end.
        """
        folder = self._of(stage)
        if folder is None or not self._is_over(stage):
            begun = folder is not None and (folder / _CHECKPOINTS / _LAST).is_file()
            where = "in memory" if folder is None else f"in {folder}"
            what = "teacher checkpoint" if stage == STAGES[0] else f"checkpoint of the stage {stage!r}"
            raise ModelError(
                f"stages out of order: {before!r} begins with what {stage!r} learned, and there is no {what} {where}",
                expected=", ".join(name for name in STAGES if name not in self.config.skip),
                found=f"{stage!r} was begun and is not over" if begun else f"{stage!r} was not trained",
                remedy=f"train {stage!r} first" + (", with --resume" if begun else "")
                + f", or skip it on purpose: skip = [{stage!r}]",
            )
        name = json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))["checkpoint"]
        weights = read_checkpoint(folder / _CHECKPOINTS / name)["state_dict"]
        self.network.load_state_dict({key.removeprefix(_PREFIX): value for key, value in weights.items()})
        self.done.append(stage)


def trained_stages(done: Iterable[str], config: JepaConfig) -> str:
    """What a model went through, in words; controls are named as such."""
    found = ", ".join(done) or "none"
    notes = []
    if config.skip:
        notes.append(f"skipped on purpose: {', '.join(config.skip)}")
    if config.shuffle_labels:
        notes.append("trained on shuffled labels")
    return f"stages: {found}" + (f" (a control; {'; '.join(notes)})" if notes else "")
