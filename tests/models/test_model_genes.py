import anndata as ad
import numpy as np
import pandas as pd

from gnnvcell.data.cells import Cells
from gnnvcell.models.model_genes import ModelGenes, columns_of


def screen() -> Cells:
    """Counts of 100 a cell: A 70, B 20 or 0, C 10 or 30, T 0; T is a target."""
    counts = np.array([[70, 20, 10, 0], [70, 0, 30, 0]] * 4, dtype=np.float32)
    obs = pd.DataFrame({"target_gene": ["ctrl"] * 4 + ["T"] * 4}, index=pd.Index(list("abcdefgh")))
    return Cells.of(ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(list("ABCT")))))


def test_the_most_expressed_genes_and_the_targets() -> None:
    cells = screen()
    assert ModelGenes.chosen(cells, predicted=1, by="expressed").predicted.tolist() == ["A", "T"]
    assert ModelGenes.chosen(cells, predicted=2, by="expressed").predicted.tolist() == ["A", "C", "T"]
    assert ModelGenes.chosen(cells, predicted=9, by="expressed").predicted.tolist() == list("ABCT")
    two = ModelGenes.chosen(cells, predicted=2, read=1, by="expressed")
    assert two.read is not None
    assert two.predicted[two.read].tolist() == ["A"]


def test_all_genes_where_no_number_is_given() -> None:
    found = ModelGenes.chosen(screen(), predicted=None, by="expressed")
    assert found.predicted.tolist() == list("ABCT")
    assert found.read is None


def test_places_of_genes() -> None:
    assert columns_of(np.array(list("ABC")), np.array(["C", "A"])).tolist() == [2, 0]
