"""Few-shot tuning: a trained model is adapted to a few cells of a context that it has not seen."""

from pathlib import Path

from gnnvcell.data.cells import Cells
from gnnvcell.fitting import FitConfig, FitResult, add_adapters, fit, freeze, merge_adapters
from gnnvcell.models.state_transition import StateTransition
from gnnvcell.training.config import TuningConfig


def tune(
    model: StateTransition,
    cells: Cells,
    validation: Cells | None,
    config: TuningConfig,
    training: FitConfig,
    *,
    out_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> FitResult:
    """Adapt a model to cells, in place; afterwards it is a model of the same form, with adapters merged.

    Args:
        model: a fitted model.
        cells: perturbed cells and controls of the context, with the genes of the model.
        validation: the same, of perturbations that are not tuned on; None for none.
        config: what may change.
        training: settings of training; few steps and a small learning rate, as there are few cells.
        out_dir, resume, progress: as of ``fit``.

    Raises:
        ConfigError: a pattern that fits no part of the model, or as of ``fit``.
        DataError: cells that lack genes of the model, or have no controls.
        ModelError: the model was not fitted.
    """
    network = model.network
    network.requires_grad_(True)
    if config.adapters is not None:
        add_adapters(network, config.adapters)
    elif config.freeze:
        freeze(network, config.freeze)
    try:
        loader = model.loader(cells, seed=training.seed)
        validating = model.loader(validation, seed=training.seed) if validation is not None else None
        return fit(network, loader, validating, config=training, out_dir=out_dir, resume=resume, progress=progress)
    finally:
        merge_adapters(network)
        network.requires_grad_(True).eval()
