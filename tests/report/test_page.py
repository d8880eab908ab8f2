import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnvcell.errors import DataError
from gnnvcell.graphs.info import GraphInfo
from gnnvcell.report.charts import NARROW, WIDE, controls_chart, sources_chart
from gnnvcell.report.page import write_page
from gnnvcell.report.scores import read_scores, read_support
from gnnvcell.report.tables import findings, score_tables

SCORES = {"smoother": 0.75, "knn": 0.65}
SHARE = {"real": 1.0, "rewired": 0.2, "permuted": 0.0}


def records(
    *, graphs: tuple[str, ...] = ("world",), seeds: int = 2, tasks: tuple[str, ...] = ("de", "dir")
) -> list[dict[str, Any]]:
    """Scores that spread by seed on controls, and not on the real graph."""
    found = []
    for graph in graphs:
        for task in tasks:
            for model, score in SCORES.items():
                for control, share in SHARE.items():
                    for seed in range(seeds):
                        wobble = 0.0 if control == "real" else 0.02 * (seed - 0.5)
                        value = 0.5 + (score - 0.5) * share + wobble
                        where = {"line": "sim", "task": task, "model": model, "graph": graph, "control": control}
                        found.append(
                            {**where, "seed": seed, "metric": "per_gene_auroc", "value": value, "seconds": 1.5}
                        )
                        found.append({**where, "seed": seed, "metric": "micro_auroc", "value": 0.99, "seconds": 1.5})
    return found


def info() -> GraphInfo:
    row = {"source": "string_db", "src_type": "gene", "dst_type": "gene", "edges": 1234, "gene_coverage": 0.5}
    table = pd.DataFrame(
        [{**row, "degree_median": 3.0, "degree_max": 40.0}], index=pd.Index(["string"], name="relation")
    )
    return GraphInfo("tiny", {"gene": 100}, 50, "d" * 64, table, pd.DataFrame(), pd.DataFrame())


