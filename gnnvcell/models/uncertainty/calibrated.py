"""CalibratedModel: a model that knows how wrong it is, by validation perturbations or by leaving training ones out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.config import digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import EffectModel, EffectPredictor, Prediction
from gnnvcell.models.uncertainty.conformal import Calibration, ConformalConfig, Intervals, Over
from gnnvcell.models.uncertainty.ensemble import Ensemble
from gnnvcell.models.uncertainty.residuals import Residuals, residuals_of


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """A fitted model with its calibration; an ``EffectPredictor`` whose ``spread`` is that of its errors.

    Args:
        model: the model.
        calibration: from residuals of that model.

    Example:
        >>> calibrated = calibrate(model, validation)  # doctest: +SKIP
        >>> intervals = calibrated.intervals(["STAT1"], 0.9)  # doctest: +SKIP
        >>> intervals.lower, intervals.upper  # doctest: +SKIP
    """

    model: EffectPredictor
    calibration: Calibration

    def predict(self, perturbations: Sequence[str] | NDArray, *, context: Any = None) -> Prediction:
        """As of the model, with the standard deviation of its error."""
        found = self.model.predict(perturbations, context=context)
        return replace(found, spread=self.calibration.spread(found))

    def intervals(
        self,
        perturbations: Sequence[str] | NDArray,
        level: float = 0.9,
        *,
        over: Over | None = None,
        context: Any = None,
    ) -> Intervals:
        """Intervals of a level; see ``Calibration.intervals``."""
        return self.calibration.intervals(self.model.predict(perturbations, context=context), level, over=over)


def calibrate(
    model: EffectPredictor,
    truth: EffectTable,
    config: ConformalConfig | None = None,
    *,
    contexts: Mapping[str, Any] | None = None,
    trained: Collection[str] | None = None,
) -> CalibratedModel:
    """Calibrate a fitted model on validation perturbations: never those of training, and never those of the test.

    Args:
        model: fitted.
        truth: measured effects of validation perturbations, at least ``perturbations_needed(level)`` of them.
        config: settings.
        contexts, trained: as of ``residuals_of``.

    Raises:
        ModelError: a perturbation was trained on, or as of ``Residuals.of`` and ``ErrorScale.fit``.
    """
    return CalibratedModel(model, Calibration(residuals_of(model, truth, contexts=contexts, trained=trained), config))


def cross_calibrate(
    make: Callable[[], EffectModel | Ensemble],
    train: EffectTable,
    graph: GeneGraph,
    config: ConformalConfig | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
    progress: bool = False,
) -> CalibratedModel:
    """Fit a model to all training perturbations, and calibrate it by leaving a fold of them out at a time.

    For want of validation perturbations: the residuals are those of models that were fitted without the fold, and have
    learned from fewer perturbations than the model that is kept. Intervals are then a little wide rather than narrow,
    but without the guarantee of ``calibrate`` [Barber et al., Ann. Stat. 2021, section 3].

    Args:
        make: makes a new model of effects, such as ``Knn``, or an ensemble of such.
        train: training effects.
        graph: the gene graph.
        config: settings.
        folds: parts of the training perturbations, two or more.
        seed: of the models. A perturbation's fold follows from its name and the seed.
        progress: a bar on stderr.

    Raises:
        ModelError: fewer perturbations than folds or fewer than two folds, or what the model's fit refuses.
    """
    names = sorted(set(train.perturbations.tolist()), key=lambda name: digest_of([seed, name]))
    if not 2 <= folds <= len(names):
        raise ModelError(
            f"{len(names)} training perturbations cannot be left out in {folds} folds",
            expected="two or more folds, each with a perturbation",
        )
    parts, contexts = [], {name: name for name in train.context_names}
    for k in tqdm(range(folds), desc="leaving out", unit="fold", disable=None if progress else True):
        inside = np.isin(train.perturbations, names[k::folds])
        model = make().fit(train.take(~inside), graph, seed=seed)
        parts.append(residuals_of(model, train.take(inside), contexts=contexts))
    return CalibratedModel(make().fit(train, graph, seed=seed), Calibration(Residuals.joined(parts), config))
