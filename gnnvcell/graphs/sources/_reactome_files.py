"""Reactome's own files: pathway members (GMT, *2Reactome mappings), pathway names, and the pathway hierarchy."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gnnvcell.errors import FileFormatError
from gnnvcell.genes.gmt import GmtSet, read_gmt
from gnnvcell.graphs.accessions import likely_kind
from gnnvcell.graphs.sources._reactome_species import STABLE_ID, ReactomeSpecies, require_species, species_code
from gnnvcell.graphs.sources._tsv import read_head, read_table, require_fields

Kind = Literal["symbol", "ensembl", "uniprot", "entrez"]

# Identifier, pathway, URL, name, evidence, species; the PE files have the physical entity in between.
_MAPPING = {"gene": 0, "pathway": 1, "url": 2, "name": 3, "species": 5}
_MAPPING_PE = {"gene": 0, "pathway": 3, "url": 4, "name": 5, "species": 7}
_TRANSCRIPT = r"^ENS[A-Z]*T\d+"


@dataclass(frozen=True, eq=False)
class PathwayMembers:
    """Genes in pathways, of one species.

    Args:
        genes: (memberships,) names as the file spells them.
        pathways: (memberships,) stable identifiers, or names where the file has no others.
        names: pathway to readable name.
        stable: whether ``pathways`` are stable identifiers.
        lines_read: data lines of the file, of all species.
        notes: counted facts.
    """

    genes: Sequence[str]
    pathways: Sequence[str]
    names: Mapping[str, str]
    stable: bool
    lines_read: int
    notes: Sequence[str]


def read_members(path: Path, species: ReactomeSpecies, declared: Kind | None) -> PathwayMembers:
    """Read pathway members from a GMT file or a mapping file, whichever it is.

    Args:
        path: ``ReactomePathways.gmt``, ``UniProt2Reactome.txt`` and the like; plain or gzipped.
        species: what to keep.
        declared: kind of identifier the file should have, for the note where it has another.

    Raises:
        FileFormatError: neither format, damaged, or nothing of this species.
    """
    _, first = read_head(path, "#")
    columns = _mapping_columns(first)
    members = _read_mapping(path, columns, species) if columns else _read_pathway_gmt(path, species)
    names = list(dict.fromkeys(members.genes))
    if declared is not None and not _seem(names, declared):
        said = f"most names in {path.name} look like {likely_kind(names) or 'symbols'}, not like {declared} identifiers"
        return replace(members, notes=[*members.notes, said])
    return members


def _seem(names: Sequence[str], kind: Kind) -> bool:
    """Whether most names may be of this kind."""
    if kind == "ensembl":  # of genes and of proteins, together
        return 2 * sum(name.startswith("ENS") for name in names) > len(names)
    found = likely_kind(names)
    return not found if kind == "symbol" else found.lower().startswith(kind)


def _mapping_columns(first: Sequence[str]) -> dict[str, int] | None:
    for columns in (_MAPPING, _MAPPING_PE):
        if len(first) == columns["species"] + 1 and "/" in first[columns["url"]]:
            return columns if species_code(first[columns["pathway"]]) else None
    return None


def _read_mapping(path: Path, columns: Mapping[str, int], species: ReactomeSpecies) -> PathwayMembers:
    wanted = {name: place for name, place in columns.items() if name != "url"}
    width = columns["species"] + 1
    what = f"a Reactome mapping file of {width} fields"
    rows = read_table(path, wanted, skip=0, width=width, required=("gene", "pathway", "species"), what=what)
    total = len(rows)
    codes = rows["pathway"].str.extract(rf"^{STABLE_ID.pattern}$", expand=False)
    if codes.isna().any():
        wrong = rows["pathway"][codes.isna()].iloc[0]
        raise FileFormatError(f"{path} has the pathway {wrong!r}", expected="stable identifiers such as R-HSA-109581")
    require_species(path, species, codes)
    mine = rows[codes == species.code]
    notes = [f"{total - len(mine):,} lines of other species left out"] if len(mine) < total else []
    # Ensembl files name gene, transcript and protein of one entity; the vocabulary knows genes and proteins.
    transcript = mine["gene"].str.match(_TRANSCRIPT)
    if transcript.any():
        notes.append(f"{int(transcript.sum()):,} lines of transcripts left out, their genes are listed too")
        mine = mine[~transcript]
    pathways = mine["pathway"].str.replace(r"\.\d+$", "", regex=True)
    return PathwayMembers(
        genes=mine["gene"].map(_canonical).tolist(),
        pathways=pathways.tolist(),
        names=dict(zip(pathways, mine["name"], strict=True)),
        stable=True,
        lines_read=total,
        notes=notes,
    )


def _canonical(name: str) -> str:
    """UniProt's P12345-2 and P12345:PRO_1 as P12345; other names as they are."""
    return re.sub(r"^([A-Z][0-9][A-Z0-9]{4}(?:[A-Z0-9]{4})?)[-:].*$", r"\1", name)


