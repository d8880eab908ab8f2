"""``check_cells``: whether a file of cells can be used, and what is in it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import Fields
from gnnvcell.data.knockdown import Knockdown, TargetExpression
from gnnvcell.data.passes import read_through
from gnnvcell.data.value_scan import ValueScan
from gnnvcell.data.values import ValueKind
from gnnvcell.genes import GeneVocab
from gnnvcell.genes.spelling import ENSEMBL_GENE

FEW_CELLS = 30  # a perturbation with fewer has an effect that is mostly noise
_LOW_COVERAGE = 0.5
_FIELDS = ("perturbation", "control", "cell_type", "batch", "guide", "dose", "mode", "gene_names", "layer")


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file.

    Args:
        level: "error": results would be wrong or cannot be computed; "warning": look at it.
        text: what is wrong.
        remedy: what to do about it.
    """

    level: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}\n  what to do: {self.remedy}"


@dataclass(frozen=True)
class CheckReport:
    """What is in a file of cells.

    Args:
        facts: section to name to a plain value (numbers, texts, lists, or a mapping of them).
        problems: errors first.
    """

    facts: dict[str, dict[str, Any]]
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(problem.level == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.facts, "problems": [vars(problem) for problem in self.problems], "ok": self.ok}

    def __str__(self) -> str:
        lines = []
        for section, facts in self.facts.items():
            lines.append(section)
            width = max(map(len, facts))
            lines += [f"  {name:{width}}  {_shown(value)}" for name, value in facts.items()]
        errors = sum(problem.level == "error" for problem in self.problems)
        warnings = len(self.problems) - errors
        lines.append(f"{_plural(errors, 'error')}, {_plural(warnings, 'warning')}")
        return "\n".join([*lines, *map(str, self.problems)])


def check_cells(cells: Cells, vocab: GeneVocab | None = None, *, progress: bool = True) -> CheckReport:
    """Look at all of a file of cells, in one pass over its values.

    Args:
        cells: opened with ``unique_genes=False``, so that names that repeat are reported and not refused.
        vocab: genes of a gene graph, to report which genes and targets it covers.
        progress: a bar on stderr, where that is a terminal.
    """
    scan = ValueScan(cells)
    judged = cells.values in (ValueKind.COUNTS, ValueKind.LOG1P) and bool(cells.is_control.any())
    targets = TargetExpression(cells) if judged else None
    read_through(cells, scan, *([targets] if targets else []), what="checking cells", progress=progress)
    knockdown = targets.knockdown() if targets and not scan.broken else None
    facts = {
        "file": _file_facts(cells),
        "fields": _field_facts(cells.fields),
        "perturbations": _perturbation_facts(cells),
        "controls": _control_facts(cells),
        "values": _value_facts(cells, scan),
        "genes": _gene_facts(cells, scan),
    }
    if knockdown is not None:
        facts["knock-down of targets"] = _knockdown_facts(knockdown)
    if vocab is not None:
        facts["gene graph"] = _coverage_facts(cells, vocab)
    problems = [*_problems(cells, scan, facts)]
    return CheckReport(facts, sorted(problems, key=lambda problem: problem.level))


def _file_facts(cells: Cells) -> dict[str, Any]:
    path = {"path": str(cells.path)} if cells.path else {}
    return {**path, "cells": len(cells), "genes": len(cells.genes), "repeated cell names": _repeated(cells.obs.index)}


def _field_facts(fields: Fields) -> dict[str, Any]:
    """Columns; those that were found by their names and not given say so."""
    shown = {}
    for name in _FIELDS:
        value = getattr(fields, name)
        shown[name.replace("_", " ")] = f"{value} (detected)" if name in fields.found else value
    return shown | {"mode of all": fields.perturbation_mode and fields.perturbation_mode.value}


def _perturbation_facts(cells: Cells) -> dict[str, Any]:
    sizes = np.bincount(cells.code[cells.code >= 0], minlength=len(cells.perturbations))
    several = sum(len(p.targets) > 1 for p in cells.targets)
    modes = Counter(p.mode.value if p.mode else "not said" for p in cells.targets)
    doses = {str(p).rpartition("@")[2] for p in cells.targets if p.amount is not None}
    facts: dict[str, Any] = {
        "perturbations": len(cells.perturbations),
        "of several targets": several,
        "modes": dict(modes),
        "doses": sorted(doses),
        "contexts": {str(name): int(n) for name, n in zip(cells.contexts, _sizes(cells.context_code), strict=True)}
        if cells.fields.cell_type
        else {},
        "perturbed cells": int(sizes.sum()),
        "control cells": int(cells.is_control.sum()),
        "cells of unknown perturbation": int((cells.code == Cells.UNASSIGNED).sum()),
    }
    if len(sizes):
        few = cells.perturbations[sizes < FEW_CELLS]
        facts["cells per perturbation"] = {
            "fewest": int(sizes.min()),
            "median": float(np.median(sizes)),
            "most": int(sizes.max()),
        }
        facts[f"fewer than {FEW_CELLS} cells"] = [str(name) for name in few]
    return facts


