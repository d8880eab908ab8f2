"""Scores of single genes and perturbations, kept compactly: one text of numbers per run, the names once per table."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_text, write_text
from gnnvcell.tasks.unseen_perturbation import Scores

PER_GENE = ("auroc",)
PER_PERTURBATION = ("auroc", "influence", "support")
HELD_OUT = "test"


@dataclass(frozen=True)
class Units:
    """What the runs of one label table score.

    Args:
        genes: names, in the order of the scores.
        positives: of each gene, held-out perturbations with label 1.
        negatives: of each gene, those with label 0.
        perturbations: names of the held-out ones.
        pairs: of each, measured genes.
    """

    genes: list[str]
    positives: list[int]
    negatives: list[int]
    perturbations: list[str]
    pairs: list[int]

    @classmethod
    def of_table(cls, table: EffectTable) -> "Units":
        """The held-out part of a label table."""
        truth = table.of_split(HELD_OUT)
        labels = truth.values.astype(bool) & truth.measured
        positives, measured = labels.sum(axis=0), truth.measured.sum(axis=0)
        return cls(
            [str(name) for name in truth.genes],
            positives.tolist(),
            (measured - positives).tolist(),
            [str(name) for name in truth.perturbations],
            truth.measured.sum(axis=1).tolist(),
        )

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_text(path, json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Units":
        """Read what ``save`` wrote.

        Raises:
            FileFormatError: missing, or not such a file.
        """
        with open_text(path) as handle:
            text = handle.read()
        try:
            units = cls(**json.loads(text))
            sizes = {len(units.genes), len(units.positives), len(units.negatives)}
            if len(sizes) > 1 or len(units.perturbations) != len(units.pairs):
                raise ValueError("lists of different lengths")
        except (ValueError, TypeError) as error:
            raise FileFormatError(
                f"{path} is damaged",
                expected="names and counts of genes and perturbations",
                found=str(error),
                remedy="run the same `gnnvcell bench sources` command again: finished runs are kept",
            ) from error
        return units


def units_path(out_dir: str | Path, line: str, task: str) -> Path:
    """Where the names of a line's task are in a benchmark folder."""
    return Path(out_dir) / "units" / f"{line}-{task}.json"


def pack_scores(scores: Scores) -> dict[str, dict[str, str]]:
    """Scores of genes and perturbations for a run's record: each column one text, four digits, nan where undefined."""
    return {
        "per_gene": {name: pack(scores.per_gene[name]) for name in PER_GENE},
        "per_perturbation": {name: pack(scores.per_perturbation[name]) for name in PER_PERTURBATION},
    }


def pack(values: ArrayLike) -> str:
    """Numbers as one text, four digits each."""
    return " ".join(f"{value:.4g}" for value in np.asarray(values, dtype=np.float64))


def unpack(run: dict[str, Any], table: str, column: str, size: int) -> NDArray[np.float64]:
    """A column of a run's record.

    Args:
        run: record of a run.
        table: "per_gene", "per_perturbation".
        column: one of its columns.
        size: how many numbers there must be.

    Raises:
        FileFormatError: the record has none, or they are not numbers, or too many or too few.
    """
    remedy = "run the same `gnnvcell bench sources` command again"
    if column not in run.get(table, {}):
        raise FileFormatError(f"a run keeps no {column} in {table}", remedy=remedy)
    try:
        values = np.array(run[table][column].split(), dtype=np.float64)
    except ValueError as error:
        raise FileFormatError(f"{column} in {table} of a run is damaged", found=str(error), remedy=remedy) from error
    if len(values) != size:
        raise FileFormatError(
            f"{column} in {table} of a run is of other labels",
            expected=f"{size} numbers",
            found=f"{len(values)}",
            remedy=remedy,
        )
    return values
