"""An ensemble on disk: the folders of its members, or the training effects and the graph that they are fitted from."""

from pathlib import Path
from typing import Any

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.cell_model import CELL_MODELS
from gnnvcell.models.model_folder import ModelFormat, read_head, write_model
from gnnvcell.models.uncertainty.ensemble import Ensemble, EnsembleConfig

FORMAT = ModelFormat("gnnvcell-ensemble", 1, "Ensemble(...).fit(train, graph).save(FOLDER)")
_EFFECTS, _GRAPH = "effects.h5ad", "graph"


def save(ensemble: Ensemble, path: str | Path) -> Path:
    """See ``Ensemble.save``."""
    learned, of_cells = ensemble.learned, ensemble.config.model in CELL_MODELS
    if not ensemble.members:
        raise ModelError("the ensemble was not fitted", remedy="call fit(train, graph) first")
    if learned is None and not of_cells:
        raise ModelError(
            "models of effects are stored as what they learned from, which an ensemble of given models does not know",
            remedy="fit the ensemble itself: Ensemble(config).fit(train, graph)",
        )

    def fill(folder: Path) -> None:
        if learned is None:
            members: list[Any] = ensemble.members
            for k, member in enumerate(members):
                member.save(folder / f"member-{k}")
        else:
            learned.train.save(folder / _EFFECTS)
            learned.graph.save(folder / _GRAPH)

    head = {
        "config": ensemble.config.model_dump(mode="json"),
        "seed": None if learned is None else learned.seed,
        "variance_factor": ensemble.variance_factor,
    }
    return write_model(path, FORMAT, head, fill)


def load(path: str | Path) -> Ensemble:
    """See ``Ensemble.load``."""
    folder, head = read_head(path, FORMAT)
    ensemble = Ensemble(EnsembleConfig.parse(head["config"], where=str(folder)))
    if head["seed"] is not None:
        return ensemble.fit(EffectTable.load(folder / _EFFECTS), GeneGraph.load(folder / _GRAPH), seed=head["seed"])
    kind: Any = CELL_MODELS.get(ensemble.config.model)
    ensemble.members = [kind.load(folder / f"member-{k}") for k in range(ensemble.config.members)]
    ensemble.variance_factor = head["variance_factor"]
    return ensemble
