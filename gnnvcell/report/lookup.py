"""Tables of single genes and perturbations inside a page, to search and sort without a server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.folder import BenchFolder
from gnnvcell.bench.units import unpack
from gnnvcell.report.scores import panel_title, unique

_REAL = "real"


@dataclass(frozen=True)
class Lookup:
    """One table.

    Args:
        title: in the list of tables.
        columns: names; the first is what is searched.
        rows: texts, numbers, and None for what is not known.
        digits: behind the point of the numbers in each column.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    digits: Sequence[int]


def lookups_of(folder: BenchFolder, control: str = "") -> list[Lookup]:
    """Genes and perturbations of every line and task, with their scores on whole graphs, averaged over seeds.

    Args:
        folder: a finished benchmark.
        control: a control to show the difference from, gene by gene; empty for none.

    Raises:
        FileFormatError: a run does not keep its scores by gene and perturbation.
    """
    found = []
    for (line, task), units in folder.units.items():
        runs = [run for run in folder.placed if (run["line"], run["task"]) == (line, task)]
        runs = [run for run in runs if not is_part(run["graph"])]
        if not runs:
            continue
        genes = _columns(runs, "per_gene", len(units.genes), control)
        columns = {"label 1": units.positives, "label 0": units.negatives, **genes}
        found.append(_lookup(f"{panel_title(line, task)}, genes", "gene", units.genes, columns, scored=list(genes)))
        size = len(units.perturbations)
        support = {
            f"support, {graph}": unpack(run, "per_perturbation", "support", size)
            for graph in unique(run["graph"] for run in runs)
            for run in [one for one in runs if (one["graph"], one["control"]) == (graph, _REAL)][:1]
        }
        columns = {"genes measured": units.pairs, **support, **_columns(runs, "per_perturbation", size, control)}
        title = f"{panel_title(line, task)}, perturbations"
        found.append(_lookup(title, "perturbation", units.perturbations, columns))
    return found


def lookup_block(lookups: Sequence[Lookup]) -> str:
    """HTML of the tables with their search box, data and scripts; all of it inside the page."""
    return f"""<div class="lookup" id="lookup">
<p><label>Table <select data-part="choice"></select></label>
<label>Search names <input data-part="search" type="search" autocomplete="off" spellcheck="false"></label></p>
<p class="soft" data-part="status" role="status"></p>
<div class="scroll" tabindex="0" role="region" aria-label="Scores of single genes and perturbations">
<table data-part="table"><thead></thead><tbody></tbody></table></div>
<button type="button" data-part="more">Show more</button>
<noscript><p>This table needs JavaScript; the numbers are in the folder's runs and units.</p></noscript>
</div>
{data_element("lookup-data", [vars(one) for one in lookups])}
{scripts("tables.js", "lookup.js")}
<script>
startLookup(document.getElementById("lookup"), JSON.parse(document.getElementById("lookup-data").textContent));
</script>"""


def data_element(name: str, content: Any) -> str:
    """Data for the page's scripts, as JSON in an element with the id ``name``."""
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c")  # "</" would end the element, "<!--" change how the browser reads it
    return f'<script type="application/json" id="{name}">{data}</script>'


def scripts(*names: str) -> str:
    """Scripts of this package, inside the page."""
    texts = (files("gnnvcell.report").joinpath(name).read_text(encoding="utf-8") for name in names)
    return "\n".join(f"<script>\n{text}</script>" for text in texts)


def _columns(runs: Sequence[Mapping[str, Any]], table: str, size: int, control: str) -> dict[str, Any]:
    """Name to mean AUROC over seeds: each model on the real graph, and its difference from the control."""
    several = len({run["graph"] for run in runs}) > 1
    columns = {}
    for model, graph in unique((run["model"], run["graph"]) for run in runs):
        name = f"{model}, {graph}" if several else str(model)
        means = {}
        for kind in (_REAL, control):
            found = [run for run in runs if (run["model"], run["graph"], run["control"]) == (model, graph, kind)]
            if found:
                means[kind] = np.mean([unpack(dict(run), table, "auroc", size) for run in found], axis=0)
        if _REAL in means:
            columns[name] = means[_REAL]
            if control in means:
                columns[f"{name} − {control}"] = means[_REAL] - means[control]
    return columns


def _lookup(
    title: str, what: str, names: Sequence[str], columns: Mapping[str, Any], *, scored: Sequence[str] = ()
) -> Lookup:
    """A table by name; with ``scored``, without rows that have no number in these columns."""
    values = [_plain(column) for column in columns.values()]
    rows = [[name, *row] for name, *row in zip(names, *values, strict=True)]
    places = [1 + list(columns).index(name) for name in scored]
    if places:
        rows = [row for row in rows if any(row[place] is not None for place in places)]
    digits = [0 if np.issubdtype(np.asarray(column).dtype, np.integer) else 3 for column in columns.values()]
    return Lookup(title, [what, *columns], rows, [0, *digits])


def _plain(column: ArrayLike) -> list[float | None]:
    values = np.asarray(column, dtype=np.float64).round(4)
    return [float(value) if np.isfinite(value) else None for value in values]