def _read_pathway_gmt(path: Path, species: ReactomeSpecies) -> PathwayMembers:
    sets = read_gmt(path)
    named = [(_stable_id(one), one) for one in sets]
    stable = sum(bool(identifier) for identifier, _ in named)
    notes = []
    if stable == 0:
        notes.append(f"{path.name} has no stable identifiers: pathways go by name, and their species is not known")
        mine = [(one.name, one) for one in sets]
    elif stable < len(sets):
        lost = next(one for identifier, one in named if not identifier)
        raise FileFormatError(
            f"line {lost.line} of {path} has no stable identifier",
            expected="R-HSA-... as its first or second field, as in the other lines",
            found=repr(f"{lost.name} {lost.description}"[:80]),
            remedy="add it, or remove the line",
        )
    else:
        require_species(path, species, [species_code(identifier) for identifier, _ in named])
        mine = [(identifier, one) for identifier, one in named if species_code(identifier) == species.code]
        if len(mine) < len(sets):
            notes.append(f"{len(sets) - len(mine):,} pathways of other species left out")
    _refuse_repeated(path, mine)
    return PathwayMembers(
        genes=[gene for _, one in mine for gene in _genes(one)],
        pathways=[pathway for pathway, one in mine for _ in _genes(one)],
        names={pathway: _readable(pathway, one) for pathway, one in mine},
        stable=stable > 0,
        lines_read=len(sets),
        notes=notes,
    )


def _stable_id(one: GmtSet) -> str:
    for text in (one.description, one.name):
        if species_code(text):
            return text.split(".")[0]
    return ""


def _genes(one: GmtSet) -> tuple[str, ...]:
    # Older releases of the official file write this text where the genes begin.
    return one.genes[1:] if one.genes[:1] == ("Reactome Pathway",) else one.genes


def _readable(pathway: str, one: GmtSet) -> str:
    if not species_code(one.name):
        return one.name
    return one.description if one.description and not species_code(one.description) else pathway


def _refuse_repeated(path: Path, sets: Sequence[tuple[str, GmtSet]]) -> None:
    lines: dict[str, int] = {}
    for pathway, one in sets:
        if pathway in lines:
            raise FileFormatError(
                f"{path} gives the pathway {pathway} twice",
                found=f"lines {lines[pathway]} and {one.line}",
                remedy="keep one of them",
            )
        lines[pathway] = one.line


def read_pathway_relations(path: Path, species: ReactomeSpecies) -> tuple[list[tuple[str, str]], int]:
    """(child, parent) stable identifiers of one species of ``ReactomePathwaysRelation.txt``, and its lines.

    Raises:
        FileFormatError: damaged, other columns, or nothing of this species.
    """
    what = "Reactome's parent and child pathways"
    _, first = read_head(path, "#")
    require_fields(path, first, (2, 2), what)
    columns = {"parent": 0, "child": 1}
    rows = read_table(path, columns, skip=0, width=2, required=("parent", "child"), what=what)
    codes = {side: rows[side].str.extract(rf"^{STABLE_ID.pattern}$", expand=False) for side in columns}
    for side, found in codes.items():
        if found.isna().any():
            line = int(found.isna().to_numpy().argmax())
            raise FileFormatError(
                f"line {line + 1} of {path} has the {side} {rows[side].iloc[line]!r}",
                expected="a stable identifier such as R-HSA-109581",
                remedy="is it another file?",
            )
    require_species(path, species, codes["child"])
    mine = rows[(codes["child"] == species.code) & (codes["parent"] == species.code)]
    pairs = {side: mine[side].str.replace(r"\.\d+$", "", regex=True) for side in columns}
    return list(dict.fromkeys(zip(pairs["child"], pairs["parent"], strict=True))), len(rows)


def read_pathway_names(path: Path, species: ReactomeSpecies) -> dict[str, str]:
    """Stable identifier to name, of one species, from ``ReactomePathways.txt`` (identifier, name, species).

    Raises:
        FileFormatError: damaged, or other columns.
    """
    what = "Reactome's pathway names"
    _, first = read_head(path, "#")
    require_fields(path, first, (3, 3), what)
    columns = {"pathway": 0, "name": 1, "species": 2}
    rows = read_table(path, columns, skip=0, width=3, required=("pathway", "name"), what=what)
    mine = rows[rows["pathway"].str.startswith(f"R-{species.code}-")]
    return dict(zip(mine["pathway"].str.replace(r"\.\d+$", "", regex=True), mine["name"], strict=True))
