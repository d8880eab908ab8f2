"""TrainConfig: all that a training run is made of."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from gnnvcell.config import Config
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.fitting.adapters import AdapterConfig
from gnnvcell.fitting.config import FitConfig


class DataConfig(Config):
    """Where the cells are.

    Args:
        split: split in cell-load's TOML, which names the files; or
        cells: one .h5ad or .zarr file, all of whose cells are trained on.
        validation: a file of validation cells, beside ``cells``; a split has its own.
        folder: where relative paths of the split's data sets begin.
        fields: columns of the files; found by their usual names when left out.
    """

    split: str | None = None
    cells: str | None = None
    validation: str | None = None
    folder: str = "."
    fields: FieldsConfig = FieldsConfig()

    @model_validator(mode="after")
    def _one_source(self) -> "DataConfig":
        if (self.split is None) == (self.cells is None):
            raise ValueError("either split (TOML of cell-load) or cells (a file), and not both")
        if self.split is not None and self.validation is not None:
            raise ValueError("no validation file beside a split, which has its own validation part")
        return self


class FeatureFile(Config):
    """A file of features.

    Args:
        path: .pt, .npz, .parquet, .csv, .tsv or .h5 (``gnnvcell.features.read_features``).
        index: of a .pt with one tensor: the file that says which row a name has.
    """

    path: str
    index: str | None = None


class TuningConfig(Config):
    """How a trained model is adapted to the cells of a new context, instead of training a new one.

    Args:
        run: folder of the run that trained the model, or of the model.
        adapters: train low-rank adapters of linear layers only; or
        freeze: patterns of parameters or modules that stay, such as "transformer". Without either, all weights move.
    """

    run: str
    adapters: AdapterConfig | None = None
    freeze: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> "TuningConfig":
        if self.adapters is not None and self.freeze:
            raise ValueError("adapters leave everything else frozen already: give adapters or freeze")
        return self


class TrainConfig(Config):
    """Settings of ``gnnvcell train``.

    Args:
        data: where the cells are.
        model: "name" (default: "state_transition"), "preset", and the settings of the model.
        graph: folder of a saved gene graph, or a recipe (.toml) to build one from.
        source_dir: folder of the recipe's files.
        features: "esm" and "compound" to files of features.
        gene_sets: GMT file for the pathway layer of a JEPA; the graph's pathways when left out.
        fit: settings of training; of a JEPA those of where it is carried out, since each stage has its own
            (``model.pretrain``, ``model.action``, ``model.decode``).
        init_from: checkpoint of another run, whose weights are taken over by name and shape.
        tuning: adapt a trained model instead; ``model``, ``graph``, ``features`` and ``init_from`` are then its own.
    """

    data: DataConfig
    model: dict[str, Any] = Field(default_factory=dict)
    graph: str | None = None
    source_dir: str | None = None
    features: dict[str, FeatureFile] = Field(default_factory=dict)
    gene_sets: str | None = None
    fit: FitConfig = FitConfig()
    init_from: str | None = None
    tuning: TuningConfig | None = None

    @field_validator("features", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"path": given} if isinstance(given, str) else given for name, given in value.items()}

    @field_validator("model")
    @classmethod
    def _not_the_fit(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "training" in value:
            raise ValueError("settings of training stand under [fit], not in [model]")
        return value

    @model_validator(mode="after")
    def _tunes_or_trains(self) -> "TrainConfig":
        if self.tuning is not None:
            own = ("model", "graph", "features", "gene_sets", "init_from")
            given = [name for name in own if getattr(self, name)]
            if given:
                raise ValueError(f"a tuned model brings its own {given[0]}: leave it out")
        return self
