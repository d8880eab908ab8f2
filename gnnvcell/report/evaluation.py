"""Evaluate a file of predicted cells against a file of real ones: scorers, tables, page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from gnnvcell.config import Config
from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import FieldsConfig, labels_in
from gnnvcell.data.splits import Split, load_split
from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.files import require_file
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.measured_neighbours import measured_neighbours
from gnnvcell.report.evaluation_page import write_evaluation_page
from gnnvcell.report.evaluation_tables import write_tables
from gnnvcell.report.stated_uncertainty import score_effects_file
from gnnvcell.tasks.cell_scores import CellScores
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.official.pair import official_cells, official_pairs
from gnnvcell.tasks.official.scores import OfficialScores
from gnnvcell.tasks.official.vcc2025 import Vcc2025Config, score_vcc2025
from gnnvcell.tasks.official.vcc2026 import Vcc2026Config, score_vcc2026
from gnnvcell.tasks.predicted_cells import PredictedCells, PredictedCellsConfig
from gnnvcell.tasks.uncertainty import UncertaintyScores

Scorer = Literal["ours", "vcc2025", "vcc2026"]
SUPPORT = "support"


class EvaluationConfig(Config):
    """What to evaluate, and how.

    Args:
        scorers: ours, vcc2025, vcc2026.
        train: file of training cells; its mean effect is the centre and the floor.
        split: split of the real cells (TOML, or CSV of ``Split.to_csv``); its training perturbations give the mean, and
            the held-out ones are scored, all of them and no others.
        part: held-out part of the split.
        dataset: name of the real cells in the split, where it has several.
        support: CSV with columns perturbation and support.
        graph: saved gene graph, to count the training perturbations it links to.
        cache: folder of what is known of the real cells; ``out/cache`` when left out.
        de_real: table of differential expression of the real cells.
        de_pred: the same of the prediction.
        uncertainty: file of the predicted effects with their spreads and intervals; scored by the same true effects.
        page: also draw figures and write the page.
        ours: settings of our scores.
        vcc2025: settings of cell-eval.
        vcc2026: settings of cell-eval2.
    """

    scorers: tuple[Scorer, ...] = ("ours",)
    train: Path | None = None
    split: Path | None = None
    part: Literal["val", "test"] = "test"
    dataset: str | None = None
    support: Path | None = None
    graph: Path | None = None
    cache: Path | None = None
    de_real: Path | None = None
    de_pred: Path | None = None
    uncertainty: Path | None = None
    page: bool = True
    ours: PredictedCellsConfig = PredictedCellsConfig()
    vcc2025: Vcc2025Config = Vcc2025Config()
    vcc2026: Vcc2026Config = Vcc2026Config()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found and where it is written.

    Args:
        page: evaluate.html; None where it was not asked for.
        ours: our scores, if they were asked for.
        official: scores of official scorers, one for each cell type.
        uncertainty: of the predicted effects, if a file of them was given.
    """

    page: Path | None
    ours: CellScores | None
    official: list[OfficialScores]
    uncertainty: UncertaintyScores | None = None


