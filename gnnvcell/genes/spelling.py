"""How names of genes are spelled: parts that carry no identity, names of other species, damage by spreadsheets."""

import re
from collections.abc import Callable

HUMAN = 9606
UNIPROT = re.compile(r"[OPQ]\d[A-Z\d]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z\d]{2}\d){1,2}")
ENSEMBL_GENE = re.compile(r"ENS(?:[A-Z]{3,4})?G\d{11}")
ENSEMBL_PROTEIN = re.compile(r"ENS(?:[A-Z]{3,4})?P\d{11}")

# The letters after ENS in a species' Ensembl ids (Ensembl, "Ensembl stable id prefixes"), and its common name.
_ENSEMBL = {
    9606: ("", "human"),
    10090: ("MUS", "mouse"),
    10116: ("RNO", "rat"),
    7955: ("DAR", "zebrafish"),
    8364: ("XET", "frog"),
    9031: ("GAL", "chicken"),
    9544: ("MMU", "macaque"),
    9598: ("PTR", "chimpanzee"),
    9615: ("CAF", "dog"),
    9823: ("SSC", "pig"),
    9913: ("BTA", "cow"),
}
_SPECIES_OF = {letters: taxon for taxon, (letters, _) in _ENSEMBL.items()}
_TITLE_CASE_SPECIES = (10090, 10116)
_ENSEMBL_ID = re.compile(r"ENS([A-Z]{3,4})?[EGPRT]\d{11}(\.\d+)?")
_TAXON_PREFIX = re.compile(r"(\d+)\.[A-Za-z]\S*")
_TITLE_CASE = re.compile(r"[A-Z][^A-Z]*[a-z][^A-Z]*")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(rf"(?P<day>\d{{1,2}})[-/ ](?P<month>{'|'.join(_MONTHS)})", re.IGNORECASE)
_DATE_BACK = re.compile(rf"(?P<month>{'|'.join(_MONTHS)})[-/ ](?P<day>\d{{1,2}})", re.IGNORECASE)
_ISO_DATE = re.compile(r"(?:19|20)\d\d-(?P<number>\d\d)-(?P<day>\d\d)(?: 00:00:00)?")


def species_name(taxon: int) -> str:
    """The common name of a species, or its taxon."""
    return _ENSEMBL[taxon][1] if taxon in _ENSEMBL else f"taxon {taxon}"


def stored(kind: str, name: str, species: int) -> str:
    """A name as a vocabulary keeps it: stripped, ids without taxon prefix, version and isoform."""
    name = str(name).strip()
    if kind in ("ensembl", "ensp"):
        name = name.removeprefix(f"{species}.")
        head, _, tail = name.partition(".")
        return head if tail.isdigit() and head.startswith("ENS") else name
    if kind == "uniprot":
        head, _, tail = name.rpartition("-")
        return head if tail.isdigit() and UNIPROT.fullmatch(head) else name
    return name


def accession_kind(name: str) -> str:
    """The kind of id a name has the form of ("uniprot", "ensembl", "ensp"), or an empty text."""
    for kind, pattern in (("uniprot", UNIPROT), ("ensembl", ENSEMBL_GENE), ("ensp", ENSEMBL_PROTEIN)):
        if pattern.fullmatch(name):
            return kind
    return ""


def foreign(name: str, species: int, known: Callable[[str], bool]) -> str:
    """Why a name belongs to another species, or an empty text.

    Args:
        name: a stripped name that the vocabulary does not have.
        species: taxon of the vocabulary.
        known: whether the vocabulary has a name.
    """
    prefixed = _TAXON_PREFIX.fullmatch(name)
    if prefixed and int(prefixed[1]) != species:
        return f"has the prefix of {species_name(int(prefixed[1]))}"
    ensembl = _ENSEMBL_ID.fullmatch(name.removeprefix(f"{species}."))
    if ensembl and species in _ENSEMBL and (ensembl[1] or "") != _ENSEMBL[species][0]:
        owner = _SPECIES_OF.get(ensembl[1] or "")
        return f"is an Ensembl id of {species_name(owner) if owner else 'another species'}"
    if species in _TITLE_CASE_SPECIES:
        human_style = name.isupper() and known(name.capitalize())
        return f"is spelled as in human, like {name.capitalize()}" if human_style else ""
    mouse_style = _TITLE_CASE.fullmatch(name) and known(name.upper())
    return f"is spelled as in mouse or rat, like {name.upper()}" if mouse_style else ""


def spreadsheet_damage(name: str) -> str:
    """What a name was before a spreadsheet took it for a date, or an empty text."""
    match = _DATE.fullmatch(name) or _DATE_BACK.fullmatch(name)
    if match:
        month = match["month"].lower()
    else:
        match = _ISO_DATE.fullmatch(name)
        if match is None or not 1 <= int(match["number"]) <= 12:
            return ""
        month = _MONTHS[int(match["number"]) - 1]
    day = int(match["day"])
    candidates = {"mar": f"MARCHF{day}", "sep": f"SEPTIN{day}", "dec": f"DELEC{day}"}
    if month == "mar" and day <= 2:
        return f"looks like a symbol that a spreadsheet turned into a date: MARCHF{day} or MTARC{day}?"
    was = f": {candidates[month]}?" if month in candidates else ""
    return f"looks like a symbol that a spreadsheet turned into a date{was}"
