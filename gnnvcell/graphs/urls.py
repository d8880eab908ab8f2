"""``urls`` of a recipe: which official files a source is made of, and where they are.

Every source (and the ``[genes]`` table) may have ``urls``, a list whose entries are plain URLs or tables::

    urls = [
        "https://example.org/9606.protein.info.v12.0.txt.gz",
        {url = "https://example.org/v94/pathways.gmt.zip", member = "ReactomePathways.gmt", sha256 = "ab12..."},
    ]
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean

GENES_TABLE = "genes"
_PLACEHOLDERS = ("host", "path", "name")


class Download(Config):
    """One entry of ``urls``.

    Args:
        url: where the file is, http or https.
        sha256: checksum of the file as it is downloaded, or empty where it is not known.
        name: file name to keep it under; the last part of the URL (or of ``member``) when empty.
        member: path inside a zip archive of the one file to keep.
    """

    url: str
    sha256: str = Field(default="", pattern=r"^([0-9a-fA-F]{64})?$")
    name: str = Field(default="", pattern=r"^([^/\\.][^/\\]*)?$")
    member: str = ""

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or _last_part(parts.path).strip(".") == "":
            raise ValueError("an http or https URL that ends in a file name")
        return url

    @property
    def archive_name(self) -> str:
        """Name of the file as it is downloaded."""
        return self.name if self.name and not self.member else _last_part(urlsplit(self.url).path)

    @property
    def file_name(self) -> str:
        """Name of the file that is left in the end."""
        return self.name or (PurePosixPath(self.member).name if self.member else self.archive_name)


def _last_part(path: str) -> str:
    # Decoded first: an encoded slash must not lead out of the folder.
    return PurePosixPath(unquote(path).replace("\\", "/")).name


def mirrored(url: str, mirror: str | None) -> str:
    """The URL to download from: the official one, or its place on a mirror (see ``fetch``).

    Raises:
        ConfigError: the mirror is not an http(s) URL or has an unknown placeholder.
    """
    if mirror is None:
        return url
    parts = urlsplit(url)
    path = parts.path.lstrip("/")
    fields = {"host": parts.netloc, "path": path, "name": PurePosixPath(path).name}
    place = mirror if "{" in mirror else mirror.rstrip("/") + "/{path}"
    for field in _PLACEHOLDERS:
        place = place.replace("{" + field + "}", fields[field])
    if urlsplit(place).scheme not in ("http", "https") or "{" in place:
        raise ConfigError(
            f"cannot use the mirror {mirror!r}",
            expected="an http or https URL, with no other placeholders than {host}, {path} and {name}",
            found=place,
        )
    return f"{place}?{parts.query}" if parts.query else place


def wanted_downloads(
    values: Mapping[str, Any], sources: Sequence[str] | None
) -> tuple[list[tuple[str, Download]], list[str]]:
    """The downloads of a recipe's wanted sources (all when None), and the wanted sources that have none.

    Raises:
        ConfigError: an unknown source key, an entry that cannot be read, two files of one name, or nothing to fetch.
    """
    tables = source_tables(values)
    for key in sources or ():
        if key not in tables:
            raise ConfigError(f"the recipe has no source {key!r}", remedy=did_you_mean(key, tables))
    keys = list(tables) if sources is None else list(dict.fromkeys(sources))
    downloads: list[tuple[str, Download]] = []
    for key in keys:
        downloads += [(key, entry) for entry in _downloads(key, tables[key].get("urls", ()))]
    _refuse_clashes(downloads)
    if not downloads:
        raise ConfigError(
            "there is nothing to fetch",
            expected="urls = [...] in at least one source",
            found=f"sources without urls: {', '.join(keys) or '(no sources)'}",
            remedy="take one of the recipes in graphs/, or add urls",
        )
    return downloads, [key for key in keys if not tables[key].get("urls") and key != GENES_TABLE]


def source_tables(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Source tables by key, and the table of genes where the recipe has one."""
    sources = values.get("sources", {k: v for k, v in values.items() if isinstance(v, Mapping) and "type" in v})
    tables = {key: table for key, table in sources.items() if isinstance(table, Mapping)}
    if isinstance(values.get(GENES_TABLE), Mapping):
        tables[GENES_TABLE] = values[GENES_TABLE]
    return tables


def _downloads(key: str, entries: Any) -> Iterator[Download]:
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise ConfigError(f"urls of {key!r} is not a list", expected='urls = ["https://..."]', found=repr(entries))
    for number, entry in enumerate(entries):
        values = {"url": entry} if isinstance(entry, str) else entry
        if not isinstance(values, Mapping):
            raise ConfigError(f"bad entry in urls of {key!r}", expected="a URL or a table with url", found=repr(entry))
        yield Download.parse(values, where=f"{key}.urls[{number}]")


def _refuse_clashes(downloads: list[tuple[str, Download]]) -> None:
    """Two sources may name one file (both use STRING's protein.info), but not two files of one name."""
    seen: dict[str, Download] = {}
    unique = []
    for key, entry in downloads:
        other = seen.setdefault(entry.file_name, entry)
        if other != entry:
            raise ConfigError(
                f"two files would be named {entry.file_name!r}, or one is described in two ways",
                found=f"{other.model_dump(exclude_defaults=True)} and {entry.model_dump(exclude_defaults=True)}",
                remedy="give one of them another name = ... in urls, or describe it alike in both places",
            )
        if other is entry:
            unique.append((key, entry))
    downloads[:] = unique
