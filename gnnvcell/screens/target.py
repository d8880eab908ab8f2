"""Target screen: which perturbations of a gallery carry cells from a source to a goal."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.errors import ModelError
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.perturbation import Perturbation
from gnnvcell.screens.doubles import best_pairs
from gnnvcell.screens.gallery import checked_gallery
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.parts import Parts, identity_of
from gnnvcell.screens.predicting import BATCH, genes_of, predictions
from gnnvcell.screens.result import ScreenResult, abstained_table, best_first
from gnnvcell.screens.wanted import Measure, Scores, Wanted

GALLERY, DOUBLE = "gallery", "double"


class TargetConfig(Config):
    """Settings of a target screen.

    Args:
        measure: what is ranked by: "cosine" or "pearson" of predicted and wanted change, or "distance", the share of
            the way to the goal that is done (which heeds how strong an effect is).
        centred: take the mean predicted effect of the gallery off predictions and goal first, so that what is common to
            all perturbations does not count.
        doubles: number of pairs that the model predicts and that are ranked too; 0 for none. They are the best by the
            sum of the predicted effects of their parts, among all pairs of the best ``doubles_from`` of one target.
        doubles_from: see ``doubles``.
        support_above: candidates with this support or less are named apart and not ranked. Below 0, all are ranked.
        batch: perturbations that are predicted at a time.
    """

    measure: Measure = "cosine"
    centred: bool = False
    doubles: int = Field(default=0, ge=0)
    doubles_from: int = Field(default=500, ge=2)
    support_above: float = 0.0
    batch: int = Field(default=BATCH, ge=1)


def target_screen(
    model: EffectPredictor,
    goal: Goal,
    gallery: Iterable[str],
    *,
    context: Any = None,
    config: TargetConfig | None = None,
    keep_in: str | Path | None = None,
    model_key: str = "",
    progress: bool = False,
) -> ScreenResult:
    """Rank all perturbations of a gallery, and pairs of them, by how near they bring cells to a goal.

    A candidate's own targets do not count in its score: that a knocked-down gene goes down is no discovery. Ties stand
    in the order of the gallery.

    Args:
        model: any model of effects.
        goal: the wanted change.
        gallery: names of perturbations, singles or combinations.
        context: the cell type of the source, as the model's ``predict`` takes it.
        config: settings.
        keep_in: folder for finished parts, from which an interrupted screen goes on; None keeps nothing.
        model_key: identity of the model, so that the parts of another one are not taken for its own.
        progress: bars on stderr.

    Returns:
        ``table``: rank, perturbation, kind ("gallery" or "double"), score, score_sd, cosine, pearson, remaining, size
        (see ``Scores``), additive_score (of doubles) and support. ``abstained``: those without support.

    Raises:
        PerturbationError: an empty gallery, a name that cannot be read, or a control.
        DataError: the goal and the model share too few genes.
        ConfigError: a distance to a signature, or a centred signature.
        ModelError: no candidate has support.

    Example:
        >>> found = target_screen(model, Goal.of_signature(["CDKN1A", "MDM2", "BAX"]), genes)  # doctest: +SKIP
        >>> found.table.head(5)  # doctest: +SKIP
    """
    cfg, names = config or TargetConfig(), checked_gallery(gallery)
    wanted = Wanted.of(goal, genes_of(model, names[0], context=context).genes)
    coverage = wanted.coverage()
    ask = _Question(model, context, cfg, progress)
    centre = ask.mean_effect(names, wanted) if cfg.centred else None
    if centre is not None:
        wanted = wanted.centred(centre)
    key = [model_key, str(context), goal.digest(), identity_of(centre), cfg.measure]
    parts = Parts(keep_in, key)
    singles = ask.scored(names, wanted, centre, parts, GALLERY)
    supported = best_first(singles.iloc[np.flatnonzero(singles["support"] > cfg.support_above)], "score")
    if supported.empty:
        raise ModelError(
            f"the model has no support for any of the {len(names)} candidates",
            found=", ".join(names[:5]),
            remedy="name them as graph and training do; support_above=-1 ranks them all the same",
        )
    table = supported
    if cfg.doubles:
        alone = [name for name in supported["perturbation"] if len(Perturbation.parse(name).targets) == 1]
        best = alone[: cfg.doubles_from]
        effects = ask.effects(best, wanted)
        pairs = best_pairs(effects, best, wanted, centre, cfg.measure, cfg.doubles, known=names)
        if len(pairs):
            doubles = ask.scored(pairs["perturbation"].tolist(), wanted, centre, parts, DOUBLE)
            doubles["additive_score"] = pairs["additive_score"].to_numpy()
            doubles = doubles.iloc[np.flatnonzero(doubles["support"] > cfg.support_above)]
            both: Any = pd.concat([supported.drop(columns="rank"), doubles], ignore_index=True)
            table = best_first(both, "score")
    about = {
        "goal": goal.name,
        "goal_digest": goal.digest(),
        **coverage,
        "model": model_key or type(model).__name__,
        "context": ask.context_name,
        "gallery": len(names),
        "settings": cfg.model_dump(mode="json"),
    }
    silent = abstained_table(singles["perturbation"].to_numpy(), singles["support"].to_numpy(), cfg.support_above)
    return ScreenResult("target", table, silent, about)


class _Question:
    """A model in a context, asked for parts of a gallery."""

    def __init__(self, model: EffectPredictor, context: Any, config: TargetConfig, progress: bool) -> None:
        self._model, self._context, self._config, self._progress = model, context, config, progress
        self.context_name = ""

    def _predicted(self, names: Sequence[str], what: str) -> Iterator[Prediction]:
        for found in predictions(
            self._model,
            names,
            context=self._context,
            batch=self._config.batch,
            what=what,
            progress=self._progress,
        ):
            self.context_name = found.context
            yield found

    def mean_effect(self, names: Sequence[str], wanted: Wanted) -> NDArray[np.float64]:
        """(wanted genes,) mean predicted effect of the candidates with support."""
        total, count = np.zeros(len(wanted.genes)), 0
        for found in self._predicted(names, "mean effect"):
            used = found.support > self._config.support_above
            total += found.values[used][:, wanted.columns].sum(axis=0)
            count += int(used.sum())
        return total / max(count, 1)

    def effects(self, names: Sequence[str], wanted: Wanted) -> NDArray[np.float32]:
        """(perturbations, wanted genes) predicted effects."""
        parts = [found.values[:, wanted.columns] for found in self._predicted(names, "effects of singles")]
        return np.concatenate([np.zeros((0, len(wanted.genes)), dtype=np.float32), *parts])

    def scored(
        self, names: Sequence[str], wanted: Wanted, centre: NDArray | None, parts: Parts, kind: str
    ) -> pd.DataFrame:
        """A row for each perturbation, part by part; finished parts are read, the others predicted."""
        size = self._config.batch
        batches = [list(names[start : start + size]) for start in range(0, len(names), size)]
        kept = [parts.get(batch) for batch in batches]
        missing = [name for batch, table in zip(batches, kept, strict=True) if table is None for name in batch]
        fresh = self._predicted(missing, f"scoring {kind}")
        found = []
        for batch, table in zip(batches, kept, strict=True):
            if table is None:
                table = parts.put(batch, self._rows(next(fresh), batch, wanted, centre, kind))
            found.append(table)
        next(fresh, None)  # the bar ends
        return pd.concat(found, ignore_index=True)

    def _rows(
        self, found: Prediction, names: list[str], wanted: Wanted, centre: NDArray | None, kind: str
    ) -> pd.DataFrame:
        values = found.values[:, wanted.columns].astype(np.float64) - (0.0 if centre is None else centre)
        spread = None if found.spread is None else found.spread[:, wanted.columns]
        scores = wanted.scores(values, names, measure=self._config.measure, spread=spread)
        return score_rows(scores, names, found.support, kind)


def score_rows(scores: Scores, names: Sequence[str], support: NDArray, kind: str) -> pd.DataFrame:
    """Scores as the table of a target screen has them, unranked."""
    return pd.DataFrame(
        {
            "perturbation": list(names),
            "kind": kind,
            "score": scores.score,
            "score_sd": scores.score_sd,
            "cosine": scores.cosine,
            "pearson": scores.pearson,
            "remaining": scores.remaining,
            "size": scores.size,
            "additive_score": np.nan,
            "support": np.asarray(support, dtype=np.float64),
        }
    )
