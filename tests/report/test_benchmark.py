import html
import importlib.util
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from gnnvcell.bench.folder import open_bench_folder
from gnnvcell.cli.main import main
from gnnvcell.errors import ConfigError
from gnnvcell.report.benchmark import write_report
from gnnvcell.report.lookup import Lookup, lookup_block, lookups_of

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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = _folder.make_folder(tmp_path_factory.mktemp("bench"), genes=40, perturbations=30)
    return write_report(folder, draws=200, ceilings={("sim", "de"): 0.9})


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
    assert headings[:3] == ["Scores of held-out perturbations", "With intervals", "Model against model"]
    assert headings[3:5] == ["What each source adds", "Real graph against random graphs"]
    assert headings[-2:] == ["Genes and perturbations", "Where these numbers come from"]
    assert f"gnnvcell report {page.parent} --draws 200 --seed 0 --ceiling sim:de=0.9" in text
    assert "share of ceiling" in text
    statistics = pd.read_csv(page.parent / "statistics.csv")
    row = statistics[(statistics["kind"] == "control") & (statistics["graph"] == "g")].iloc[0]
    shown = f"{row['low']:+.3f} to {row['high']:+.3f}".replace("-", "−")
    assert f"<td>{row['value']:+.3f}</td><td>{shown}</td>".replace("<td>-", "<td>−") in text
    for kind in ("control", "leave_one_out", "shapley"):
        assert (page.parent / "plots" / f"{kind}.svg").exists()


def test_same_folder_same_page(page: Path) -> None:
    before = page.read_bytes()
    assert write_report(page.parent, draws=200, ceilings={("sim", "de"): 0.9}).read_bytes() == before


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
    assert [row[2] for row in perturbations["rows"]] == list(range(30))
    assert not any("rewired" in name for one in lookups_of(bench) for name in one.columns)


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


SCRIPT = Path(__file__).parents[2] / "gnnvcell" / "report" / "lookup.js"


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
      seen.focusable = [...root.querySelectorAll("select, input, button")].every(node => node.tabIndex === 0);
      seen.width = [document.documentElement.scrollWidth, window.innerWidth];
      const out = document.createElement("pre");
      out.id = "seen";
      out.textContent = JSON.stringify(seen);
      document.body.append(out);
    });
    </script>"""
    early = "<script>window.errors = []; window.onerror = text => { window.errors.push(String(text)); };</script>"
    text = page.read_text().replace("<head>", f"<head>{early}").replace("</body>", f"{steps}</body>")
    (tmp_path / "page.html").write_text(text)
    for width in (1280, 500):  # headless windows are no narrower
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / str(width)}"]
        options += [f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom"]
        dom = subprocess.run(
            [str(BROWSER), *options, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=120
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
        assert seen["width"][0] <= seen["width"][1]
