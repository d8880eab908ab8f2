"""Ensemble: the same model several times, whose members disagree where they do not know."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anndata as ad
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell.config import Config, digest_of
from gnnvcell.data.cells import Cells, as_cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.errors import ConfigError, FileFormatError, ModelError
from gnnvcell.files import write_text
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, EffectPredictor, Prediction
from gnnvcell.models.cell_model import CELL_MODELS, CellModel
from gnnvcell.models.model_folder import HEAD_FILE, MODEL_FOLDER

_RUN_FILE = "ensemble.json"
_LAST_CHECKPOINT = "last.ckpt"


class EnsembleConfig(Config):
    """Settings of an ensemble.

    Args:
        model: name of a model, of effects or of cells.
        settings: of the model, where they differ from its defaults.
        members: how many.
        vary: what differs between members: "seed", or "perturbations": each learns from a draw of them, without
            replacement, because a table names each once. By default the seed, for models that heed it
            (``heeds_seed``), and perturbations for the others.
        share: of the training perturbations in a draw.
    """

    model: str = "propagation"
    settings: dict[str, Any] = Field(default_factory=dict)
    members: int = Field(default=5, ge=2)
    vary: Literal["seed", "perturbations"] | None = None
    share: float = Field(default=0.8, gt=0, lt=1)


@dataclass(frozen=True, eq=False)
class Learned:
    """What members that are not stored can be fitted from again.

    Args:
        train: training effects.
        graph: the gene graph.
        seed: of the ensemble.
    """

    train: EffectTable
    graph: GeneGraph
    seed: int


class Ensemble:
    """A deep ensemble [Lakshminarayanan et al., NeurIPS 2017] of any registered model; an ``EffectPredictor``.

    The prediction is the mean over M members, and its spread the standard deviation by the law of total variance::

        spread^2 = mean_k(s_k^2) + c / (M - 1) sum_k (y_k - mean y)^2

    s_k is the spread that a member states itself, 0 where it states none. c is 1 for members by seed. For members
    that learned from m of n perturbations it is ``m / (n - m)``, which makes the variance over draws that over samples
    of n (the delete-d jackknife [Shao & Wu, Ann. Stat. 1989]). Support is the mean over members.

    The spread says where members disagree, and is no coverage: ``calibrate`` the ensemble for intervals.

    Args:
        config: settings.

    Raises:
        ConfigError: no such model or setting of it, or members by seed of a model that ignores seeds.

    Example:
        >>> ensemble = Ensemble(EnsembleConfig(model="knn", members=10)).fit(train, graph)  # doctest: +SKIP
        >>> ensemble.predict(["STAT1"]).spread  # doctest: +SKIP
    """

    def __init__(self, config: EnsembleConfig | None = None) -> None:
        self.config = config or EnsembleConfig()
        registry: Any = CELL_MODELS if self.config.model in CELL_MODELS else MODELS
        self._kind: type[EffectModel] | type[CellModel] = registry.get(self.config.model)
        self.vary: str = self.config.vary or ("seed" if self._kind.uses_seed else "perturbations")
        if self.vary == "seed" and not self._kind.uses_seed:
            raise self._all_the_same()
        self._settings = self._kind.config_class.parse(self.config.settings, where=self.config.model)
        self.members: list[EffectPredictor] = []
        self.learned: Learned | None = None
        self.variance_factor = 1.0

    @classmethod
    def of(cls, members: Sequence[EffectModel | CellModel]) -> "Ensemble":
        """An ensemble of models of one kind that were fitted elsewhere, such as runs with different seeds.

        Raises:
            ModelError: fewer than two, or models of different kinds.
        """
        kinds = {type(member) for member in members}
        if len(members) < 2 or len(kinds) > 1:
            raise ModelError(
                "these models make no ensemble",
                expected="two or more of one kind",
                found=", ".join(type(member).__name__ for member in members) or "none",
            )
        (kind,) = kinds
        registry: Any = CELL_MODELS if issubclass(kind, CellModel) else MODELS
        name = next(name for name in registry if registry.get(name) is kind)
        settings = members[0].config.model_dump(mode="json")
        ensemble = cls(EnsembleConfig(model=name, settings=settings, members=len(members)))
        ensemble.members = list(members)
        return ensemble

    def fit(
        self,
        train: EffectTable | Cells | ad.AnnData,
        graph: GeneGraph,
        *,
        seed: int = 0,
        out_dir: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> "Ensemble":
        """Fit all members, and return the ensemble.

        Args:
            train: as of the model's ``fit``.
            graph: the gene graph.
            seed: member k gets the seed ``seed + k``, or the k-th draw of perturbations with the seed.
            out_dir: for models of cells, where each member's run and the finished member are kept.
            resume: go on in ``out_dir``: finished members are read, the one that was interrupted goes on.
            progress: a bar on stderr.

        Raises:
            ConfigError: members that would all be the same, ``out_dir`` of models that keep no runs, one that holds
                another ensemble or anything else, or one to be begun where there is one.
            ModelError, DataError: as of the model's ``fit``.
        """
        of_cells = issubclass(self._kind, CellModel)
        data: Any = train
        if of_cells or not isinstance(train, EffectTable):
            data = as_cells(train) if of_cells else cell_effects(as_cells(train))  # type: ignore[arg-type]
        self._choose_vary(data)
        folder = None if out_dir is None else self._claim(Path(out_dir), data, seed, resume)
        names = sorted(set(data.perturbations.tolist()))
        most = self._drawn_number(names)
        self.variance_factor = 1.0 if most == len(names) else most / (len(names) - most)
        self.members = []
        bar = tqdm(range(self.config.members), desc="ensemble", unit="member", disable=None if progress else True)
        for k in bar:
            part, own_seed = data, seed + k
            if self.vary == "perturbations":
                drawn = np.random.default_rng([seed, k]).choice(names, size=most, replace=False)
                part, own_seed = _part(data, drawn), seed
            if folder is None:
                member: Any = self._kind(self._settings)
                self.members.append(member.fit(part, graph, seed=own_seed))
            else:
                self.members.append(self._kept_member(folder / f"member-{k}", part, graph, own_seed, progress))
        self.learned = None if of_cells else Learned(data, graph, seed)
        return self

    def _choose_vary(self, data: Any) -> None:
        """What differs between members of a model that may not heed the seed for these effects."""
        if issubclass(self._kind, EffectModel) and not self._kind.heeds_seed(self._settings, data):
            if self.config.vary == "seed":
                raise self._all_the_same()
            self.vary = "perturbations"

    def _all_the_same(self) -> ConfigError:
        return ConfigError(
            f"members of {self.config.model!r} would all be the same: it ignores the seed",
            remedy='vary = "perturbations"',
        )

    def _drawn_number(self, names: Sequence[str]) -> int:
        """Training perturbations of a member."""
        if self.vary == "seed":
            return len(names)
        if len(names) < 2:
            raise ModelError("members cannot learn from different perturbations", found=", ".join(names) or "none")
        return max(1, min(len(names) - 1, round(self.config.share * len(names))))

    def _kept_member(self, folder: Path, data: Any, graph: GeneGraph, seed: int, progress: bool) -> Any:
        """A member from its folder, or fitted into it."""
        kind: Any = self._kind
        if (folder / MODEL_FOLDER / HEAD_FILE).is_file():
            return kind.load(folder / MODEL_FOLDER)
        goes_on = any(folder.rglob(_LAST_CHECKPOINT))  # of the run, or of one of its stages
        member = kind(self._settings)
        member.fit(data, graph, seed=seed, out_dir=folder, resume=goes_on, progress=progress)
        member.save(folder / MODEL_FOLDER)
        return member

    def _claim(self, folder: Path, data: Any, seed: int, resume: bool) -> Path:
        """The folder of members, which is that of these settings and perturbations."""
        if "out_dir" not in inspect.signature(self._kind.fit).parameters:
            raise ConfigError(f"members of {self.config.model!r} keep no runs", remedy="leave out_dir out")
        names = sorted(set(data.perturbations.tolist()))
        settings = {**self.config.model_dump(mode="json"), "seed": seed, "perturbations": digest_of(names)}
        file = folder / _RUN_FILE
        if not file.exists():
            if folder.exists() and any(folder.iterdir()):
                raise ConfigError(f"{folder} is not empty, and holds no ensemble", remedy="give another folder")
            write_text(file, json.dumps(settings, indent=1) + "\n")
            return folder
        if not resume:
            raise ConfigError(f"{folder} holds an ensemble already", remedy="resume it, or give another folder")
        before = _read(file)
        changed = [name for name in settings if before.get(name) != settings[name]]
        if changed:
            raise ConfigError(
                f"the ensemble in {folder} was begun with other settings",
                expected=f"{changed[0]} = {before.get(changed[0])}",
                found=f"{changed[0]} = {settings[changed[0]]}",
                remedy="resume with the same settings and cells, or give another folder",
            )
        return folder

    def predict(self, perturbations: Sequence[str] | NDArray, *, context: Any = None) -> Prediction:
        """Mean of the members, with their spread; arguments and errors as of the model's ``predict``.

        Raises:
            ModelError: the ensemble was not fitted, or its members predict different genes.
        """
        if not self.members:
            raise ModelError("the ensemble was not fitted", remedy="call fit(train, graph) first")
        found = [member.predict(perturbations, context=context) for member in self.members]
        first = found[0]
        if any(not np.array_equal(one.genes, first.genes) for one in found):
            raise ModelError("the members predict different genes", remedy="train them on the same genes")
        values = np.stack([one.values for one in found]).astype(np.float64)
        within = [one.spread.astype(np.float64) ** 2 for one in found if one.spread is not None]
        own = sum(within) / len(found) if within else 0.0
        variance = self.variance_factor * values.var(axis=0, ddof=1) + own
        return Prediction(
            values.mean(axis=0).astype(np.float32),
            first.perturbations,
            first.genes,
            np.mean([one.support for one in found], axis=0).astype(np.float32),
            first.context,
            np.sqrt(variance).astype(np.float32),
        )

    @property
    def training_perturbations(self) -> frozenset[str]:
        """Names of the perturbations that a member learned from."""
        named = [getattr(member, "training_perturbations", frozenset()) for member in self.members]
        return frozenset().union(*named)

    @property
    def target_sum(self) -> float:
        """What counts of a cell are scaled to before log1p, in ensembles of models of cells.

        Raises:
            ModelError: the members do not agree, or know of none.
        """
        sums = {getattr(member, "target_sum", None) for member in self.members}
        if len(sums) != 1 or None in sums:
            raise ModelError("the members scale counts to no common sum", found=", ".join(map(str, sums)))
        return float(sums.pop())  # type: ignore[arg-type]

    def save(self, path: str | Path) -> Path:
        """Write a folder: of models of cells the members, of models of effects what they are fitted from again.

        Raises:
            ModelError: the ensemble was not fitted, or is one of models of effects that were fitted elsewhere.
            FileFormatError: the folder holds something other than a model.
        """
        from gnnvcell.models.uncertainty.ensemble_storage import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "Ensemble":
        """Read what ``save`` wrote. Members of effects are fitted, which gives the same bits.

        Raises:
            FileFormatError: no ensemble is there, a file is missing, or another version wrote it.
            ModelError: a file was changed or damaged.
        """
        from gnnvcell.models.uncertainty.ensemble_storage import load

        return load(path)


def _part(data: Any, names: NDArray) -> Any:
    """The rows of some perturbations, or their cells and all controls."""
    inside = np.isin(data.perturbations, names)
    if isinstance(data, EffectTable):
        return data.take(inside)
    return data.take_cells(data.is_control | np.append(inside, [False, False])[data.code])


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise FileFormatError(f"{file} is damaged", found=str(error), remedy="begin the ensemble elsewhere") from error
