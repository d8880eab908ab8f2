from typing import Any

import numpy as np
import pytest

from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.training.cells import joined_cells, read_cells
from gnnvcell.training.config import DataConfig

from .conftest import GENES, TARGETS, screen


def test_a_split_gives_training_and_validation_cells_of_all_files(files) -> None:
    train, held_out = read_cells(DataConfig(split=str(files / "split.toml")))
    assert held_out is not None
    assert train.contexts.tolist() == held_out.contexts.tolist() == ["a", "b"]
    assert train.perturbations.tolist() == TARGETS[:5]
    assert held_out.perturbations.tolist() == ["P5"]
    assert int(train.is_control.sum()) == int(held_out.is_control.sum()) == 48
    assert train.genes.tolist() == GENES
    both: list[Any] = [screen("a", 0)[:, GENES].X, screen("b", 1, genes=GENES[::-1])[:, GENES].X]
    expected = np.vstack([values.toarray() for values in both])
    labels = np.tile(screen("a", 0).obs["target_gene"], 2)
    kept = np.isin(labels, ["non-targeting", *TARGETS[:5]])
    np.testing.assert_array_equal(train.take(np.arange(len(train))).toarray(), expected[kept])


def test_one_file_needs_no_split(files) -> None:
    train, held_out = read_cells(DataConfig(cells=str(files / "one.h5ad")))
    assert (len(train), held_out) == (120, None)
    train, held_out = read_cells(DataConfig(cells=str(files / "one.h5ad"), validation=str(files / "three.h5ad")))
    assert held_out is not None
    assert held_out.contexts.tolist() == ["c"]


def test_files_that_do_not_fit_each_other() -> None:
    first, other = Cells.of(screen("a", 0)), screen("b", 1)
    with pytest.raises(DataError, match="lack 1 of 20 genes, 'R3' first"):
        joined_cells([first, Cells.of(other[:, other.var_names != "R3"].copy())])
    other.X = other.X.log1p()  # type: ignore[union-attr]
    with pytest.raises(DataError, match="values of different kinds"):
        joined_cells([first, Cells.of(other)])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "either split"),
        ({"split": "a.toml", "cells": "b.h5ad"}, "and not both"),
        ({"split": "a.toml", "validation": "b.h5ad"}, "its own validation part"),
        ({"splits": "a.toml"}, "did you mean 'split'"),
    ],
)
def test_bad_settings(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig.parse(values)