def evaluate_files(
    predicted: str | Path,
    real: str | Path,
    out: str | Path,
    *,
    fields: FieldsConfig | None = None,
    predicted_fields: FieldsConfig | None = None,
    config: EvaluationConfig | None = None,
    extras: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Evaluation:
    """Score predicted cells by one or more scorers, and write everything down.

    Args:
        predicted: file of predicted cells.
        real: file of real cells.
        out: folder of the results.
        fields: columns and labels of the real (and training) cells; found where they are not named.
        predicted_fields: those of the prediction; as of the real cells when left out.
        config: what to evaluate.
        extras: more provenance for the page, such as the command.
        progress: bars on stderr.

    Raises:
        DependencyError: an official scorer that was asked for is not installed.
        ConfigError: settings that exclude each other.
        FileFormatError, DataError: a file is missing or damaged, or what it holds cannot be scored.
    """
    config, out, fields = config or EvaluationConfig(), Path(out), fields or FieldsConfig()
    _check(config)
    truth = Cells.open(real, fields)
    guess = open_predicted(predicted, predicted_fields or fields)
    train = Cells.open(config.train, fields) if config.train else None
    cache = config.cache or out / "cache"
    parts = None if config.split is None else _parts(config, truth, fields)
    ours = None
    if "ours" in config.scorers:
        ours = _score_ours(guess, truth, train, parts, config, cache, progress)
    stated = None
    if config.uncertainty is not None and ours is not None:
        stated = score_effects_file(config.uncertainty, ours)
    official = _score_official(guess, truth, train, parts, config, out, cache, progress)
    provenance = {
        "prediction": str(predicted),
        "real": str(real),
        **_sizes("prediction", guess),
        **_sizes("real", truth),
        "settings": config.model_dump(mode="json", exclude_none=True),
        **(extras or {}),
    }
    write_tables(out, ours, official, provenance=provenance, uncertainty=stated)
    page = None
    if config.page:
        title = f"Evaluation of {Path(predicted).name}"
        page = write_evaluation_page(out, ours, official, title=title, extras=provenance, uncertainty=stated)
    return Evaluation(page, ours, official, stated)


def open_predicted(path: str | Path, fields: FieldsConfig) -> Cells:
    """Open predicted cells, which may lack what real ones have: control cells, batches, guides, doses, one cell type.

    Args:
        path: the file.
        fields: those of the real cells; columns and control label that the prediction does not have are passed over.

    Raises:
        FileFormatError, DataError, PerturbationError: as of ``Cells.open``.
    """
    whole = {name: getattr(fields, name) for name in ("perturbation", "gene_names", "layer", "unassigned")}
    cells = Cells.open(path, FieldsConfig(**whole))
    columns = {name: getattr(fields, name) for name in ("cell_type", "batch", "guide", "dose", "mode")}
    kept: dict[str, Any] = {name: value for name, value in columns.items() if value == "" or value in cells.obs}
    if fields.control in labels_in(pd.Series(cells.obs[cells.fields.perturbation])):
        kept["control"] = fields.control
    return Cells.open(path, FieldsConfig(**whole, **kept, perturbation_mode=fields.perturbation_mode))


def _check(config: EvaluationConfig) -> None:
    for first, second in (("train", "split"), ("support", "graph")):
        if getattr(config, first) and getattr(config, second):
            raise ConfigError(f"--{first} and --{second} exclude each other", remedy="give one of the two")
    if config.uncertainty is not None and "ours" not in config.scorers:
        raise ConfigError("--uncertainty is scored by our scorer, which was not asked for", remedy="--scorer ours")


def _parts(config: EvaluationConfig, truth: Cells, fields: FieldsConfig) -> NDArray:
    """(cells,) the part of each real cell in the split."""
    path = Path(str(config.split))
    split = Split.from_csv(path) if path.suffix == ".csv" else load_split(path, fields)
    return split.apply_to_cells(truth, dataset=config.dataset)


def _score_ours(
    guess: Cells,
    truth: Cells,
    train: Cells | None,
    parts: NDArray | None,
    config: EvaluationConfig,
    cache: Path,
    progress: bool,
) -> CellScores:
    task = PredictedCells(
        truth,
        train=train,
        parts=parts,
        part=config.part,
        support=_support(config, guess, truth, train, parts),
        tables=DETables(config.de_real, config.de_pred, cache),
        config=config.ours,
        progress=progress,
    )
    return task.evaluate(guess)


def _support(
    config: EvaluationConfig, guess: Cells, truth: Cells, train: Cells | None, parts: NDArray | None
) -> dict[str, float]:
    """Graph evidence by perturbation: from a file, counted in a graph, or as the prediction states it."""
    if config.support:
        return read_support(config.support)
    if config.graph:
        graph = GeneGraph.load(config.graph)
        measured = truth.perturbations if train is None else train.perturbations
        if train is None and parts is not None:
            measured = truth.perturbations[np.unique(truth.code[parts == "train"])]
        counts = measured_neighbours(graph, truth.perturbations, measured)
        return dict(zip(map(str, truth.perturbations), counts.astype(float).tolist(), strict=True))
    if SUPPORT in guess.obs:
        values = pd.Series(pd.to_numeric(guess.obs[SUPPORT], errors="coerce")).to_numpy(dtype=float)
        present = np.unique(guess.code[guess.code >= 0]).tolist()
        return {str(guess.perturbations[code]): float(np.nanmean(values[guess.code == code])) for code in present}
    return {}


def read_support(path: str | Path) -> dict[str, float]:
    """Perturbation to graph evidence, from a CSV file with the columns ``perturbation`` and ``support``.

    Raises:
        FileFormatError: missing, another format, a column is missing, or a value is no number.
    """
    path = require_file(path)
    try:
        table = pd.read_csv(path, dtype={"perturbation": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise FileFormatError(f"{path} is not a CSV file", found=str(error).splitlines()[0]) from error
    missing = [name for name in ("perturbation", SUPPORT) if name not in table]
    if missing:
        raise FileFormatError(
            f"{path} has no column {' or '.join(missing)}",
            expected="columns perturbation, support",
            found=", ".join(map(str, table.columns)),
        )
    values = np.asarray(pd.to_numeric(table[SUPPORT], errors="coerce"), dtype=np.float64)
    if not np.isfinite(values).all():
        wrong = np.asarray(table[SUPPORT], dtype=str)[~np.isfinite(values)]
        raise FileFormatError(f"{path}: support is no number", found=wrong[0])
    return dict(zip(table["perturbation"], values.tolist(), strict=True))


def _score_official(
    guess: Cells,
    truth: Cells,
    train: Cells | None,
    parts: NDArray | None,
    config: EvaluationConfig,
    out: Path,
    cache: Path,
    progress: bool,
) -> list[OfficialScores]:
    if train is None and parts is not None:
        train = truth.take_cells((parts == "train") | truth.is_control)
    held_out = None if parts is None else parts == config.part
    scorers = [scorer for scorer in config.scorers if scorer != "ours"]
    found = []
    for scorer in scorers:
        # cell-eval changes the matrices it is given, so every scorer gets its own.
        pairs = official_pairs(guess, truth, held_out=held_out)
        for pair in tqdm(pairs, desc=f"scoring by {scorer}", unit="cell type", disable=None if progress else True):
            folder = out / scorer / pair.context if len(pairs) > 1 else out / scorer
            tables = DETables(config.de_real, config.de_pred, cache)
            if scorer == "vcc2025":
                cells = None if train is None else official_cells(train, pair)
                found.append(score_vcc2025(pair, folder, config=config.vcc2025, train=cells, tables=tables))
            else:
                kept = cache / scorer
                found.append(score_vcc2026(pair, folder, config=config.vcc2026, cache=kept, tables=tables))
    return found


def _sizes(what: str, cells: Cells) -> dict[str, str]:
    controls = int(cells.is_control.sum())
    size = f"{len(cells.code):,} cells ({controls:,} controls) x {len(cells.genes):,} genes"
    return {f"{what} holds": f"{size}, {len(cells.perturbations):,} perturbations, {cells.values.value}"}
