"""A finished benchmark on cells, read back from its folder alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_text, require_file

WHERE = ("model", "graph", "control")
ALL = "all"
_SCORES = "scores.csv"
_COLUMNS = (*WHERE, "split", "perturbation", "pearson_delta", "centred_pearson_delta", "mse_delta", "mse_of_no_change")
_AGAIN = "run the same `gnnvcell bench` command again: finished runs are kept"


@dataclass(frozen=True, eq=False)
class CellFolder:
    """What ``gnnvcell bench cells`` left.

    Args:
        path: the folder.
        scores: one row per (model, graph, control, split, perturbation).
        summary: means by stratum, with the split-half ceiling.
        published: scores as bio-JEPA publishes them.
        strata: name to held-out perturbations, "all" last.
        provenance: command, versions, digests.
    """

    path: Path
    scores: pd.DataFrame
    summary: pd.DataFrame
    published: pd.DataFrame
    strata: dict[str, list[str]]
    provenance: dict[str, Any]


def cell_folders(folder: str | Path) -> list[Path]:
    """The folder itself where it is one of a benchmark on cells, and those that a suite keeps in ``cells/``."""
    path = Path(folder)
    inside = sorted((path / "cells").iterdir()) if (path / "cells").is_dir() else []
    return [one for one in (path, *inside) if (one / _SCORES).is_file()]


def open_cell_folder(folder: str | Path) -> CellFolder:
    """Read the folder of a finished benchmark on cells.

    Raises:
        MissingFileError: a file of it is not there.
        FileFormatError: a file of it is damaged.
    """
    path = Path(folder)
    scores, summary, published = (_table(path / name) for name in (_SCORES, "summary.csv", "published.csv"))
    missing = [name for name in _COLUMNS if name not in scores]
    if missing or scores.empty:
        raise FileFormatError(
            f"{path / _SCORES} is damaged", expected=f"columns {', '.join(_COLUMNS)}", found=f"no {', '.join(missing)}",
            remedy=_AGAIN,
        )  # fmt: skip
    with open_text(require_file(path / "provenance.json")) as handle:
        text = handle.read()
    try:
        provenance = json.loads(text)
        strata = {str(name): [str(one) for one in names] for name, names in provenance.pop("strata").items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise FileFormatError(
            f"{path / 'provenance.json'} is damaged", expected="names and values, and strata", found=str(error),
            remedy=_AGAIN,
        ) from error  # fmt: skip
    everyone = list(dict.fromkeys(scores["perturbation"]))
    return CellFolder(path, scores, summary, published, {**strata, ALL: everyone}, provenance)


def _table(path: Path) -> pd.DataFrame:
    require_file(path)
    try:
        # A stratum is called "null", which pandas would take for a missing value.
        names: Any = dict.fromkeys((*WHERE, "perturbation", "stratum"), str)
        return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=["", "nan"])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is damaged", expected="CSV", found=str(error), remedy=_AGAIN) from error
