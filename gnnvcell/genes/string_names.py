"""Names of genes in STRING's ``protein.info`` and ``protein.aliases``."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from gnnvcell.errors import FileFormatError, GeneError
from gnnvcell.files import open_text
from gnnvcell.genes.identities import Identities
from gnnvcell.genes.spelling import UNIPROT, species_name

_ID_COLUMNS = ("#string_protein_id", "protein_external_id")  # the second up to release 11.0
_CHUNK = 500_000
# What a line's source says about the name. Release 11.0 lists several sources in one field, later ones a line for each.
_KIND_OF_SOURCE = {
    "Ensembl_gene": "ensembl",
    "Ensembl_HGNC_ensembl_gene_id": "ensembl",
    "UniProt_AC": "uniprot",
    "Ensembl_UniProt_AC": "uniprot",
    "Ensembl_HGNC_uniprot_ids": "uniprot",
    "Ensembl_HGNC_UniProt_ID(supplied_by_UniProt)": "uniprot",
    "Ensembl_HGNC_entrez_id": "entrez",
    "Ensembl_HGNC_Entrez_Gene_ID": "entrez",
    "Ensembl_HGNC_Entrez_Gene_ID(supplied_by_NCBI)": "entrez",
    "UniProt_DR_GeneID": "entrez",
    "Ensembl_UniProt_DR_GeneID": "entrez",
    "Ensembl_HGNC_prev_symbol": "previous",
    "Ensembl_HGNC_symbol": "alias",
    "Ensembl_HGNC_alias_symbol": "alias",
    "Ensembl_HGNC": "alias",
    "BioMart_HUGO": "alias",
    "Ensembl_EntrezGene": "alias",
    "Ensembl_EntrezGene_synonym": "alias",
    "Ensembl_external_synonym_HGNC": "alias",
    "Ensembl_external_synonym_EntrezGene": "alias",
    "Ensembl_UniProt_GN": "alias",
    "UniProt_GN_Name": "alias",
    "UniProt_GN_Synonyms": "alias",
    "KEGG_NAME": "alias",
    "KEGG_NAME_SYNONYM": "alias",
}
_RANK = ("previous", "ensembl", "entrez", "uniprot", "alias")


def read_string(
    info_path: str | Path, aliases_path: str | Path | None = None, *, species: int | None = None
) -> tuple[Identities, int]:
    """Read the names of a species' proteins.

    Proteins with the same preferred name are one gene. The protein's own id is kept as kind "ensp" without its taxon.

    Args:
        info_path: ``<taxon>.protein.info.v*.txt[.gz]``.
        aliases_path: ``<taxon>.protein.aliases.v*.txt[.gz]``, or None.
        species: NCBI taxon that the file must have; None takes the file's own.

    Returns:
        The identities, and the file's NCBI taxon.

    Raises:
        FileFormatError: missing, empty, damaged, another delimiter or header, or aliases of other proteins.
        GeneError: a file of another species, or of several.
    """
    ids, names = _read_info(info_path)
    taxon = _one_taxon(info_path, ids, species)
    rows: dict[str, int] = {}
    row_of = {protein: rows.setdefault(name, len(rows)) for protein, name in zip(ids, names, strict=True)}
    aliases: dict[str, list[tuple[str, int]]] = {
        "ensp": [(protein.split(".", 1)[1], r) for protein, r in row_of.items()]
    }
    if aliases_path is not None:
        for kind, name, row in _read_aliases(aliases_path, row_of):
            aliases.setdefault(kind, []).append((name, row))
        if len(aliases) == 1:
            raise FileFormatError(
                f"{aliases_path} has no name of a protein of {info_path}",
                remedy="use both files of one release and species",
            )
    return Identities(list(rows), aliases), taxon


def _read_info(path: str | Path) -> tuple[list[str], list[str]]:
    with open_text(path) as handle:
        header = handle.readline().rstrip("\r\n").split("\t")
        if header[0] not in _ID_COLUMNS or header[1:2] != ["preferred_name"]:
            raise FileFormatError(
                f"{path} is not a protein.info file of STRING",
                expected=f"tab-separated columns {_ID_COLUMNS[0]}, preferred_name, ...",
                found="\\t".join(header)[:120],
            )
        ids, names = [], []
        for number, line in enumerate(handle, start=2):
            fields = line.rstrip("\r\n").split("\t", 2)
            if len(fields) < 2 or not fields[0].strip() or not fields[1].strip():
                raise FileFormatError(
                    f"line {number} of {path} has no id or no name",
                    expected="tab-separated id and name",
                    found=repr(line[:80]),
                )
            ids.append(fields[0].strip())
            names.append(fields[1].strip())
    if not ids:
        raise FileFormatError(f"{path} has a header and no proteins", remedy="download it again")
    return ids, names


def _one_taxon(path: str | Path, ids: list[str], species: int | None) -> int:
    taxa = {identifier.split(".", 1)[0] if "." in identifier else "" for identifier in ids}
    if len(taxa) != 1 or not next(iter(taxa)).isdigit():
        raise GeneError(
            f"the proteins of {path} are not of one species",
            expected="ids such as 9606.ENSP00000269305, all with one taxon",
            found=", ".join(sorted(taxon or "no prefix" for taxon in taxa)[:5]),
        )
    taxon = int(next(iter(taxa)))
    if species is not None and taxon != species:
        raise GeneError(
            f"{path} is of another species", expected=species_name(species), found=f"{species_name(taxon)} ({taxon})"
        )
    return taxon


def _read_aliases(path: str | Path, row_of: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    with open_text(path) as handle:
        header = handle.readline()
        if "string_protein_id" not in header or "alias" not in header:
            raise FileFormatError(
                f"{path} is not a protein.aliases file of STRING",
                expected="columns #string_protein_id, alias, source",
                found=header[:120].rstrip(),
            )
        try:
            chunks = pd.read_csv(
                handle,
                sep="\t",
                names=["protein", "name", "source"],
                header=None,
                dtype=str,
                keep_default_na=False,
                quoting=csv.QUOTE_NONE,
                index_col=False,
                chunksize=_CHUNK,
            )
            for chunk in chunks:
                yield from _kinds_of(chunk, row_of, path)
        except pd.errors.ParserError as error:
            raise FileFormatError(f"{path} has a line without three columns", found=str(error)) from error


def _kinds_of(chunk: pd.DataFrame, row_of: Mapping[str, int], path: str | Path) -> Iterator[tuple[str, str, int]]:
    if chunk.empty:
        raise FileFormatError(f"{path} has a header and no names", remedy="download it again")
    short = (chunk["source"].isna() | (chunk["source"] == "")).to_numpy()
    if short.any():
        line = str(chunk["protein"].to_numpy()[short.argmax()])
        raise FileFormatError(f"{path} has a line without three tab-separated columns", found=repr(line)[:120])
    codes, sources = pd.factorize(chunk["source"])
    kinds = [_kind(source) for source in sources]
    wanted = chunk[[bool(kinds[code]) for code in codes]]
    kept_codes = codes[wanted.index - chunk.index[0]]
    for protein, name, code in zip(wanted["protein"].tolist(), wanted["name"].tolist(), kept_codes, strict=True):
        row = row_of.get(protein)
        kind = kinds[code]
        if row is None or not name.strip():
            continue
        # "UniProt" sources of old releases also list entry names, and gene id sources a few symbols.
        if (kind == "uniprot" and not UNIPROT.fullmatch(name)) or (kind == "entrez" and not name.isdigit()):
            continue
        yield kind, name, row


def _kind(source: str) -> str:
    found = {_KIND_OF_SOURCE[token] for token in source.split(" ") if token in _KIND_OF_SOURCE}
    return next((kind for kind in _RANK if kind in found), "")
