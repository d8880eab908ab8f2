import html
import importlib.util
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.bench.units import pack_steps
from gnnvcell.cli.main import main
from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import Manifest, SourceRecord
from gnnvcell.report.benchmark import write_report
from gnnvcell.report.lookup import Lookup, lookup_block, lookups_of
from gnnvcell.report.neighbourhoods import neighbourhoods_of

_spec = importlib.util.spec_from_file_location("test_folder", Path(__file__).parents[1] / "bench" / "test_folder.py")
assert _spec is not None
assert _spec.loader is not None
_folder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_folder)


class Links(HTMLParser):
    """Everything that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found += [str(values[key]) for key in ("src", "href", "xlink:href", "srcset", "data") if key in values]


TARGETS = """
[[target]]
model = "knn"
task = "de"
line = "sim"
at_least = 0.99
[[target]]
model = "knn"
task = "de"
line = "sim"
at_least = 0.6
"""


def small_graph() -> GeneGraph:
    """Held-out P0 is next to the training T0; P1 is next to P0."""
    names = ["P0", "P1", "T0", "T1"]
    genes, weight = np.array(names), np.array([0.9, 0.5], np.float32)
    table = EdgeTable(("gene", "string", "gene"), np.array([0, 0]), np.array([2, 1]), weight, genes, genes)
    record = SourceRecord(key="string", type="table", relations=("string",))
    return GeneGraph.from_tables(
        [table], GeneVocab.from_symbols(names), manifest=Manifest.create(sources={"string": record})
    )


def options(folder: Path) -> dict[str, Any]:
    return {
        "ceilings": {("sim", "de"): 0.9},
        "graphs": {"g": folder.parent / "g"},
        "targets": folder.parent / "targets.toml",
        "markdown": folder.parent / "b.md",
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench")
    graph = small_graph()
    graph.save(path / "g")
    folder = _folder.make_folder(path / "out", genes=40, perturbations=120, positives=12, digest=graph.digest)
    (path / "targets.toml").write_text(TARGETS)
    return write_report(folder, draws=200, **options(folder))


def test_the_page_is_one_file_that_loads_nothing(page: Path) -> None:
    text = page.read_text()
    links = Links()
    links.feed(text)
    assert all(link.startswith("#") for link in links.found)
    drawn = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)  # their namespaces are names, which nobody loads
    assert not re.search(r"https?://|@import|<link|url\(|\bimport\b\(|fetch\(|XMLHttp", drawn)


def test_headings_statistics_and_the_command(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "Scores of held-out perturbations", "Targets", "With intervals", "Model against model",
        "What each source adds", "Real graph against random graphs", "Which source helps",
        "Within strata of perturbations", "Calibration and abstention", "Genes and perturbations",
        "One perturbation at a time", "Where these numbers come from",
    ]  # fmt: skip
    folder = page.parent
    command = f"gnnvcell report {folder} --draws 200 --seed 0 --ceiling sim:de=0.9 --graph {folder.parent / 'g'}"
    assert f"{command} --targets {folder.parent / 'targets.toml'} --markdown {folder.parent / 'b.md'}<" in text
    assert "of ceiling" in text
    first = re.search(r"</h1>\n<p>(.*?)</p>", text)
    assert first
    assert first[1].startswith("Missed, 1 of 2 targets: knn, de, sim: at least 0.99, found 0.")
    assert first[1].endswith("Met: 1 of 2 targets.")
    statistics = pd.read_csv(page.parent / "statistics.csv")
    row = statistics[(statistics["kind"] == "control") & (statistics["graph"] == "g")].iloc[0]
    shown = f"{row['low']:+.3f} to {row['high']:+.3f}".replace("-", "−")
    assert f"<td>{row['value']:+.3f}</td><td>{shown}</td>".replace("<td>-", "<td>−") in text
    for kind in ("control", "leave_one_out", "shapley", "strata-effect-size", "reliability", "abstention"):
        assert (page.parent / "plots" / f"{kind}.svg").exists()


def test_same_folder_same_page(page: Path) -> None:
    before = page.read_bytes()
    assert write_report(page.parent, draws=200, **options(page.parent)).read_bytes() == before


def test_data_in_the_page_are_those_of_the_runs(page: Path) -> None:
    found = re.search(r'<script type="application/json" id="lookup-data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    genes, perturbations = json.loads(found[1])
    assert genes["title"] == "sim: differential expression, genes"
    assert genes["columns"] == ["gene", "label 1", "label 0", "knn", "knn − rewired", "ridge", "ridge − rewired"]
    assert len(genes["rows"]) == 39  # without the gene of one label
    bench = open_bench_folder(page.parent)
    arms = bench.tables()[0].arms
    real, rewired = (arms["knn", "g", control].per_gene.mean(axis=0) for control in ("real", "rewired"))
    assert [row[3] for row in genes["rows"]] == pytest.approx(real.tolist(), abs=1e-4)
    assert [row[4] for row in genes["rows"]] == pytest.approx((real - rewired).tolist(), abs=1e-4)
    assert perturbations["columns"][:3] == ["perturbation", "genes measured", "support, g"]
    assert [row[2] for row in perturbations["rows"]] == list(range(120))
    assert not any("rewired" in name for one in lookups_of(bench) for name in one.columns)


def test_pairs_in_the_explorer_are_those_of_the_runs(page: Path) -> None:
    found = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    (table,) = json.loads(found[1])
    bench = open_bench_folder(page.parent)
    run = next(run for run in bench.placed if (run["model"], run["graph"], run["control"]) == ("knn", "g", "real"))
    assert [one["name"] for one in table["models"]] == ["knn", "ridge"]
    assert table["models"][0]["scores"] == run["per_pair"]["score"]
    assert table["labels"] == bench.units["sim", "de"].labels
    assert table["near"]["g"]["P0"] == [1, None, [["T0", {"string": 0.9}]], []]
    (path,) = table["near"]["g"]["P1"][3]
    assert path[0] == ["P1", "P0", "T0"]
    assert path[1] == pytest.approx(0.5 / 0.9 / 2**0.5, abs=1e-4)
    assert "P2" in table["near"]["g"]


def test_a_graph_is_needed_once_and_must_be_the_one_that_was_scored(page: Path, tmp_path: Path) -> None:
    bench = open_bench_folder(page.parent)
    kept = neighbourhoods_of(bench, {})
    assert kept == neighbourhoods_of(bench, {"g": page.parent.parent / "g"})
    small_graph().save(tmp_path / "h")
    with pytest.raises(ConfigError, match="the graph 'h' was not scored"):
        neighbourhoods_of(bench, {"h": tmp_path / "h"})
    small_graph().subset(["P0", "T0"]).save(tmp_path / "g")
    with pytest.raises(ConfigError, match="the graph 'g' is not the one that was scored"):
        neighbourhoods_of(bench, {"g": tmp_path / "g"})
    file = page.parent / "neighbours" / "g" / "sim-de.json"
    before = file.read_text()
    file.write_text("{}")
    try:
        with pytest.raises(FileFormatError, match=r"sim-de.json is damaged[^$]*delete it"):
            neighbourhoods_of(bench, {})
        file.write_text(before.replace(str(bench.provenance["graphs"]["g"]), "another"))
        assert neighbourhoods_of(bench, {}) == {}
    finally:
        file.write_text(before)


def test_a_graph_that_the_suite_built_is_found_in_the_folder(page: Path, tmp_path: Path) -> None:
    digest = small_graph().digest
    folder = _folder.make_folder(tmp_path / "out", perturbations=12, digest=digest)
    assert neighbourhoods_of(open_bench_folder(folder), {}) == {}
    small_graph().save(folder / "graphs" / "g")
    found = neighbourhoods_of(open_bench_folder(folder), {})
    assert found["g", "sim", "de"]["P0"].neighbours == [("T0", {"string": 0.9})]


def test_markdown_begins_with_what_was_missed_and_what_a_reader_would_quote(page: Path) -> None:
    text = (page.parent.parent / "b.md").read_text()
    first, second, *_ = text.split("\n\n")[1:]
    assert first.startswith("Missed, 1 of 2 targets: knn, de, sim: at least 0.99")
    lines = second.split("\n")
    assert [re.sub(r"[+−]?\d\.\d+", "#", line) for line in lines[:4]] == [
        "- sim: differential expression, AUROC within a gene: knn # (# to #), ridge # (# to #); chance is .5.",
        "- sim: differential expression, real − rewired graph: knn # (# to #), ridge # (# to #).",
        "- sim: differential expression, knn over ridge # (# to #).",
        "- sim: differential expression, knn, each source alone: b # (# lost without it), a # (# lost without it).",
    ]
    assert len(lines) == 5
    assert lines[4].startswith("- sim: differential expression, knn, real − rewired graph by ")
    rows = pd.read_csv(page.parent / "statistics.csv", keep_default_na=False).to_dict(orient="records")
    place = ("score", "knn", "g", "")
    (value,) = [r["value"] for r in rows if (r["kind"], r["model"], r["graph"], r["against"]) == place]
    assert f"| knn | **{float(value):.3f}** | " in text
    assert "## Within strata of perturbations" in text
    assert "- command of figures and tables: `gnnvcell report " in text


def test_names_cannot_leave_the_data() -> None:
    block = lookup_block([Lookup("</script><b>", ["gene"], [["<!--<script>"]], [0])])
    data = re.search(r'id="lookup-data">(.*?)</script>', block, re.DOTALL)
    assert data
    assert "<" not in data[1]
    assert json.loads(data[1])[0]["rows"] == [["<!--<script>"]]


def test_ceilings_are_checked(page: Path) -> None:
    with pytest.raises(ConfigError, match=r"a ceiling for k562:de, which was not run\n  expected: sim:de"):
        write_report(page.parent, ceilings={("k562", "de"): 0.9})
    with pytest.raises(ConfigError, match=r"the ceiling of sim:de is 0\.4"):
        write_report(page.parent, ceilings={("sim", "de"): 0.4})


def test_the_command(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(page.parent), "--draws", "50", "--title", "A <b>"]) == 0
    assert "page: " in capsys.readouterr().out
    assert "<h1>A &lt;b&gt;</h1>" in page.read_text()
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "no folder" in capsys.readouterr().err
    for text in ("sim=0.9", "sim:de", "sim:de=x"):
        assert main(["report", str(page.parent), "--ceiling", text]) == 2
        assert f"cannot read the ceiling '{text}'" in capsys.readouterr().err


SCRIPT = Path(__file__).parents[2] / "gnnvcell" / "report" / "tables.js"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_searching_and_sorting() -> None:
    program = f"""
    const {{ matchingRows, sortedRows, shownText }} = require({json.dumps(str(SCRIPT))});
    const rows = [["TP53", 2, null], ["MYC", 10, 0.25], ["TPX2", 10, -0.5]];
    const names = found => found.map(row => row[0]).join(" ");
    console.log(JSON.stringify([
      names(matchingRows(rows, "tp")), names(matchingRows(rows, " myc  tp53 ")), names(matchingRows(rows, "")),
      names(matchingRows(rows, "none")), names(sortedRows(rows, 0, false)), names(sortedRows(rows, 1, true)),
      names(sortedRows(rows, 2, true)), names(sortedRows(rows, 2, false)), names(rows),
      shownText(null, 3), shownText(-0.5, 3), shownText(2, 0), shownText("A", 0)]));
    """
    found = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == [
        "TP53 TPX2", "TP53 MYC", "TP53 MYC TPX2", "", "MYC TP53 TPX2", "MYC TPX2 TP53", "MYC TPX2 TP53",
        "TPX2 MYC TP53", "TP53 MYC TPX2", "–", "−0.500", "2", "A",
    ]  # fmt: skip


EXPLORER = SCRIPT.with_name("explorer.js")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_what_the_explorer_computes() -> None:
    packed = pack_steps([-1.0, 0.0, 0.5, 3.0])
    program = f"""
    const {{ unpackSteps, geneMeans, pairRows, aurocOf }} = require({json.dumps(str(EXPLORER))});
    const scores = unpackSteps({json.dumps(packed)}), means = geneMeans([0, 1, 0, 1], scores, 3);
    const table = {{ genes: ["A", "B", "C"], pairs: [1, 3], gene_of_pair: [0, 1, 0, 1], labels: "1010",
                     words: ["down", "up"] }};
    const rows = pairRows(table, scores, means, 1);
    console.log(JSON.stringify([[...scores], [...means], rows.map(row => row.slice(0, 2)), rows.map(row => row[4]),
      aurocOf(rows, "up"), aurocOf(rows.slice(0, 1), "up")]));
    """
    found = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    scores, means, named, differences, auroc, none = json.loads(found.stdout)
    assert scores == pytest.approx([-1.0, 0.0, 0.5, 3.0], abs=1e-4)
    assert means == pytest.approx([-0.25, 1.5, 0.0], abs=1e-4)
    assert named == [["B", "down"], ["A", "up"], ["B", "down"]]
    assert differences == pytest.approx([-1.5, 0.75, 1.5], abs=1e-4)
    assert (auroc, none) == (0.5, None)  # above one of two, below the other


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_the_page_in_a_browser(page: Path, tmp_path: Path) -> None:
    """Loads without an error; search, sort, choice of table and "more" work; the page does not scroll sideways."""
    steps = """<script>
    window.addEventListener("load", () => {
      const seen = { errors: window.errors }, root = document.getElementById("lookup");
      const part = name => root.querySelector(`[data-part=${name}]`);
      const rows = () => [...part("table").tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent));
      const heads = () => [...part("table").tHead.rows[0].cells];
      const put = (node, value, event) => { node.value = value; node.dispatchEvent(new Event(event)); };
      seen.first = rows().length;
      part("more").click();
      seen.more = [rows().length, part("more").hidden];
      heads()[3].firstChild.click();
      seen.sorted = rows().map(row => row[3]);
      seen.marks = heads().map(head => head.getAttribute("aria-sort"));
      heads()[3].firstChild.click();
      seen.ascending = rows().map(row => row[3]);
      put(part("search"), "g1 g20", "input");
      seen.found = rows().map(row => row[0]);
      seen.status = part("status").textContent;
      put(part("search"), "", "input");
      put(part("choice"), "1", "change");
      seen.second = heads().map(head => head.textContent)[0];
      const explorer = document.getElementById("explorer");
      const item = name => explorer.querySelector(`[data-part=${name}]`);
      const look = () => ({
        summary: item("summary").textContent, near: item("near").textContent,
        marks: item("chart").querySelectorAll(".one, .zero").length,
        first: [...item("table").tBodies[0].rows].map(row => row.cells[4].textContent) });
      seen.start = look();
      put(item("search"), "P1", "change");
      seen.other = look();
      put(item("model"), "ridge", "change");
      seen.ridge = look();
      put(item("search"), "P11x", "change");
      seen.unknown = item("summary").textContent;
      seen.focusable = [...root.querySelectorAll("select, input, button")].every(node => node.tabIndex === 0);
      seen.width = [document.documentElement.scrollWidth, window.innerWidth];
      parent.postMessage(JSON.stringify(seen), "*");
    });
    </script>"""
    early = "<script>window.errors = []; window.onerror = text => { window.errors.push(String(text)); };</script>"
    text = page.read_text().replace("<head>", f"<head>{early}").replace("</body>", f"{steps}</body>")
    (tmp_path / "page.html").write_text(text)
    for width in (1280, 400):
        # Headless windows are no narrower than 500 pixels; a frame is.
        (tmp_path / "frame.html").write_text(
            f"<!doctype html><body><iframe src='page.html' style='width:{width}px;height:900px'></iframe><script>"
            "window.addEventListener('message', event => { const out = document.createElement('pre'); out.id = 'seen';"
            "out.textContent = event.data; document.body.append(out); });</script></body>"
        )
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / str(width)}"]
        options += [f"--window-size={width + 100},900", "--virtual-time-budget=3000", "--dump-dom"]
        dom = subprocess.run(
            [str(BROWSER), *options, (tmp_path / "frame.html").as_uri()], capture_output=True, text=True, timeout=120
        ).stdout
        found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
        assert found, dom[-300:]
        seen = json.loads(html.unescape(found[1]))
        assert seen["errors"] == []
        assert seen["first"] == 25
        assert seen["more"] == [39, True]
        assert seen["sorted"] == sorted(seen["sorted"], reverse=True)
        assert seen["ascending"] == seen["sorted"][::-1]
        assert seen["marks"] == [None, None, None, "descending", None, None, None]
        assert "G1" in seen["found"]
        assert {name[:2] for name in seen["found"]} == {"G1", "G2"}
        assert seen["status"].endswith("found, 39 in all")
        assert seen["second"] == "perturbation"
        assert seen["focusable"]
        assert seen["start"]["marks"] == 40
        assert "genes measured" in seen["start"]["summary"]
        assert seen["other"]["summary"].startswith("P1: 40 genes measured")
        assert "knn puts a gene that is changed" in seen["other"]["summary"]
        values = [float(text.replace("−", "-")) for text in seen["other"]["first"]]
        assert values == sorted(values, reverse=True)
        assert len(values) == 15
        assert "P1 → P0 → T0" in seen["other"]["near"]
        assert "ridge puts a gene" in seen["ridge"]["summary"]
        assert seen["ridge"]["first"] != seen["other"]["first"]
        assert seen["unknown"].startswith("P11x is not among the held-out perturbations")
        assert seen["width"][0] <= seen["width"][1] <= width
