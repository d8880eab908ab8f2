"""Gene-to-term annotation files: GAF 2.x, GPAD 1.x and 2.0, and NCBI's gene2go."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from gnnvcell.errors import FileFormatError
from gnnvcell.genes import Identities
from gnnvcell.graphs.sources._evidence import ECO
from gnnvcell.graphs.sources._gene_products import GeneProducts, accession_of, identities_of, species_of
from gnnvcell.graphs.sources._tsv import Rows, read_columns, read_head, read_table, require_fields

GAF_VERSIONS = ("2.0", "2.1", "2.2")
GPAD_VERSIONS = ("1.0", "1.1", "1.2", "2.0")

_GAF = {"db": 0, "object": 1, "symbol": 2, "qualifier": 3, "term": 4, "evidence": 6, "synonyms": 10, "taxon": 12}
_GPAD_1 = {"db": 0, "object": 1, "qualifier": 2, "term": 3, "evidence": 5, "properties": 11}
_GPAD_2 = {"object": 0, "qualifier": 1, "term": 3, "evidence": 5, "properties": 11}
_GENE2GO = {"taxon": 0, "gene": 1, "term": 2, "evidence": 3, "qualifier": 4}

_GAF_FIELDS, _GPAD_FIELDS, _GENE2GO_FIELDS = (15, 17), (10, 12), (8, 8)


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotations of one species.

    Args:
        rows: columns ``gene`` (name as the file gives it), ``term``, ``evidence`` (GO code) and ``negated`` (bool).
        lines_read: data lines of the file, of all species.
        identities: names that the file ties together, or None.
        notes: counted facts.
    """

    rows: Rows
    lines_read: int
    identities: Identities | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def read_annotations(path: Path, species: int, products: GeneProducts | None = None) -> Annotations:
    """Read an annotation file, of the format that its first lines show.

    Args:
        path: GAF, GPAD or gene2go, plain or gzipped.
        species: NCBI taxon; other species' lines are left out and counted (GPAD tells none without ``products``).
        products: symbols of gene products, for GPAD.

    Raises:
        FileFormatError: none of these formats, a version that is not read, a damaged line, or another species only.
    """
    header, first = read_head(path, "!")
    if header and (version := _version(header, "gaf-version")):
        return _read_gaf(path, version, len(header), first, species)
    if header and (version := _version(header, "gpad?-version")):
        return _read_gpad(path, version, len(header), first, species, products)
    if first[0].lstrip("#").strip().lower() == "tax_id" or (not header and first[0].isdigit() and len(first) == 8):
        return _read_gene2go(path, len(header), first, species)
    raise FileFormatError(
        f"{path} does not say which annotation format it has",
        expected="!gaf-version: 2.x or !gpad-version: in the header, or gene2go's line #tax_id GeneID GO_ID ...",
        found=f"a first line {[*header, ' '.join(first)][0][:60]!r}",
        remedy="download the file again, with its header; GAF without a header has no known columns",
    )


def _version(header: Sequence[str], tag: str) -> str:
    for line in header:
        if match := re.match(rf"!\s*{tag}:?\s*(\S+)", line):
            return match.group(1)
    return ""


def _require_version(path: Path, form: str, version: str, known: Sequence[str]) -> None:
    if version not in known:
        raise FileFormatError(
            f"{path} is {form} {version}, which has other columns",
            expected=f"{form} {', '.join(known)}",
            found=version,
            remedy="download the current release, or convert the file",
        )


def _read_gaf(path: Path, version: str, skip: int, first: list[str], species: int) -> Annotations:
    _require_version(path, "GAF", version, GAF_VERSIONS)
    what = f"GAF {version}"
    require_fields(path, first, _GAF_FIELDS, what)
    rows = read_table(
        path,
        _GAF,
        skip=skip,
        width=len(first),
        required=("symbol", "term", "evidence", "taxon"),
        what=what,
    )
    total = len(rows)
    rows, notes = _only_species(path, rows, species)
    rows["gene"] = rows["symbol"]
    return Annotations(_finished(rows, notes), total, identities_of(rows), notes)


