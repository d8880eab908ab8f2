"""``gnnvcell predict``: cells under perturbations, or their effects with intervals, by a trained model."""

import argparse
from typing import TYPE_CHECKING, Any

from gnnvcell.cli.fields import add_field_arguments, fields_of

if TYPE_CHECKING:
    from gnnvcell.data.cells import Cells


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "predict",
        help="predict cells under perturbations, seen or not, by a trained model",
        description="Begin from the control cells of DATA and write what they become, with the controls beside them; "
        "gnnvcell evaluate takes the file as it is. With --output effects, write the change of each gene instead, with "
        "its uncertainty.",
    )
    verb.add_argument(
        "models",
        nargs="+",
        metavar="RUN",
        help="folder of a training run, or of a model; several, with different seeds, are an ensemble",
    )
    verb.add_argument("data", metavar="DATA", help=".h5ad or .zarr with control cells")
    verb.add_argument(
        "--perturbations",
        nargs="+",
        metavar="NAME",
        help="names (A, A+B, A|CRISPRa), or one file with a name on each line (default: those of DATA)",
    )
    verb.add_argument("--out", required=True, metavar="FILE", help=".h5ad or .zarr to write; of effects also .csv")
    verb.add_argument("--context", nargs="+", metavar="NAME", help="cell types to predict for (default: all of DATA)")
    verb.add_argument("--cells", type=int, default=256, metavar="N", help="cells of each perturbation (default: 256)")
    verb.add_argument(
        "--output",
        default="log1p",
        choices=("log1p", "counts", "effects"),
        help="log1p: what the network makes of control cells (default); counts: whole numbers, control cells changed "
        "until their mean is the predicted one; effects: mean change of each gene, a row for each perturbation",
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of counts (default: 0)")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    add_field_arguments(verb)
    group = verb.add_argument_group("uncertainty of effects (--output effects)")
    group.add_argument(
        "--intervals",
        type=float,
        metavar="LEVEL",
        help="intervals that hold the true change of a gene with this probability, such as 0.9; needs --calibrate",
    )
    group.add_argument(
        "--calibrate",
        metavar="FILE",
        help="real cells of perturbations that were not trained on, with controls: they say how wrong the model is",
    )
    group.add_argument(
        "--min-support",
        type=float,
        default=0.0,
        metavar="N",
        help="perturbations with less evidence in the graph are named as abstained, not predicted (default: 0, none)",
    )
    verb.set_defaults(run=run_predict)


def run_predict(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell predict``."""
    from gnnvcell.data.cells import Cells

    _check(arguments)
    model = _model(arguments.models)
    cells = Cells.open(arguments.data, fields_of(arguments))
    cells.require_controls()
    names = _names(arguments.perturbations, cells)
    contexts = _contexts(cells, arguments.context)
    if arguments.output == "effects":
        return _effects(model, names, contexts, arguments)
    if arguments.output == "counts":
        path = _counts(model, names, contexts, arguments)
    else:
        path = model.predict_cells(
            arguments.out, names, contexts=contexts, cells=arguments.cells, progress=not arguments.quiet
        )
    print(f"{len(names)} perturbations in {len(contexts)} cell types: {path}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Options that do not go together."""
    from pathlib import Path

    from gnnvcell.errors import ConfigError
    from gnnvcell.models.uncertainty.predicted_effects import FORMATS

    asked = [name for name in ("intervals", "calibrate", "min_support") if getattr(arguments, name)]
    if arguments.output != "effects":
        if asked:
            flag = "--" + asked[0].replace("_", "-")
            raise ConfigError(f"{flag} is of effects, and cells are written", remedy="--output effects")
        if len(arguments.models) > 1 and arguments.output == "log1p":
            raise ConfigError(
                "several models make no cells together", remedy="give one, or choose --output counts or effects"
            )
    elif Path(arguments.out).suffix not in FORMATS:
        raise ConfigError(f"effects cannot be written as {arguments.out!r}", expected=" or ".join(FORMATS))
    if arguments.intervals is not None and arguments.calibrate is None:
        raise ConfigError(
            "intervals need to know how wrong the model is",
            remedy="--calibrate FILE, with real cells of perturbations that it was not trained on",
        )


def _model(folders: list[str]) -> Any:
    """The model, or the ensemble of several."""
    from gnnvcell.models.loading import load
    from gnnvcell.models.uncertainty.ensemble import Ensemble

    models = [load(folder) for folder in folders]
    return models[0] if len(models) == 1 else Ensemble.of(models)


def _effects(model: Any, names: list[str], contexts: list["Cells"], arguments: argparse.Namespace) -> int:
    """Write effects, and say of which perturbations there are none."""
    from gnnvcell.models.uncertainty.predicted_effects import predicted_effects

    if arguments.calibrate is not None:
        model = _calibrated(model, arguments)
    found = predicted_effects(
        model, names, contexts=contexts, level=arguments.intervals, min_support=arguments.min_support
    )
    path = found.save(arguments.out)
    print(f"{len(names)} perturbations in {len(contexts)} cell types: {path}")
    if found.abstained.any():
        out = list(dict.fromkeys(found.perturbations[found.abstained].tolist()))
        print(f"abstained, for want of support in the graph: {', '.join(out)}")
    return 0


def _calibrated(model: Any, arguments: argparse.Namespace) -> Any:
    """The model with its errors on the perturbations of ``--calibrate``."""
    from gnnvcell.data.cells import Cells
    from gnnvcell.data.pseudobulk import cell_effects
    from gnnvcell.models.uncertainty.calibrated import calibrate

    cells = Cells.open(arguments.calibrate, fields_of(arguments))
    cells.require_controls()
    truth = cell_effects(cells, target_sum=model.target_sum, progress=not arguments.quiet)
    contexts = dict(zip(truth.context_names, _contexts(cells, truth.context_names), strict=True))
    return calibrate(model, truth, contexts=contexts)


def _names(given: list[str] | None, cells: "Cells") -> list[str]:
    """Names of the command line, of a file, or of the data."""
    from pathlib import Path

    from gnnvcell.errors import ConfigError
    from gnnvcell.files import read_names

    if given is None:
        names = cells.perturbations.tolist()
    elif len(given) == 1 and Path(given[0]).is_file():
        names = read_names(given[0])
    else:
        names = given
    if not names:
        raise ConfigError("there is no perturbation to predict", remedy="name some: --perturbations A B+C")
    return list(dict.fromkeys(names))


def _contexts(cells: "Cells", wanted: list[str] | None) -> list["Cells"]:
    """The control cells of each cell type."""
    import numpy as np

    from gnnvcell.errors import DataError, did_you_mean

    known = cells.contexts[np.unique(cells.context_code[cells.is_control])].tolist()
    for name in wanted or ():
        if name not in known:
            raise DataError(f"no control cell is of the cell type {name!r}", remedy=did_you_mean(name, known))
    place = {str(name): code for code, name in enumerate(cells.contexts)}
    return [cells.take_cells(cells.is_control & (cells.context_code == place[name])) for name in (wanted or known)]


def _counts(model: Any, names: list[str], contexts: list["Cells"], arguments: argparse.Namespace) -> Any:
    from gnnvcell.data.emission import EmissionConfig, emit_to
    from gnnvcell.errors import ConfigError

    if len(contexts) != 1:
        raise ConfigError(
            "counts are written for one cell type at a time", found=f"{len(contexts)}", remedy="choose one: --context"
        )
    config = EmissionConfig(cells=arguments.cells, target_sum=model.target_sum, seed=arguments.seed)
    prediction = model.predict(names, context=contexts[0])
    return emit_to(arguments.out, prediction, contexts[0], config, progress=not arguments.quiet)