def _control_facts(cells: Cells) -> dict[str, Any]:
    """Controls by context and batch, and where perturbed cells have none beside them."""
    place = cells.context_code.astype(np.int64) * len(cells.batches) + cells.batch_code
    total = len(cells.contexts) * len(cells.batches)
    controls = np.bincount(place[cells.is_control], minlength=total)
    perturbed = np.bincount(place[cells.code >= 0], minlength=total)
    names = [_place_name(cells, at) for at in range(total)]
    used = np.flatnonzero((controls > 0) | (perturbed > 0))
    bare = np.flatnonzero((controls == 0) & (perturbed > 0))
    return {
        "batches": len(cells.batches) if cells.fields.batch else 0,
        "controls by batch": {names[at]: int(controls[at]) for at in used.tolist()},
        "without controls": [names[at] for at in bare.tolist()],
    }


def _place_name(cells: Cells, at: int) -> str:
    context, batch = cells.contexts[at // len(cells.batches)], cells.batches[at % len(cells.batches)]
    return " / ".join(name for name in (str(context), str(batch)) if name) or "all"


def _value_facts(cells: Cells, scan: ValueScan) -> dict[str, Any]:
    stored = "float" if cells.matrix.dtype.kind == "f" else "integer"
    return {
        "kind": cells.values.value,
        "type": str(cells.matrix.dtype),
        "counts of float type": cells.values is ValueKind.COUNTS and stored == "float",
        "smallest": float(scan.gene_min.min()),
        "largest": float(scan.gene_max.max()),
        "share of values that are not zero": float(scan.cell_nonzero.sum() / (len(cells) * len(cells.genes))),
        "median sum of a cell": float(np.median(scan.cell_totals)),
        "NaN": scan.nan,
        "infinite": scan.infinite,
        "negative": scan.negative,
        "not whole": scan.fractional,
        "cells without a value": int((scan.cell_nonzero == 0).sum()),
        "genes without a value": int((scan.gene_nonzero == 0).sum()),
    }


def _gene_facts(cells: Cells, scan: ValueScan) -> dict[str, Any]:
    genes = [str(gene) for gene in cells.genes]
    bare = [gene.partition(".")[0] for gene in genes]
    ensembl = np.array([bool(ENSEMBL_GENE.fullmatch(gene)) for gene in bare])
    versioned = sum(bool(is_id) and "." in gene for gene, is_id in zip(genes, ensembl, strict=True))
    share = float(ensembl.mean())
    here = set(genes)
    targets = sorted({t for p in cells.targets if p.mode != "drug" for t in p.targets})
    missing = [target for target in targets if target not in here]
    return {
        "names": "Ensembl ids" if share > 0.9 else "symbols" if share < 0.1 else "symbols and Ensembl ids",
        "Ensembl ids with a version": versioned,
        "repeated names": _repeated(pd.Index(genes)),
        "targets": len(targets),
        "targets among the genes": len(targets) - len(missing),
        "targets not among the genes": missing,
    }


def _knockdown_facts(knockdown: Knockdown) -> dict[str, Any]:
    table = knockdown.table
    residual = table["residual"].to_numpy(dtype=float)
    judged = np.isfinite(residual)
    facts: dict[str, Any] = {"judged": int(judged.sum()), "not judged": dict(Counter(table["reason"][~judged]))}
    if judged.any():
        names, worst = table["perturbation"].tolist(), np.argsort(-np.where(judged, residual, -np.inf))[:5]
        facts["median residual"] = float(np.median(residual[judged]))
        facts["residual at most 0.30"] = int((residual[judged] <= 0.30).sum())
        facts["highest residual"] = {names[at]: round(float(residual[at]), 3) for at in worst.tolist() if judged[at]}
    return facts


def _coverage_facts(cells: Cells, vocab: GeneVocab) -> dict[str, Any]:
    targets = sorted({t for p in cells.targets if p.mode != "drug" for t in p.targets})
    genes, perturbed = vocab.align(cells.genes), vocab.align(targets)
    return {
        "genes of the graph": len(vocab),
        "genes covered": float(genes.coverage),
        "genes matched": dict(genes.counts),
        "targets covered": float(perturbed.coverage) if targets else None,
        "targets not in the graph": [name for names in perturbed.unmatched.values() for name in names],
    }


def _problems(cells: Cells, scan: ValueScan, facts: dict[str, dict[str, Any]]) -> Iterator[Problem]:
    yield from _label_problems(cells, facts)
    yield from _value_problems(cells, scan)
    yield from _gene_problems(facts)


def _label_problems(cells: Cells, facts: dict[str, dict[str, Any]]) -> Iterator[Problem]:
    labels, bare = facts["perturbations"], facts["controls"]["without controls"]
    if not labels["control cells"]:
        yield Problem("error", "no cell is a control", "name their label: --control LABEL")
    elif bare:
        where = f"{_some(bare)}: perturbed cells and no controls"
        yield Problem("error", where, "drop these cells, name another --batch column, or compare without: --batch ''")
    if not labels["perturbations"]:
        yield Problem("error", "no cell is perturbed", "name the column: --perturbation COLUMN")
    few = labels.get(f"fewer than {FEW_CELLS} cells", [])
    if few:
        text = f"{_plural(len(few), 'perturbation')} with fewer than {FEW_CELLS} cells: {_some(few)}"
        yield Problem("warning", text, "their effects are mostly noise; leave them out, or weigh them less")
    if unknown := labels["cells of unknown perturbation"]:
        yield Problem("warning", f"{unknown:,} cells have no known perturbation", "nothing: they are left out")
    if twice := facts["file"]["repeated cell names"]:
        yield Problem("warning", f"{twice:,} cell names repeat", "make them unique: adata.obs_names_make_unique()")


def _value_problems(cells: Cells, scan: ValueScan) -> Iterator[Problem]:
    for name, count in (("NaN", scan.nan), ("infinite", scan.infinite), ("negative", scan.negative)):
        if count:
            remedy = "repair or drop them; scores and models need counts or log1p values, not z-scores or residuals"
            yield Problem("error", f"{count:,} values are {name}", remedy)
    mixed = cells.values is ValueKind.COUNTS and scan.fractional
    if mixed:
        text = f"{scan.fractional:,} values are not whole, although a sample of the cells holds counts"
        yield Problem("error", text, "bring all cells to one kind")
    if cells.values is ValueKind.NORMALISED:
        text = "the values are neither counts nor logarithms (normalised without log1p?)"
        yield Problem("error", text, "name the layer with the counts: --layer NAME, or take log1p of them")
    if cells.values is ValueKind.UNKNOWN and not scan.broken:
        yield Problem("error", "a sample of the cells has no value but zero", "name the layer with them: --layer NAME")
    if empty := int((scan.cell_nonzero == 0).sum()):
        yield Problem("warning", f"{empty:,} cells have no value", "drop them")


def _gene_problems(facts: dict[str, dict[str, Any]]) -> Iterator[Problem]:
    genes = facts["genes"]
    if genes["repeated names"]:
        text = f"{genes['repeated names']:,} gene names repeat"
        yield Problem("error", text, "merge or drop them; everything else joins genes by name")
    if genes["Ensembl ids with a version"]:
        text = f"{genes['Ensembl ids with a version']:,} Ensembl ids have a version"
        yield Problem("warning", text, "none for gene graphs, which know them; other files may not match")
    missing = genes["targets not among the genes"]
    if missing:
        text = f"{len(missing):,} of {genes['targets']:,} targets are not among the genes: {_some(missing)}"
        yield Problem("warning", text, "name the var column of symbols (--gene-names), or go without their knock-down")
    graph = facts.get("gene graph", {})
    if graph and graph["genes covered"] < _LOW_COVERAGE:
        text = f"the gene graph knows {100 * graph['genes covered']:.0f} % of the genes"
        yield Problem("warning", text, "look at the names of genes, or build the graph with genes of these cells")


def _sizes(code: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.bincount(code[code >= 0])


def _repeated(names: pd.Index) -> int:
    """Distinct names that are there more than once."""
    return int(names[names.duplicated()].nunique())


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _some(names: list[str], shown: int = 5) -> str:
    rest = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def _shown(value: Any) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"{len(value):,}: {_some([str(v) for v in value])}"
    if isinstance(value, dict):
        items = [f"{name} {_shown(count)}" for name, count in value.items()]
        return _some(items, 8)
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
