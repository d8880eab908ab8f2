import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.controls import empty
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.plot import (
    PALETTE,
    ccdf,
    coverage,
    degree_distributions,
    jaccard,
    relation_styles,
    save_plots,
    source_overlap,
)

GENES = 80


def table(relation: str, pairs: NDArray, *, term: bool = False) -> EdgeTable:
    genes, terms = np.array([f"G{i}" for i in range(GENES)]), np.array([f"T{i}" for i in range(GENES)])
    weight = np.ones(len(pairs), np.float32)
    if term:
        etype = (keys.GENE, relation, keys.GO_TERM)
        return EdgeTable(etype, pairs[:, 0], pairs[:, 1], weight, genes, terms, directed=True)
    return EdgeTable((keys.GENE, relation, keys.GENE), pairs[:, 0], pairs[:, 1], weight, genes, genes)


def random_pairs(seed: int, count: int) -> NDArray[np.int64]:
    every = np.array(list(itertools.combinations(range(GENES), 2)))
    return every[np.random.default_rng(seed).choice(len(every), count, replace=False)]


def make(relations: dict[str, int], terms: dict[str, int] | None = None) -> GeneGraph:
    tables = [table(name, random_pairs(i, count)) for i, (name, count) in enumerate(relations.items())]
    tables += [table(name, random_pairs(50 + i, n), term=True) for i, (name, n) in enumerate((terms or {}).items())]
    names = {keys.GO_TERM: np.array([f"T{i}" for i in range(GENES)])} if terms else {}
    return GeneGraph.from_tables(tables, GeneVocab([f"G{i}" for i in range(GENES)]), names)


@pytest.fixture(scope="module")
def graph() -> GeneGraph:
    return make({"string": 500, "scgpt": 120, "coexpressed": 900}, {"annotated_bp": 700})


def test_ccdf_by_hand() -> None:
    values, shares = ccdf(np.array([1, 1, 1, 2, 5, 5, 9, 1]))
    assert values.tolist() == [1, 2, 5, 9]
    assert shares.tolist() == [1.0, 0.5, 3 / 8, 1 / 8]


def test_jaccard_is_that_of_the_sets(graph: GeneGraph) -> None:
    def pairs(relation: str) -> set[tuple[int, int]]:
        edges = graph.table(relation)
        return set(zip(edges.src.tolist(), edges.dst.tolist(), strict=True))

    found = jaccard(graph.info().overlap)
    for one, other in itertools.product(("string", "scgpt", "coexpressed"), repeat=2):
        expected = len(pairs(one) & pairs(other)) / len(pairs(one) | pairs(other))
        assert found.loc[one, other] == pytest.approx(expected)


def test_jaccard_of_disjoint_and_empty_sets() -> None:
    one, two = table("a", np.array([[0, 1]])), table("b", np.array([[2, 3]]))
    none = table("c", np.zeros((0, 2), dtype=np.int64))
    graph = GeneGraph.from_tables([one, two, none], GeneVocab([f"G{i}" for i in range(GENES)]))
    found = jaccard(graph.info().overlap)
    assert found.loc["a", "b"] == 0
    assert found.loc["a", "a"] == 1
    assert np.isnan(found.loc["c", "c"])


def test_degree_curves_are_the_degrees(graph: GeneGraph) -> None:
    figure = degree_distributions(graph)
    assert [axes.get_title(loc="left").split(" with")[0] for axes in figure.axes] == ["genes", "GO terms"]
    curves = {str(line.get_label()).split(" ")[0]: line for line in figure.axes[0].lines}
    assert set(curves) == set(graph.relations)
    degree = np.asarray((graph.adjacency("string", weighted=False)).sum(1)).ravel()
    x, y = np.asarray(curves["string"].get_xdata()), np.asarray(curves["string"].get_ydata())
    assert x.max() == degree.max()
    for value, share in zip(x, y, strict=True):
        assert share == pytest.approx((degree >= value).sum() / (degree > 0).sum())
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


def widths(axes: Any) -> list[float]:
    return [bar.get_width() for bar in axes.patches]


