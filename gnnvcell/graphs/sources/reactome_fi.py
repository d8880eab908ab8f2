"""Reactome functional interactions: gene pairs, with direction and sign where the file has them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.sources._tsv import Rows, read_head, read_table
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext

FUNCTIONAL_INTERACTION = "functional_interaction"
REGULATES = "regulates"

_HEADER = ("gene1", "gene2", "annotation", "direction", "score")
_PAIR_HEADERS = {
    ("gene1", "gene2"),
    ("gene_a", "gene_b"),
    ("gene_1", "gene_2"),
    ("genea", "geneb"),
    ("source", "target"),
}
_PATTERNS = (
    r"FIsInGene_[\w.-]*with_annotations\.txt",
    r"FIsInGene_with_annotations\.txt",
    r"FIsInGene(?:_[\w.-]*)?\.(?:txt|tsv)",
    r"reactome_fi[\w.-]*\.(?:tsv|txt)",
)
# What is at each end of the arrow, as (at Gene1, at Gene2): ">" and "<" stimulate that gene, "|" inhibits it.
_ARROWS: dict[str, tuple[str, str]] = {
    "-": ("", ""),
    "---": ("", ""),
    "->": ("", ">"),
    "-|": ("", "|"),
    "<-": (">", ""),
    "|-": ("|", ""),
    "<->": (">", ">"),
    "|-|": ("|", "|"),
    "|->": ("|", ">"),
    "<-|": (">", "|"),
}
_SIGNED = re.compile(r"activat|catalyz|stimulat|inhibit|repress", re.IGNORECASE)
_PREDICTED = re.compile(r"(?:^|;)\s*predicted\s*(?:;|$)", re.IGNORECASE)


@SOURCES.register("reactome_fi")
class ReactomeFI(Source):
    """Reactome functional interactions (FIs).

    Gives ``(gene, functional_interaction, gene)``, undirected, of every pair, weighted by its score; and, where the
    file has directions, ``(gene, regulates, gene)`` from regulator to target, directed and signed. In the column
    Direction ``->`` is Gene1 stimulating Gene2 (+1), ``-|`` inhibiting it (-1), ``<-`` and ``|-`` the same backwards,
    ``<->``, ``|-|``, ``|->`` and ``<-|`` one edge each way, and ``-`` has no direction. An arrow ``>`` whose annotation
    tells of no activation or catalysis but only of something else ("expression regulates", "phosphorylate") has sign
    0: the direction is known, the sign is not.

    Files in ``source_dir``: ``FIsInGene_<date>_with_annotations.txt`` (Gene1, Gene2, Annotation, Direction, Score), or
    two columns of genes (``reactome_fi_symbols.tsv``), which have no score and no direction; each also with ``.gz``.

    Args:
        relations: which of the two to give.
        min_score: least score of a pair, from 0 to 1; curated pairs have 1, predicted ones their probability.
        predicted: whether to keep pairs whose annotation is "predicted".
        file: path of the file, where it is not found by its name.
    """

    type: ClassVar[str] = "reactome_fi"
    licence: ClassVar[str] = "CC BY 4.0"
    citation: ClassVar[str] = "Wu, Feng & Stein, Genome Biology 2010, doi:10.1186/gb-2010-11-5-r53"

    relations: tuple[Literal["functional_interaction", "regulates"], ...] = Field(
        default=(FUNCTIONAL_INTERACTION, REGULATES), min_length=1
    )
    min_score: float = Field(default=0.0, ge=0, le=1)
    predicted: bool = True
    file: str | None = None

    def read(self, context: SourceContext) -> Reading:
        """Read the interactions.

        Raises:
            FileFormatError: missing, damaged, another header, an unknown direction, a bad score; or a setting that
                needs scores, annotations or directions, with a file of two columns.
            EmptyGraphError: no pair is left.
        """
        path = context.find(_PATTERNS, what="Reactome's functional interactions", explicit=self.file)
        context.report(f"reading {path.name}")
        rows, annotated = _read(path)
        if not annotated:
            self._require_plain(path)
        total = len(rows)
        rows, notes = self._chosen(rows, path) if annotated else (rows, [])
        codes, names = pd.factorize(pd.concat([rows["gene1"], rows["gene2"]], ignore_index=True))
        first, second = codes[: len(rows)].astype(np.int64), codes[len(rows) :].astype(np.int64)
        genes = np.array([str(name) for name in names])
        tables = []
        if FUNCTIONAL_INTERACTION in self.relations:
            tables.append(_undirected(first, second, rows["score"].to_numpy(np.float32), genes))
        if REGULATES in self.relations and annotated:
            tables += _directed(first, second, rows, genes, notes)
        if not tables:
            raise EmptyGraphError(
                f"reactome_fi: no pair of {path.name} has a direction",
                remedy=f"add {FUNCTIONAL_INTERACTION!r} to relations, or lower min_score",
            )
        return Reading(tables=tables, files=[path], lines_read=total, notes=notes)

    def _require_plain(self, path: Path) -> None:
        wanted = [
            text
            for text, on in (
                (f"min_score = {self.min_score}", self.min_score > 0),
                ("predicted = False", not self.predicted),
                (f"relations = {list(self.relations)}", FUNCTIONAL_INTERACTION not in self.relations),
            )
            if on
        ]
        if wanted:
            raise FileFormatError(
                f"{path} has two columns of genes and nothing to apply {wanted[0]} to",
                expected="Gene1, Gene2, Annotation, Direction, Score",
                found="two columns",
                remedy="use FIsInGene_<date>_with_annotations.txt, or leave the setting out",
            )

    def _chosen(self, rows: Rows, path: Path) -> tuple[Rows, list[str]]:
        guessed = rows["annotation"].str.contains(_PREDICTED)
        low = rows["score"] < self.min_score
        kept = ~low if self.predicted else ~low & ~guessed
        notes = [f"{int(guessed.sum()):,} of {len(rows):,} interactions are predicted"]
        if not kept.all():
            notes.append(f"{int((~kept).sum()):,} interactions dropped by score or as predicted")
        if not kept.any():
            raise EmptyGraphError(
                f"reactome_fi: no interaction of {path.name} is left",
                expected=f"scores of at least {self.min_score}" + ("" if self.predicted else ", not predicted"),
                found=f"{len(rows):,} interactions of scores {rows['score'].min()} to {rows['score'].max()}",
                remedy="lower min_score, or keep predicted interactions",
            )
        return rows[kept].reset_index(drop=True), notes


def _read(path: Path) -> tuple[Rows, bool]:
    """Columns ``gene1``, ``gene2``, ``score`` and, in an annotated file, ``annotation`` and ``direction``."""
    header, first = read_head(path, "#")
    fields = tuple(field.strip().lower() for field in first)
    if fields == _HEADER:
        columns = {name: place for place, name in enumerate(_HEADER)}
        rows = read_table(
            path,
            columns,
            skip=len(header) + 1,
            width=len(_HEADER),
            required=("gene1", "gene2", "direction", "score"),
            what="Reactome's annotated functional interactions",
        )
        return rows.assign(score=_scores(path, rows["score"])), True
    what = "a file of functional interactions"
    if len(fields) != 2:
        raise FileFormatError(
            f"{path} is not {what}",
            expected="tab-separated Gene1, Gene2, Annotation, Direction, Score (with this header), or two columns",
            found=repr("\t".join(first)[:80]),
            remedy="give the file in its official form",
        )
    skip = len(header) + int(fields in _PAIR_HEADERS)
    rows = read_table(path, {"gene1": 0, "gene2": 1}, skip=skip, width=2, required=("gene1", "gene2"), what=what)
    return rows.assign(score=np.float32(1)), False


def _scores(path: Path, texts: Rows) -> NDArray[np.float64]:
    numbers: Rows = pd.to_numeric(texts, errors="coerce")
    scores = numbers.to_numpy(float)
    bad = ~((scores >= 0) & (scores <= 1))
    if bad.any():
        row = int(bad.argmax())
        raise FileFormatError(
            f"interaction {row + 1} of {path} has the score {texts.iloc[row]!r}",
            expected="a number from 0 to 1",
            found=f"{int(bad.sum())} such lines",
            remedy="mend or drop these lines",
        )
    return scores


def _undirected(
    first: NDArray[np.int64], second: NDArray[np.int64], score: NDArray[np.float32], genes: NDArray
) -> EdgeTable:
    etype = (keys.GENE, FUNCTIONAL_INTERACTION, keys.GENE)
    return EdgeTable(etype, first, second, score, src_names=genes, dst_names=genes)


def _directed(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    rows: Rows,
    genes: NDArray,
    notes: list[str],
) -> Sequence[EdgeTable]:
    """The table of ``regulates``, or none where no pair has a direction."""
    arrows = pd.Categorical(rows["direction"].str.strip())
    unknown = [name for name in arrows.categories if name not in _ARROWS]
    if unknown:
        raise FileFormatError(
            f"unknown direction {unknown[0]!r} of a functional interaction",
            expected=", ".join(_ARROWS),
            found=f"{int(rows['direction'].str.strip().isin(unknown).sum())} such lines",
        )
    told = rows["annotation"].str.contains(_SIGNED) | (rows["annotation"].str.strip() == "")
    at_first, at_second = ([_ARROWS[name][end] for name in arrows.categories] for end in (0, 1))
    parts = []
    for heads, source, target in ((at_second, first, second), (at_first, second, first)):
        head = np.array(heads)[arrows.codes]
        sign = np.where(head == "|", -1, np.where(told, 1, 0))
        points = head != ""
        parts.append((source[points], target[points], sign[points], rows["score"].to_numpy(np.float32)[points]))
    src, dst, sign, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(src):
        notes.append("no interaction has a direction")
        return []
    notes.append(f"{int((sign == 0).sum()):,} of {len(src):,} directed interactions have no known sign")
    etype = (keys.GENE, REGULATES, keys.GENE)
    return [EdgeTable(etype, src, dst, weight, genes, genes, sign=sign.astype(np.int8), directed=True)]
