"""The model of a screen on the command line: a trained one from its folder, or a model of effects fitted at once."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnnvcell.cli.fields import add_field_arguments, fields_of

if TYPE_CHECKING:
    from gnnvcell.data.effects import EffectTable
    from gnnvcell.graphs.gene_graph import GeneGraph
    from gnnvcell.models.base import EffectPredictor


@dataclass(frozen=True, eq=False)
class ScreenModel:
    """What a screen works with.

    Args:
        model: predicts effects.
        graph: the graph that it was given on the command line; None where the folder of the model holds it.
        identity: what the model is, as digests.
    """

    model: "EffectPredictor"
    graph: "GeneGraph | None"
    identity: dict[str, str]


def add_model_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the model, and what a model of effects is fitted to."""
    verb.add_argument(
        "model",
        metavar="MODEL",
        help="folder of a trained model or run; or the name of a model of effects (propagation, knn, ridge ...), which "
        "is fitted to --data and --graph first",
    )
    verb.add_argument("--data", metavar="FILE", help="training effects (.h5ad of an effect table), or cells")
    verb.add_argument("--graph", metavar="DIR", help="a saved gene graph")
    verb.add_argument(
        "--hold-out", nargs="+", default=[], metavar="NAME", help="perturbations that the fit does not see"
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the fit (default: 0)")
    verb.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the fitted model, for example profiles.steps=3",
    )
    add_field_arguments(verb)


def model_of(arguments: argparse.Namespace) -> ScreenModel:
    """The model that the arguments name, loaded or fitted.

    Raises:
        ConfigError: neither a folder nor a name, or data or graph are missing.
    """
    from gnnvcell.errors import ConfigError, did_you_mean
    from gnnvcell.files import sha256_of
    from gnnvcell.graphs.gene_graph import GeneGraph
    from gnnvcell.models import MODELS
    from gnnvcell.models.loading import load
    from gnnvcell.models.model_folder import HEAD_FILE, MODEL_FOLDER

    graph = GeneGraph.load(arguments.graph) if arguments.graph else None
    folder = Path(arguments.model)
    if folder.is_dir():
        model = load(folder)
        head = folder / HEAD_FILE if (folder / HEAD_FILE).is_file() else folder / MODEL_FOLDER / HEAD_FILE
        return ScreenModel(model, graph, {"folder": sha256_of(head)})
    if arguments.model not in MODELS:
        raise ConfigError(
            f"{arguments.model} is neither the folder of a model nor the name of one",
            remedy=did_you_mean(arguments.model, MODELS),
        )
    if graph is None or arguments.data is None:
        raise ConfigError(
            f"{arguments.model} is fitted before it is used, and has nothing to learn from",
            expected="--data FILE and --graph DIR",
            remedy="give both, or the folder of a trained model",
        )
    return _fitted(arguments, graph)


def _fitted(arguments: argparse.Namespace, graph: "GeneGraph") -> ScreenModel:
    from gnnvcell.config import apply_overrides
    from gnnvcell.files import sha256_of
    from gnnvcell.models import MODELS

    kind = MODELS.get(arguments.model)
    config = kind.config_class.parse(apply_overrides({}, arguments.overrides))
    table = _without(_training(arguments), arguments.hold_out)
    model = kind(config).fit(table, graph, seed=arguments.seed)
    identity = {
        "name": arguments.model,
        "settings": config.digest(),
        "data": sha256_of(arguments.data),
        "held out": " ".join(arguments.hold_out),
        "graph": graph.digest,
        "seed": str(arguments.seed),
    }
    return ScreenModel(model, graph, identity)


def _training(arguments: argparse.Namespace) -> "EffectTable":
    """Training effects: a table of them, or those of cells, whichever the file holds."""
    import h5py

    from gnnvcell import keys
    from gnnvcell.data.cells import Cells
    from gnnvcell.data.effects import EffectTable
    from gnnvcell.data.pseudobulk import cell_effects
    from gnnvcell.files import require_file

    path = Path(arguments.data)
    if path.suffix == ".h5ad" and h5py.is_hdf5(require_file(path)):
        with h5py.File(path, "r") as file:
            if f"uns/{keys.EFFECT_KIND}" in file:
                return EffectTable.load(path)
    return cell_effects(Cells.open(path, fields_of(arguments)))


def _without(table: "EffectTable", names: list[str]) -> "EffectTable":
    import numpy as np

    from gnnvcell.errors import ConfigError, did_you_mean

    for name in names:
        if name not in table.perturbations:
            known = sorted(set(table.perturbations.tolist()))
            raise ConfigError(f"{name!r} of --hold-out is not in the data", remedy=did_you_mean(name, known))
    return table.take(~np.isin(table.perturbations, names))


def context_of(arguments: argparse.Namespace) -> Any:
    """The context to predict for: a name, or control cells where the argument is a file."""
    from gnnvcell.data.cells import Cells

    if arguments.context is None or not Path(arguments.context).exists():
        return arguments.context
    return Cells.open(arguments.context, fields_of(arguments))
