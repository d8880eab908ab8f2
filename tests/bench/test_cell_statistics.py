import json
from math import erfc, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnvcell.bench.cell_folder import cell_folders, open_cell_folder
from gnnvcell.bench.cell_statistics import cell_statistics
from gnnvcell.bench.cells import summarise_cells
from gnnvcell.bench.published import compare_published
from gnnvcell.errors import DataError, FileFormatError, MissingFileError
from gnnvcell.metrics import PUBLISHED

ARMS = [("knn", "g", "real"), ("knn", "g", "rewired"), ("knn", "g", "permuted"), ("no_change", "-", "real")]
ERRORS = {"real": 1e-3, "rewired": 3e-3, "permuted": 5e-3}
STRATA = {"strong": ["A", "B"], "null": ["C", "D"]}


def make_cell_folder(path: Path, *, splits: int = 3) -> Path:
    """A benchmark on cells of four perturbations, without running one: errors by control, r that rises by split."""
    rows = []
    for model, graph, control in ARMS:
        for split in range(splits):
            for place, name in enumerate("ABCD"):
                error = 8e-3 if model == "no_change" else ERRORS[control] * (1 + 0.1 * place)
                r = (
                    0.0
                    if model == "no_change"
                    else {"real": 0.8, "rewired": 0.5, "permuted": 0.0}[control] + 0.01 * split
                )
                scores = {"pearson_delta": r, "centred_pearson_delta": r - 0.1, "mse_delta": error}
                scores |= {"mse_of_no_change": 8e-3, "amplitude_ratio": 1.0, "centred_retrieval": 0.9 - 0.1 * place}
                scores |= {"centred_pds_cosine": 0.7, "pairs": 64, **dict.fromkeys(PUBLISHED, 0.5)}
                rows.append({"perturbation": name, **scores, "split": split, "model": model, "graph": graph,
                             "control": control, "seconds": 1.0})  # fmt: skip
    table = pd.DataFrame(rows)
    ceiling = table[table["model"] == "no_change"].assign(mse_delta=5e-4, centred_pearson_delta=0.9)
    path.mkdir(parents=True)
    table.to_csv(path / "scores.csv", index=False)
    summarise_cells(table, STRATA, ceiling).to_csv(path / "summary.csv", index=False)
    compare_published(table).to_csv(path / "published.csv", index=False)
    told = {"command": "gnnvcell bench cells x.h5ad", "graphs": {"g": "0" * 8}, "strata": STRATA}
    (path / "provenance.json").write_text(json.dumps(told))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_cell_folder(tmp_path / "out")


def test_scores_and_differences_by_hand(folder: Path) -> None:
    found = cell_statistics(open_cell_folder(folder)).set_index(["kind", "stratum", "score", "model", "against"])
    row = found.loc[("score", "strong", "mse_delta", "knn", "")]
    assert row["value"] == pytest.approx(1.05e-3)
    assert (row["perturbations"], row["splits"]) == (2, 3)
    assert (row["floor"], row["ceiling"]) == pytest.approx((5.25e-3, 5e-4))
    assert row["of_ceiling"] == pytest.approx((1.05e-3 - 5.25e-3) / (5e-4 - 5.25e-3))
    control = found.loc[("control", "all", "mse_delta", "knn", "rewired")]
    assert control["value"] == pytest.approx(-2e-3 * 1.15)
    assert (control["perturbations_above"], control["perturbations_below"]) == (0, 4)
    assert control["low"] <= control["value"] <= control["high"] < 0
    assert control["p"] == pytest.approx(erfc(abs(control["value"]) / control["sd"] / sqrt(2)))
    model = found.loc[("model", "null", "centred_pearson_delta", "knn", "no_change")]
    assert model["value"] == pytest.approx(0.81)
    assert model["graph"] == "g"
    none = found.loc[("score", "all", "mse_delta", "no_change", "")]
    assert none["floor"] == pytest.approx(8e-3)  # its graph has no permuted one: that of no change
    assert found.loc[("score", "all", "pearson_delta", "no_change", ""), "floor"] == 0.0
    # A correlation of 0 as the ceiling, no better than the floor: no room between them.
    assert np.isnan(found.loc[("score", "all", "pearson_delta", "knn", ""), "of_ceiling"])
    assert found.loc[("score", "null", "mse_delta", "knn", ""), "ceiling"] == pytest.approx(5e-4)


def test_intervals_hold_the_variance_of_perturbations_and_of_draws(folder: Path) -> None:
    bench = open_cell_folder(folder)
    found = cell_statistics(bench, draws=20000).set_index(["kind", "stratum", "score", "model", "against"])
    errors = 1e-3 * np.array([1.0, 1.1, 1.2, 1.3])  # the same for every draw of the controls
    assert found.loc[("score", "all", "mse_delta", "knn", ""), "sd"] == pytest.approx(errors.std() / 2, rel=0.03)
    by_split = 0.8 + 0.01 * np.arange(3)  # the same for every perturbation
    sd = found.loc[("score", "all", "pearson_delta", "knn", ""), "sd"]
    assert sd == pytest.approx(by_split.std(ddof=1) / sqrt(3), rel=0.03)
    # What two arms share is not in their difference.
    assert found.loc[("control", "all", "pearson_delta", "knn", "rewired"), "sd"] == pytest.approx(0, abs=1e-9)


def test_a_score_that_is_not_known_is_left_out(folder: Path) -> None:
    scores = pd.read_csv(folder / "scores.csv").assign(centred_retrieval=np.nan)
    scores.to_csv(folder / "scores.csv", index=False)
    assert "centred_retrieval" not in set(cell_statistics(open_cell_folder(folder))["score"])


def test_folders(folder: Path, tmp_path: Path) -> None:
    assert cell_folders(folder) == [folder]
    assert cell_folders(tmp_path) == []
    inside = make_cell_folder(tmp_path / "suite" / "cells" / "papalexi")
    assert cell_folders(tmp_path / "suite") == [inside]
    scores = pd.read_csv(folder / "scores.csv")
    scores.iloc[1:].to_csv(folder / "scores.csv", index=False)
    with pytest.raises(DataError, match=r"has not the perturbations and draws of the others"):
        cell_statistics(open_cell_folder(folder))
    scores.drop(columns="split").to_csv(folder / "scores.csv", index=False)
    with pytest.raises(FileFormatError, match=r"scores.csv is damaged[^$]*found: no split"):
        open_cell_folder(folder)
    (folder / "scores.csv").write_text("")
    with pytest.raises(FileFormatError, match=r"scores.csv is empty"):
        open_cell_folder(folder)
    scores.to_csv(folder / "scores.csv", index=False)
    (folder / "provenance.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"provenance.json is damaged"):
        open_cell_folder(folder)
    (folder / "summary.csv").unlink()
    with pytest.raises(MissingFileError, match=r"no file .*summary.csv"):
        open_cell_folder(folder)
