from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.errors import DataError
from gnnvcell.tasks import UnseenPerturbation


def make_task(perturbations=("A", "B", "C", "D"), **options) -> UnseenPerturbation:
    table = EffectTable(
        [[1, 0], [0, 1], [1, 0], [0, 1]],
        np.ones((4, 2), bool),
        list(perturbations),
        ["X", "Y"],
        kind="de",
        split=["train", "train", "test", "test"],
        context="k562",
    )
    return UnseenPerturbation(table, **options)


def prediction(values, perturbations=("C", "D"), genes=("X", "Y")) -> Any:
    values = np.asarray(values, dtype=np.float32)
    return SimpleNamespace(
        values=values,
        perturbations=np.array(perturbations),
        genes=np.array(genes),
        support=np.arange(len(values), dtype=np.float32),
    )


def test_inputs_hold_no_truth() -> None:
    inputs = make_task().inputs()
    assert inputs.perturbations.tolist() == ["C", "D"]
    assert inputs.train.perturbations.tolist() == ["A", "B"]
    assert set(vars(inputs)) == {"train", "perturbations", "context"}
    assert inputs.context is None


def test_scores_follow_names_and_not_positions() -> None:
    task = make_task()
    right = prediction([[0.9, 0.1], [0.2, 0.8]])
    assert task.evaluate(right).metrics["per_gene_auroc"] == 1.0
    reordered = prediction([[0.8, 0.2], [0.1, 0.9]], ("D", "C"), ("Y", "X"))
    assert task.evaluate(reordered).metrics["per_gene_auroc"] == 1.0
    wrong = prediction([[0.1, 0.9], [0.8, 0.2]])
    assert task.evaluate(wrong).metrics["per_gene_auroc"] == 0.0


def test_details_by_perturbation_gene_and_support() -> None:
    scores = make_task().evaluate(prediction([[0.9, 0.1], [0.2, 0.8]]))
    assert scores.per_gene.loc["X"].tolist() == [1.0, 1, 1]
    assert scores.per_perturbation.loc["D", "support"] == 1.0
    assert scores.by_support["perturbations"].sum() == 2
    assert scores.metrics["genes_scored"] == 2


def test_leaks_and_gaps_are_refused() -> None:
    with pytest.raises(DataError, match="both learned from and held out"):
        make_task(perturbations=("A+B", "B", "B+A", "D"))
    with pytest.raises(DataError, match="cannot be both"):
        make_task(held_out="train")
    with pytest.raises(DataError, match="lacks 1 of 2 perturbations, 'D'"):
        make_task().evaluate(prediction([[0.9, 0.1]], ("C",)))
    with pytest.raises(DataError, match="lacks 1 of 2 genes"):
        make_task().evaluate(prediction([[0.9], [0.1]], genes=("X",)))
    with pytest.raises(DataError, match="NaN"):
        make_task().evaluate(prediction([[np.nan, 0.1], [0.2, 0.8]]))