def _read_gpad(
    path: Path, version: str, skip: int, first: list[str], species: int, products: GeneProducts | None
) -> Annotations:
    _require_version(path, "GPAD", version, GPAD_VERSIONS)
    what, columns = f"GPAD {version}", _GPAD_2 if version.startswith("2") else _GPAD_1
    require_fields(path, first, _GPAD_FIELDS, what)
    rows = read_table(path, columns, skip=skip, width=len(first), required=("object", "term", "evidence"), what=what)
    total = len(rows)
    if "db" not in rows:
        rows[["db", "object"]] = rows["object"].str.split(":", n=1, expand=True).reindex(columns=[0, 1]).fillna("")
    rows["gene"] = accession_of(rows["db"], rows["object"])
    rows["evidence"] = _evidence_of_gpad(rows)
    notes: list[str] = []
    if products is None:
        notes.append(
            f"{path.name} names accessions and no species; with {path.stem.split('.')[0]}.gpi it would have both"
        )
        return Annotations(_finished(rows, notes), total, None, notes)
    rows, notes = products.applied_to(path, rows, species)
    return Annotations(_finished(rows, notes), total, products.identities(), notes)


def _evidence_of_gpad(rows: Rows) -> Rows:
    """GO codes: from the property ``go_evidence`` where there is one, else from the ECO term."""
    stated = rows["properties"].str.extract(r"(?:^|\|)go_evidence=([A-Z]+)", expand=False)
    return stated.fillna(rows["evidence"].map(ECO)).fillna(rows["evidence"])


def _read_gene2go(path: Path, skip: int, first: list[str], species: int) -> Annotations:
    what = "NCBI gene2go"
    require_fields(path, first, _GENE2GO_FIELDS, what)
    taxon, total, seen = str(species), 0, set()
    kept: list[Rows] = []
    names = {"tax_id": "taxon", "GeneID": "gene"}
    for piece in read_columns(
        path,
        _GENE2GO,
        skip=skip + int(not first[0].isdigit()),
        width=len(first),
        required=("taxon", "gene", "term", "evidence"),
        what=f"{what} ({', '.join(names)}, GO_ID, Evidence, Qualifier, ...)",
    ):
        total += len(piece)
        seen.update(piece["taxon"].unique())
        kept.append(piece[piece["taxon"] == taxon])
    if not total:
        raise FileFormatError(f"{path} has no data lines", expected=what, remedy="download it again")
    if not any(len(piece) for piece in kept):
        _refuse_species(path, species, seen)
    rows: Rows = pd.concat(kept, ignore_index=True)
    notes = [f"{total - len(rows):,} lines of other species left out"] if total > len(rows) else []
    if not rows["gene"].str.isdigit().all():
        wrong = rows["gene"][~rows["gene"].str.isdigit()].iloc[0]
        raise FileFormatError(f"{path} has the gene {wrong!r}", expected="NCBI gene numbers in its second field")
    return Annotations(_finished(rows, notes), total, None, notes)


def _only_species(path: Path, rows: Rows, species: int) -> tuple[Rows, list[str]]:
    """Rows whose first taxon, the gene's own, is the species; a second one is of an interacting organism."""
    taxon = species_of(rows["taxon"], r"^taxon:(\d+)")
    mine = taxon == str(species)
    if not mine.any():
        _refuse_species(path, species, set(taxon.dropna().unique()))
    notes = [f"{int((~mine).sum()):,} lines of other species left out"] if not mine.all() else []
    return rows[mine].reset_index(drop=True), notes


def _refuse_species(path: Path, species: int, found: set[str]) -> None:
    shown = sorted(found)[:8]
    raise FileFormatError(
        f"{path} has no annotations of taxon {species}",
        expected=f"taxon {species}, the species of the graph",
        found=f"taxon {', '.join(shown)}{' and others' if len(found) > 8 else ''}" if shown else "no taxon",
        remedy="give the annotations of this species, or build for the other one",
    )


def _finished(rows: Rows, notes: list[str]) -> Rows:
    """The columns every format has in common."""
    qualifiers = pd.Categorical(rows["qualifier"])
    negative = np.array(["NOT" in re.split(r"[|\s]+", text.upper()) for text in qualifiers.categories], dtype=bool)
    negated = negative[qualifiers.codes] if len(negative) else np.zeros(len(rows), bool)
    if negated.any():
        notes.append(f"{int(negated.sum()):,} annotations with NOT dropped")
    return rows[["gene", "term", "evidence"]].assign(negated=negated)