def runs() -> list[dict[str, Any]]:
    strata = [{"perturbations": 20, "per_gene_auroc": value} for value in (0.55, 0.6, 0.7, 0.8)]
    return [
        {"line": "sim", "task": "de", "model": "knn", "graph": "world", "control": control, "by_support": strata}
        for control in ("real", "rewired")
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    some = records(graphs=("world", "world/string_db"))
    folder = tmp_path_factory.mktemp("page")
    return write_page(
        folder,
        some,
        title="<b>T</b>",
        intro="a < b & c",
        graph_info=info(),
        strata=runs(),
        extras={"command": "<script>", "nested": {"k": [1, 2]}},
    )


class Reader(HTMLParser):
    """Everything that a browser would load, and whether the tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [str(values[key]) for key in ("src", "href", "xlink:href") if key in values]
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_that_loads_nothing(page: Path) -> None:
    assert page.name == "index.html"
    text = page.read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert all(link.startswith("#") for link in reader.loaded)
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{name}" for name in reader.ids}
    assert {link[1:] for link in reader.loaded} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert not re.search(r"<script|@import|<link", text)


def test_numbers_of_the_records_stand_in_the_table() -> None:
    table = score_tables(records())[0]
    assert table.caption == "sim: differential expression (graph: world)"
    assert list(table.header) == ["model", "real", "rewired", "permuted", "real − rewired", "seconds"]
    best, second = table.rows
    assert best[0] == "smoother"
    cells = [(cell.text, cell.small, cell.best) for cell in best[1:4]]  # type: ignore[union-attr]
    # 0.5 + 0.25 * 0.2 -+ 0.01: the mean, and the standard deviation of two values 0.02 apart.
    spread = f"± {0.02 / np.sqrt(2):.3f}"
    assert cells == [("0.750", None, True), ("0.550", spread, False), ("0.500", spread, False)]
    assert best[4:] == ["+0.200", "1.5"]
    assert not any(cell.best for cell in second[1:4])  # type: ignore[union-attr]


def test_findings_name_the_best_model_and_its_controls() -> None:
    first, second = findings(records())
    assert first == (
        "sim: differential expression: smoother on world scores 0.750, 0.550 on rewired graphs and 0.500 on permuted "
        "graphs; chance is .5."
    )
    assert "direction of change" in second


def test_every_figure_is_written_as_png_and_svg_and_stands_in_the_page(page: Path) -> None:
    text, plots = page.read_text(), page.parent / "plots"
    names = sorted(path.name for path in plots.iterdir())
    assert names == [f"{name}.{kind}" for name in ("controls", "sources", "support") for kind in ("png", "svg")]
    for name in names:
        content = (plots / name).read_bytes()
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert text.count("<svg role=") == 6  # each once for a desk and once for a phone
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        ET.fromstring(svg)


def test_figures_take_the_colours_of_the_page(page: Path) -> None:
    svg = re.findall(r"<svg.*?</svg>", page.read_text(), flags=re.DOTALL)[0]
    assert "currentColor" in svg
    colours = set(re.findall(r"#[0-9a-f]{6}", re.sub(r'(id|href)="[^"]*"|url\([^)]*\)', "", svg)))
    assert colours == {"#0072b2", "#e69f00", "#8a8f98"}  # real, rewired, permuted; no fixed ink


def test_same_records_same_bytes(tmp_path: Path) -> None:
    first = write_page(tmp_path / "a", records(tasks=("de",)), title="T", extras={"command": "x"})
    second = write_page(tmp_path / "b", records(tasks=("de",)), title="T", extras={"command": "x"})
    assert first.read_bytes() == second.read_bytes()
    for name in ("controls.png", "controls.svg"):
        assert (tmp_path / "a/plots" / name).read_bytes() == (tmp_path / "b/plots" / name).read_bytes()


def test_bars_run_from_chance_to_the_mean() -> None:
    figure = controls_chart(read_scores(records()), width=WIDE, label="x")
    assert len(figure.axes) == 2
    bars = [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert bars == [(0.5, 0.25), (0.5, 0.05), (0.5, 0.0), (0.5, 0.15), (0.5, 0.03), (0.5, 0.0)]
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["0.750", "0.550", "0.500", "0.650", "0.530", "0.500"]


def test_narrow_figures_put_panels_below_each_other() -> None:
    scores = read_scores(records())
    for chart in (controls_chart, sources_chart):
        wide, narrow = chart(scores, width=WIDE, label="x"), chart(scores, width=NARROW, label="x")
        for figure in (wide, narrow):
            figure.draw_without_rendering()
        (first, second), (upper, lower) = wide.axes, narrow.axes
        assert first.get_position().y0 == pytest.approx(second.get_position().y0)
        assert upper.get_position().y0 > lower.get_position().y1


def test_text_is_escaped(page: Path) -> None:
    text = page.read_text()
    assert "<b>T</b>" not in text
    assert "<script>" not in text
    assert "a &lt; b &amp; c" in text
    assert "<td>nested k</td><td>1, 2</td>" in text


def test_the_graph_and_the_installation_are_described(page: Path) -> None:
    text = page.read_text()
    assert "tiny: 100 gene; 50 genes without any edge" in text
    assert "1,234" in text
    assert "50.0%" in text
    for name in ("command", "gnnvcell", "torch", "cpu"):
        assert f"<td>{name}</td>" in text


def test_strata_are_of_real_whole_graphs_and_not_too_small() -> None:
    found = read_support(runs())
    assert [(score.quarter, score.value) for score in found] == [(0, 0.55), (1, 0.6), (2, 0.7), (3, 0.8)]
    small, alone, one = runs()[:1], runs()[:1], runs()[:1]
    small[0]["by_support"][2]["perturbations"] = 19
    alone[0]["graph"] = "world/string_db"
    one[0]["by_support"] = one[0]["by_support"][:1]
    assert read_support(small) == read_support(alone) == read_support(one) == []


def test_models_without_scores_on_single_sources_are_left_out_of_their_figure(tmp_path: Path) -> None:
    some = [
        r for r in records(graphs=("world", "world/go"), tasks=("de",)) if "/" not in r["graph"] or r["model"] == "knn"
    ]
    write_page(tmp_path, some, title="T")
    assert "smoother" not in (tmp_path / "plots" / "sources.svg").read_text()
    assert "knn" in (tmp_path / "plots" / "sources.svg").read_text()
    assert "smoother" in (tmp_path / "plots" / "controls.svg").read_text()


def test_missing_values_and_one_seed_are_shown_without_a_spread(tmp_path: Path) -> None:
    some = records(seeds=1, tasks=("de",))
    some[0]["value"] = float("nan")
    text = write_page(tmp_path, some, title="T").read_text()
    assert "±" not in text
    assert "nan" not in text.lower()
    assert "–" in text


def test_other_controls_have_names_and_colours(tmp_path: Path) -> None:
    some = records(tasks=("de",))
    for record in some:
        record["control"] = {"rewired": "size_matched", "permuted": "shuffled"}.get(record["control"], "real")
    figure = controls_chart(read_scores(some), width=WIDE, label="x")
    colours = {bar.get_facecolor() for bar in figure.axes[0].patches}  # type: ignore[attr-defined]
    assert len(colours) == 3
    assert "real − shuffled" in write_page(tmp_path, some, title="T").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.clear(), "no records"),
        (lambda found: [record.pop("graph") for record in found], "a record has no graph"),
        (lambda found: [record.update(metric="other") for record in found], "other"),
        (lambda found: [record.update(value=float("nan")) for record in found], "has a value"),
    ],
)
def test_records_that_show_nothing_are_refused(change, message: str, tmp_path: Path) -> None:
    found = records()
    change(found)
    with pytest.raises(DataError, match=message):
        write_page(tmp_path, found, title="T")
    assert not (tmp_path / "index.html").exists()
