"""The explorer of a page: a held-out perturbation, its genes' predicted and true labels, its place in the graph."""

from collections.abc import Mapping
from typing import Any

from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.folder import BenchFolder
from gnnvcell.bench.units import unpack
from gnnvcell.report.lookup import data_element, scripts
from gnnvcell.report.neighbourhoods import Near, Neighbourhood
from gnnvcell.report.scores import panel_title

LARGEST = 5_000_000  # letters of data in a page
WORDS = {"de": ("unchanged", "changed"), "dir": ("down", "up")}  # of labels 0 and 1


def explored(folder: BenchFolder, near: Near) -> list[dict[str, Any]]:
    """What the explorer shows: of every line and task the pairs, and each model's scores on whole real graphs.

    Scores are those of the first seed. The perturbation that is shown first is the one with most genes of both labels.

    Args:
        folder: a finished benchmark.
        near: graph, line and task to the neighbourhoods of its held-out perturbations; empty for none.

    Raises:
        FileFormatError: a run does not keep its scores pair by pair.
    """
    tables = []
    for (line, task), units in folder.units.items():
        arms = {
            (model, graph): runs[0]
            for (model, graph, control), runs in folder.runs_of(line, task).items()
            if control == "real" and not is_part(graph)
        }
        several = len({graph for _, graph in arms}) > 1
        models = []
        for (model, graph), run in arms.items():
            unpack(run, "per_pair", "score", len(units.labels))  # a damaged one is named here, not in the browser
            name = f"{model}, {graph}" if several else model
            models.append({"name": name, "graph": graph, "scores": run["per_pair"]["score"]})
        if not models:
            continue
        labels, measured = units.truth
        both = [min(a, b) for a, b in zip(labels.sum(axis=1), (measured & ~labels).sum(axis=1), strict=True)]
        tables.append(
            {
                "title": panel_title(line, task),
                "words": WORDS["dir" if task.startswith("dir") else "de"],
                "genes": units.genes,
                "perturbations": units.perturbations,
                "pairs": units.pairs,
                "gene_of_pair": units.gene_of_pair,
                "labels": units.labels,
                "models": models,
                "near": {graph: _plain(near.get((graph, line, task), {})) for _, graph in arms},
                "first": both.index(max(both)),
            }
        )
    return tables


def explorer_block(tables: list[dict[str, Any]]) -> str:
    """HTML of the explorer with its data and script; it needs the scripts of ``lookup_block`` before it."""
    return f"""<div class="lookup" id="explorer">
<p><label>Labels <select data-part="choice"></select></label>
<label>Model <select data-part="model"></select></label>
<label>Held-out perturbation <input data-part="search" type="search" list="explorer-names" autocomplete="off"
 spellcheck="false"></label><datalist id="explorer-names" data-part="names"></datalist></p>
<p data-part="summary" role="status"></p>
<div class="strips"><svg data-part="chart" role="img"
 aria-label="Each gene's predicted score less its mean over held-out perturbations, by true label"></svg></div>
<div class="scroll" tabindex="0" role="region" aria-label="Genes of the perturbation">
<table data-part="table"><thead></thead><tbody></tbody></table></div>
<p class="soft" data-part="status"></p>
<button type="button" data-part="more">Show more</button>
<div class="near" data-part="near"></div>
<noscript><p>The explorer needs JavaScript; its numbers are in the folder's runs and units.</p></noscript>
</div>
{data_element("explorer-data", tables)}
{scripts("explorer.js")}
<script>
startExplorer(document.getElementById("explorer"), JSON.parse(document.getElementById("explorer-data").textContent));
</script>"""


def _plain(found: Mapping[str, Neighbourhood]) -> dict[str, list[Any]]:
    return {name: [one.measured, one.partner, one.neighbours, one.paths] for name, one in found.items()}