def test_coverage_bars_are_the_table(graph: GeneGraph) -> None:
    figure = coverage(graph.info())
    info = graph.info().table
    left, right = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert dict(zip(names, widths(left), strict=True)) == pytest.approx(info["gene_coverage"].to_dict())
    assert dict(zip(names, widths(right), strict=True)) == info["edges"].to_dict()


def test_overlap_shows_every_number(graph: GeneGraph) -> None:
    info = graph.info()
    figure = source_overlap(info)
    shown = [text.get_text() for text in figure.axes[1].texts]
    assert figure.axes[0].texts[1].get_text() == f"{jaccard(info.overlap).iat[0, 1]:.2f}"
    assert shown == [f"{value:.2f}" for value in np.asarray(info.gene_overlap, dtype=float).ravel()]


def title_boxes(figure: Any) -> list[Any]:
    titles = [axes._left_title.get_window_extent() for axes in figure.axes if axes.get_title(loc="left")]
    return titles + [part._suptitle.get_window_extent() for part in figure.subfigs if part._suptitle]


MANY = {f"source_{i}_functional_interaction": 50 + 90 * i for i in range(9)}


@pytest.mark.parametrize("relations", [{"string": 500}, MANY], ids=["one", "nine"])
def test_texts_stay_inside_and_labels_do_not_overlap(relations: dict[str, int]) -> None:
    graph = make(relations, {"annotated_bp": 300})
    for figure in (degree_distributions(graph), source_overlap(graph.info()), coverage(graph.info())):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn = figure.get_tightbbox(canvas.get_renderer())
        width, height = figure.get_size_inches()
        assert min(drawn.x0, drawn.y0) > -0.01
        assert drawn.x1 < width + 0.01
        assert drawn.y1 < height + 0.01
        for axes in figure.axes:
            labels = [label for label in axes.get_yticklabels() if label.get_text()]
            rows = sorted((box.y0, box.y1) for box in (label.get_window_extent() for label in labels))
            assert all(low[1] <= high[0] + 1 for low, high in itertools.pairwise(rows))
        titles = title_boxes(figure)
        assert len(titles) >= 1
        assert not any(one.overlaps(other) for one, other in itertools.combinations(titles, 2))


def test_no_two_of_many_relations_look_alike() -> None:
    styles = relation_styles([f"r{i}" for i in range(28)])
    assert len({(style["color"], style["linestyle"]) for style in styles.values()}) == 28


def test_no_state_of_pyplot_is_touched(graph: GeneGraph) -> None:
    before = dict(Gcf.figs)
    degree_distributions(graph)
    source_overlap(graph.info())
    coverage(graph.info())
    assert dict(Gcf.figs) == before


def test_colours_can_be_told_apart_by_everyone() -> None:
    """Under simulated deuteranopia and protanopia (Machado et al. 2009) every two colours keep a distance."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in PALETTE])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    deuteranopia = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    protanopia = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])
    for matrix in (np.eye(3), deuteranopia, protanopia):
        seen = np.clip(linear @ matrix.T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(len(seen), 1)]
        assert distances.min() > 0.15


def test_pngs_are_written(graph: GeneGraph, tmp_path: Path) -> None:
    paths = save_plots(graph, tmp_path / "plots")
    assert [path.name for path in paths] == ["degrees.png", "overlap.png", "coverage.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == sorted(path.name for path in paths)


def test_an_empty_graph_has_nothing_to_plot(graph: GeneGraph) -> None:
    with pytest.raises(EmptyGraphError, match="no edges to plot"):
        degree_distributions(empty(graph, seed=0))


def test_a_graph_without_gene_relations_is_refused() -> None:
    terms = np.array(["T0", "T1"])
    one = np.array([0])
    is_a = EdgeTable(
        (keys.GO_TERM, "is_a", keys.GO_TERM), one, one + 1, np.ones(1, np.float32), terms, terms, directed=True
    )
    graph = GeneGraph.from_tables([is_a], GeneVocab(["A"]), {keys.GO_TERM: terms})
    with pytest.raises(EmptyGraphError, match="no relation of the graph has genes"):
        coverage(graph.info())
    with pytest.raises(EmptyGraphError, match="no relation of the graph has genes"):
        source_overlap(graph.info())
    assert [axes.get_title(loc="left").split(" with")[0] for axes in degree_distributions(graph).axes] == ["GO terms"]
