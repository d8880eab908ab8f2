"""Whether a model's scores are probabilities, and how it scores where what the graph knows little of is left out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.folder import BenchFolder
from gnnvcell.bench.units import Units, unpack
from gnnvcell.metrics import per_gene_auroc, reliability

REAL = "real"
KEPT = tuple(round(share / 10, 1) for share in range(10, 1, -1))  # shares of the held-out perturbations


def reliability_table(folder: BenchFolder, *, bins: int = 10) -> pd.DataFrame:
    """Predicted probabilities against observed shares, of every model on every whole real graph.

    The pairs of all seeds are taken together.

    Returns:
        One row per bin: ``line, task, model, graph, bin, predicted, observed, pairs`` (over seeds), and of the arm
        ``error`` (expected calibration error) and ``outside`` (share of scores below 0 or above 1).

    Raises:
        FileFormatError: a run does not keep its scores pair by pair.
    """
    rows = []
    for where, units, runs in _arms(folder):
        scores = np.concatenate([unpack(run, "per_pair", "score", len(units.labels)) for run in runs])
        labels = np.array([digit == "1" for digit in units.labels])
        found = reliability(scores, np.tile(labels, len(runs)), bins=bins)
        rows += [
            {**where, "bin": place, "predicted": x, "observed": y, "pairs": n, "error": found.error,
             "outside": found.outside}
            for place, (x, y, n) in enumerate(zip(found.predicted, found.observed, found.count.tolist(), strict=True))
        ]  # fmt: skip
    return pd.DataFrame(rows)


def abstention_table(folder: BenchFolder) -> pd.DataFrame:
    """Per-gene AUROC when only the perturbations that the graph brought most support to are answered.

    Support is what each model states (``Prediction.support``); perturbations of equal support stay in the order of the
    labels' file. A smaller share has fewer genes with both labels among it.

    Returns:
        One row per share of ``KEPT``: ``line, task, model, graph, kept, perturbations, genes, auroc``, the mean over
        seeds.

    Raises:
        FileFormatError: a run does not keep its scores pair by pair.
    """
    rows = []
    for where, units, runs in _arms(folder):
        curves = [_abstention(run, units) for run in runs]
        for place, share in enumerate(KEPT):
            found = [curve[place] for curve in curves]
            names = ("perturbations", "genes", "auroc")
            rows.append({**where, "kept": share, **dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))})
    return pd.DataFrame(rows).astype({"perturbations": int}) if rows else pd.DataFrame()


def _arms(folder: BenchFolder) -> list[tuple[dict[str, str], Units, Sequence[dict[str, Any]]]]:
    """Every model on every whole real graph: where, what was scored, and its distinct runs."""
    found = []
    for (line, task), units in folder.units.items():
        for (model, graph, control), runs in folder.runs_of(line, task).items():
            if control == REAL and not is_part(graph):
                distinct = list({run["run"]: run for run in runs}.values())
                found.append(({"line": line, "task": task, "model": model, "graph": graph}, units, distinct))
    return found


def _abstention(run: dict[str, Any], units: Units) -> list[tuple[int, int, float]]:
    """Perturbations, scored genes and mean AUROC for every share that is kept."""
    predicted = units.dense(unpack(run, "per_pair", "score", len(units.labels)))
    support = unpack(run, "per_perturbation", "support", len(units.perturbations))
    order = np.argsort(-support, kind="stable")
    labels, measured = units.truth
    found = []
    for share in KEPT:
        rows = order[: max(1, round(share * len(order)))]
        auroc = per_gene_auroc(predicted[rows], labels[rows], measured[rows])
        found.append((len(rows), int(np.isfinite(auroc).sum()), _mean(auroc)))
    return found


def _mean(values: NDArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
