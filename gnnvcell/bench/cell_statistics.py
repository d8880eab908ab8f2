"""What a benchmark on cells shows: scores, real against control graphs, model against model; in strata, with intervals.

==========  ============================================================================================  ====
kind        value                                                                                         null
==========  ============================================================================================  ====
score       an arm's mean over perturbations and draws of the control cells                               none
control     real minus control graph, same model                                                          0
model       one model minus another, same whole real graph, or one of them without a graph                0
==========  ============================================================================================  ====

Of errors (``mse_delta``) a negative difference is the better one.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.bench.cell_folder import CellFolder
from gnnvcell.bench.cells import CEILING, NO_GRAPH
from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.contrasts import Estimate, Where, drawn_counts, holm, seed_weights, sign_test
from gnnvcell.bench.sources import REAL
from gnnvcell.errors import DataError
from gnnvcell.metrics import rescaled

SCORES = ("mse_delta", "centred_pearson_delta", "pearson_delta", "centred_retrieval")
ERRORS = ("mse_delta",)  # the lower the better
PERMUTED = "permuted"
_NO_CHANGE = "mse_of_no_change"
_Terms = tuple[str, str, str, str, dict[Where, float]]  # kind, model, graph, against, arm to weight


def cell_statistics(folder: CellFolder, *, draws: int = 2000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """Every comparison that the arms allow, in every stratum.

    A bootstrap draws perturbations and draws of the control cells with replacement, both at once; differences are
    paired by both. Over a handful of perturbations an interval is a rough one, and over one it holds the draws alone.

    Args:
        folder: a finished benchmark.
        draws: of the bootstrap.
        seed: of the draws.
        level: of the intervals.

    Returns:
        One row per comparison: ``kind, stratum, score, model, graph, against``; ``value, low, high, sd``; ``p`` and
        ``p_holm`` of differences (normal; corrected over the kind); ``splits, splits_above, splits_below,
        splits_sign_p``; ``perturbations, perturbations_above, perturbations_below, perturbations_sign_p``. Of scores on
        real graphs ``floor``, ``ceiling`` and ``of_ceiling``, the score with 0 at the floor and 1 at the ceiling: the
        floor is the same model's score on permuted graphs where these were run, else that of predicting no change (0
        for correlations, .5 for retrieval); the ceiling is half of a perturbation's cells as a prediction of the rest.
        NaN where the floor is as good as the ceiling, as it is for perturbations without an effect.

    Raises:
        DataError: an arm lacks a perturbation or a draw that others have.
    """
    arms = _arms(folder.scores)
    weights = seed_weights(draws, len(folder.scores["split"].unique()), seed=seed)
    rows = []
    for stratum, names in folder.strata.items():
        rng = np.random.default_rng([seed, crc32(stratum.encode())])
        drawn = drawn_counts(rng, draws, len(names)) / len(names)
        for score in SCORES:
            values = {where: _matrix(table, score, names) for where, table in arms.items()}
            for kind, model, graph, against, terms in _comparisons(values):
                mean = sum(weight * values[where] for where, weight in terms.items())
                estimate = _estimate(np.asarray(mean), weights, drawn)
                place = {"kind": kind, "stratum": stratum, "score": score, "model": model, "graph": graph}
                rows.append({**place, "against": against, **_numbers(kind, estimate, level)})
    frame = pd.DataFrame(rows)
    corrected = frame.groupby("kind")["p"].transform(lambda p: pd.Series(holm(p.to_numpy()), index=p.index))
    frame.insert(frame.columns.get_loc("p") + 1, "p_holm", corrected)  # type: ignore[arg-type]
    return _between_floor_and_ceiling(frame, folder)


def _arms(scores: pd.DataFrame) -> dict[Where, pd.DataFrame]:
    """Model, graph and control to their scores, checked to have the same perturbations and draws."""
    arms: dict[Where, pd.DataFrame] = {}
    for where, table in scores.groupby(["model", "graph", "control"], sort=False):
        arms[tuple(where)] = table.set_index(["split", "perturbation"]).sort_index()  # type: ignore[index, misc]
    first = next(iter(arms.values())).index
    for where, table in arms.items():
        if not table.index.equals(first):
            raise DataError(
                f"{', '.join(where)} has not the perturbations and draws of the others",
                expected=f"{len(first)} rows",
                found=f"{len(table)} rows",
                remedy="run the same `gnnvcell bench` command again",
            )
    return arms


def _matrix(table: pd.DataFrame, score: str, names: list[str]) -> NDArray[np.float64]:
    """(splits, perturbations) of a score."""
    column: Any = table[score]
    return column.unstack("perturbation")[names].to_numpy(dtype=np.float64)


def _comparisons(values: Mapping[Where, NDArray]) -> Iterator[_Terms]:
    known = [where for where, found in values.items() if np.isfinite(found).all()]
    for model, graph, control in known:
        yield "score", model, graph, "" if control == REAL else control, {(model, graph, control): 1.0}
    for model, graph, control in known:
        real = (model, graph, REAL)
        if control != REAL and real in known:
            yield "control", model, graph, control, {real: 1.0, (model, graph, control): -1.0}
    whole = [where for where in known if where[2] == REAL and not is_part(where[1])]
    for one, other in combinations(whole, 2):
        if one[1] == other[1] or NO_GRAPH in (one[1], other[1]):
            graph = next((where[1] for where in (one, other) if where[1] != NO_GRAPH), NO_GRAPH)
            yield "model", one[0], graph, other[0], {one: 1.0, other: -1.0}


def _estimate(values: NDArray, weights: NDArray, drawn: NDArray) -> Estimate:
    """Of (splits, perturbations) values."""
    draws = (weights * (drawn @ values.T)).sum(axis=1)
    return Estimate(float(values.mean()), draws, values.mean(axis=1), values.mean(axis=0), 0.0, values.shape[1])


def _numbers(kind: str, found: Estimate, level: float) -> dict[str, Any]:
    low, high = found.interval(level)
    numbers = {"value": found.value, "low": low, "high": high, "sd": found.sd, "p": float("nan")}
    numbers |= {"splits": len(found.by_seed), "perturbations": found.perturbations}
    if kind == "score":
        return numbers
    numbers["p"] = found.p
    for name, values in (("splits", found.by_seed), ("perturbations", found.by_unit)):
        above, below, p = sign_test(values, 0.0)
        numbers |= {f"{name}_above": above, f"{name}_below": below, f"{name}_sign_p": p}
    return numbers


def _between_floor_and_ceiling(frame: pd.DataFrame, folder: CellFolder) -> pd.DataFrame:
    """Columns ``floor``, ``ceiling`` and ``of_ceiling`` of scores on real graphs."""
    rows = frame.to_dict(orient="records")
    permuted = {_arm(row): row["value"] for row in rows if (row["kind"], row["against"]) == ("score", PERMUTED)}
    tops: Any = folder.summary[folder.summary["model"] == CEILING].set_index("stratum")
    bounds = []
    for row in rows:
        if (row["kind"], row["against"]) != ("score", ""):
            bounds.append((float("nan"),) * 3)
            continue
        stratum, score = row["stratum"], row["score"]
        floor = permuted.get(_arm(row), _no_change(folder, stratum, score))
        ceiling = float(tops[score].get(stratum, float("nan"))) if score in tops else float("nan")
        share = rescaled({score: row["value"]}, {score: floor}, {score: ceiling})[score]
        room = ceiling < floor if score in ERRORS else ceiling > floor
        bounds.append((floor, ceiling, share if room else float("nan")))
    return frame.assign(**dict(zip(("floor", "ceiling", "of_ceiling"), zip(*bounds, strict=True), strict=True)))


def _arm(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("stratum", "score", "model", "graph"))


def _no_change(folder: CellFolder, stratum: str, score: str) -> float:
    """The score of predicting that nothing changes."""
    if score in ERRORS:
        inside: Any = folder.scores[folder.scores["perturbation"].isin(folder.strata[stratum])]
        return float(inside.drop_duplicates(["split", "perturbation"])[_NO_CHANGE].mean())
    return 0.5 if score == "centred_retrieval" else 0.0
