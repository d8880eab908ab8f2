"""What runs score, kept compactly: one text of numbers per column and run, the names and labels once per table."""

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from functools import cached_property
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
PER_PAIR = ("score",)
HELD_OUT, TRAIN = "test", "train"
_STEPS = 65535  # of a score between the lowest and the highest of its run
_AGAIN = "run the same `gnnvcell bench sources` command again"


@dataclass(frozen=True)
class Units:
    """What the runs of one label table score.

    Args:
        genes: names, in the order of the scores.
        positives: of each gene, held-out perturbations with label 1.
        negatives: of each gene, those with label 0.
        perturbations: names of the held-out ones.
        pairs: of each, measured genes.
        gene_of_pair: the gene of each measured pair, perturbation by perturbation.
        labels: of each pair, one digit.
        train: names of the training perturbations.
    """

    genes: list[str]
    positives: list[int]
    negatives: list[int]
    perturbations: list[str]
    pairs: list[int]
    gene_of_pair: list[int]
    labels: str
    train: list[str]

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
            np.nonzero(truth.measured)[1].tolist(),
            "".join("1" if label else "0" for label in labels[truth.measured]),
            [str(name) for name in table.of_split(TRAIN).perturbations],
        )

    @cached_property
    def truth(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(held-out, genes) labels, and which pairs were measured."""
        labels = self.dense(np.array([digit == "1" for digit in self.labels], dtype=bool))
        return labels, self.dense(np.ones(len(self.labels), dtype=bool))

    def dense(self, values: NDArray) -> NDArray:
        """(held-out, genes) values of the measured pairs, 0 elsewhere."""
        table = np.zeros((len(self.perturbations), len(self.genes)), dtype=values.dtype)
        table[np.repeat(np.arange(len(self.pairs)), self.pairs), self.gene_of_pair] = values
        return table

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
            pairs = {sum(units.pairs), len(units.gene_of_pair), len(units.labels)}
            if len(sizes) > 1 or len(pairs) > 1 or len(units.perturbations) != len(units.pairs):
                raise ValueError("lists of different lengths")
        except (ValueError, TypeError) as error:
            raise FileFormatError(
                f"{path} is damaged",
                expected="names and counts of genes and perturbations",
                found=str(error),
                remedy=f"{_AGAIN}: finished runs are kept",
            ) from error
        return units


def units_path(out_dir: str | Path, line: str, task: str) -> Path:
    """Where the names of a line's task are in a benchmark folder."""
    return Path(out_dir) / "units" / f"{line}-{task}.json"


def kept_columns(*, pairs: bool) -> list[str]:
    """What the record of a run keeps beside its metrics: part of the run's key, so that older records are made anew."""
    columns = {"per_gene": PER_GENE, "per_perturbation": PER_PERTURBATION, "per_pair": PER_PAIR if pairs else ()}
    return [f"{table} {column}" for table, names in columns.items() for column in names]


def pack_scores(scores: Scores, *, pairs: bool) -> dict[str, dict[str, str]]:
    """Scores for a run's record, each column one text.

    Args:
        scores: of the run.
        pairs: whether to keep the predicted score of every measured pair, of which strata, calibration and the page's
            explorer are made: two bytes each.

    Returns:
        Table to column to text: numbers of genes and perturbations with four digits, nan where undefined.
    """
    packed = {
        "per_gene": {name: pack(scores.per_gene[name]) for name in PER_GENE},
        "per_perturbation": {name: pack(scores.per_perturbation[name]) for name in PER_PERTURBATION},
    }
    return {**packed, "per_pair": {"score": pack_steps(scores.predicted)}} if pairs else packed


def pack_steps(values: ArrayLike) -> str:
    """Numbers as one text: the lowest, the highest, and in base 64 the place of each between them in 65,535 steps."""
    found = np.asarray(values, dtype=np.float64)
    low, high = float(found.min(initial=np.inf)), float(found.max(initial=-np.inf))
    steps = np.rint((found - low) / max(high - low, 1e-300) * _STEPS).astype("<u2")
    return f"{low!r} {high!r} {base64.b64encode(steps.tobytes()).decode()}"


def pack(values: ArrayLike) -> str:
    """Numbers as one text, four digits each."""
    return " ".join(f"{value:.4g}" for value in np.asarray(values, dtype=np.float64))


def unpack(run: dict[str, Any], table: str, column: str, size: int) -> NDArray[np.float64]:
    """A column of a run's record.

    Args:
        run: record of a run.
        table: "per_gene", "per_perturbation", "per_pair".
        column: one of its columns.
        size: how many numbers there must be.

    Raises:
        FileFormatError: the record has none, or they are not numbers, or too many or too few.
    """
    if column not in run.get(table, {}):
        raise FileFormatError(f"a run keeps no {column} in {table}", remedy=_AGAIN)
    try:
        text = run[table][column]
        values = _steps(text) if table == "per_pair" else np.array(text.split(), dtype=np.float64)
    except (ValueError, binascii.Error) as error:
        raise FileFormatError(f"{column} in {table} of a run is damaged", found=str(error), remedy=_AGAIN) from error
    if len(values) != size:
        raise FileFormatError(
            f"{column} in {table} of a run is of other labels",
            expected=f"{size} numbers",
            found=f"{len(values)}",
            remedy=_AGAIN,
        )
    return values


def _steps(text: str) -> NDArray[np.float64]:
    low, high, steps = text.split(" ")
    share = np.frombuffer(base64.b64decode(steps, validate=True), dtype="<u2") / _STEPS
    return float(low) + share * (float(high) - float(low))
