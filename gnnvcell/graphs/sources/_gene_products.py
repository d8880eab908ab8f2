"""What gene products are called: accessions and symbols of GAF rows and GPI files."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gnnvcell.errors import FileFormatError
from gnnvcell.genes import Identities
from gnnvcell.graphs.sources._tsv import Rows, read_head, read_table, require_fields

GPI_VERSIONS = ("1.2", "2.0", "2.1")
_GPI_1 = {"db": 0, "object": 1, "symbol": 2, "synonyms": 4, "taxon": 6}
_GPI_2 = {"object": 0, "symbol": 1, "synonyms": 3, "taxon": 5}
_GPI_FIELDS = (7, 11)


def species_of(texts: Rows, pattern: str) -> Rows:
    """The taxon number in each text, found once per distinct text."""
    kinds = pd.Categorical(texts)
    numbers = pd.Series(kinds.categories.astype(str)).str.extract(pattern, expand=False)
    return pd.Series(numbers.to_numpy(dtype=object)[kinds.codes], index=texts.index)


def accession_of(database: Rows, objects: Rows) -> Rows:
    """Names of gene products; UniProt's isoforms and processed chains (P12345-2, P12345:PRO_1) become P12345."""
    protein = database.str.startswith("UniProt")
    return objects.where(~protein, objects.str.replace(r"[:-].*", "", regex=True))


def identities_of(rows: Rows) -> Identities | None:
    """Symbols with their accessions and synonyms, from rows with ``db``, ``object``, ``symbol`` and ``synonyms``.

    A product whose symbol is its own accession ties nothing together and is left out.
    """
    distinct = rows[["db", "object", "symbol", "synonyms"]].drop_duplicates()
    distinct = distinct[(distinct["symbol"] != distinct["object"]) & (distinct["symbol"] != "")]
    if distinct.empty:
        return None
    codes, symbols = pd.factorize(distinct["symbol"])
    names = accession_of(distinct["db"], distinct["object"])
    protein = distinct["db"].str.startswith("UniProt").to_numpy()
    aliases: dict[str, list[tuple[str, int]]] = {"uniprot": [], "alias": []}
    for code, name, is_protein, synonyms in zip(codes.tolist(), names, protein, distinct["synonyms"], strict=True):
        aliases["uniprot" if is_protein else "alias"].append((name, code))
        aliases["alias"] += [(synonym, code) for synonym in synonyms.split("|") if synonym]
    unique = {kind: list(dict.fromkeys(pairs)) for kind, pairs in aliases.items() if pairs}
    return Identities([str(symbol) for symbol in symbols], unique)


@dataclass(frozen=True, eq=False)
class GeneProducts:
    """A GPI file: what GPAD's accessions are called, and of which species they are.

    Args:
        path: the file.
        rows: columns ``db``, ``object``, ``symbol``, ``synonyms`` and ``taxon``.
    """

    path: Path
    rows: Rows

    @classmethod
    def read(cls, path: Path) -> "GeneProducts":
        """Read GPI 1.2 or 2.x.

        Raises:
            FileFormatError: not GPI, or another version.
        """
        header, first = read_head(path, "!")
        version = next((m.group(1) for line in header if (m := re.match(r"!\s*gpi-version:?\s*(\S+)", line))), "")
        if version not in GPI_VERSIONS:
            raise FileFormatError(
                f"{path} is not a GPI file that can be read",
                expected=f"!gpi-version: {', '.join(GPI_VERSIONS)}",
                found=version or "no !gpi-version in the header",
                remedy="download the current release, or remove the file",
            )
        what, columns = f"GPI {version}", _GPI_2 if version.startswith("2") else _GPI_1
        require_fields(path, first, _GPI_FIELDS, what)
        rows = read_table(path, columns, skip=len(header), width=len(first), required=("object", "taxon"), what=what)
        if "db" not in rows:
            rows[["db", "object"]] = rows["object"].str.split(":", n=1, expand=True).reindex(columns=[0, 1]).fillna("")
        rows["taxon"] = species_of(rows["taxon"], r"(\d+)$")
        return cls(path, rows)

    def identities(self) -> Identities | None:
        """Symbols with their accessions and synonyms."""
        return identities_of(self.rows)

    def applied_to(self, path: Path, rows: Rows, species: int) -> tuple[Rows, list[str]]:
        """GPAD rows of one species, with symbols as gene names; accessions that the GPI file lacks keep their name.

        Raises:
            FileFormatError: no row is of this species.
        """
        known = self.rows.assign(gene=accession_of(self.rows["db"], self.rows["object"])).drop_duplicates("gene")
        known = known.set_index("gene")
        taxon = rows["gene"].map(known["taxon"])
        mine = (taxon == str(species)) | taxon.isna()
        if not mine.any():
            raise FileFormatError(
                f"{path} has no annotations of taxon {species}",
                found=f"taxon {', '.join(sorted(taxon.dropna().unique())[:8])}, by {self.path.name}",
                remedy="give the annotations of this species, or build for the other one",
            )
        symbols = rows["gene"].map(known["symbol"].replace("", np.nan))
        counts = (
            (int((~mine).sum()), "lines of other species left out"),
            (int(taxon[mine].isna().sum()), f"lines of gene products that {self.path.name} does not have"),
        )
        named = rows.assign(gene=symbols.fillna(rows["gene"]))[mine].reset_index(drop=True)
        return named, [f"{count:,} {fact}" for count, fact in counts if count]
