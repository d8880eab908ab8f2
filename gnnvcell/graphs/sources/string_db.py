"""STRING: functional and physical associations of proteins, with confidence scores and evidence channels."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from gnnvcell.errors import EmptyGraphError, MissingFileError, did_you_mean
from gnnvcell.genes import Identities, read_string
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.sources._string_channels import CHANNEL_NAMES, CHANNELS, ChannelChoice, channel_name
from gnnvcell.graphs.sources._string_lines import ABOVE, BLANK, CLOSE, COMPARED, HIGHEST, HOMOLOGOUS, LINES, MAX_SCORE
from gnnvcell.graphs.sources._string_links import HomologyRule, Links, Pairs, merge_pairs, read_links
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext
from gnnvcell.keys import GENE

_RELEASE = r"(\.v[\d.]*\d)?"
_RELATION = "string"
_USUAL_AGREEMENT = 0.9


@SOURCES.register("string", "string_db")
class String(Source):
    """Associations from STRING's download files: one relation ``string``, undirected, weight = score in 0..1.

    Args:
        confidence: smallest score kept, 0..1 (0.4 medium, 0.7 high, 0.9 highest confidence).
        channels: the only evidence channels that count: neighborhood, fusion, cooccurrence, coexpression, experiments,
            database, textmining. The score is then recombined from these by STRING's rule, which needs
            ``protein.links.full`` or ``protein.links.detailed``. ``experiments_transferred`` and the like name the part
            that was transferred from other species (``full`` only).
        exclude_channels: channels that do not count, for example ``["coexpression", "textmining"]``.
        homology_correction: whether, when scores are recombined from ``protein.links.full``, co-occurrence and text
            mining count by 1 - homology. "measured": if this reproduces the published scores of the file better
            (STRING's rule up to release 11; since release 12 the channels are published corrected).
        network: "functional" for ``protein.links``, "physical" for ``protein.physical.links``.
        top_k: keep an edge only if it is among the k strongest of one of its genes.
        links_file, info_file, aliases_file: files to use instead of the ones found by their official names.

    Source:
        https://string-db.org/cgi/download; the rule is that of STRING's ``combine_subscores.py``.

    Example:
        >>> String(confidence=0.9, exclude_channels=("textmining",)).exclude_channels
        ('textmining',)
    """

    type: ClassVar[str] = "string"
    licence: ClassVar[str] = "CC BY 4.0"
    citation: ClassVar[str] = "Szklarczyk et al., Nucleic Acids Research 51, D638 (2023), doi:10.1093/nar/gkac1000"

    confidence: float = 0.7
    channels: tuple[str, ...] | None = None
    exclude_channels: tuple[str, ...] = ()
    homology_correction: HomologyRule = "measured"
    network: Literal["functional", "physical"] = "functional"
    top_k: int | None = Field(default=None, ge=1)
    links_file: Path | None = None
    info_file: Path | None = None
    aliases_file: Path | None = None

    @field_validator("confidence")
    @classmethod
    def _in_range(cls, value: float) -> float:
        if 0 <= value <= 1:
            return value
        hint = f"; STRING's {value:g} is {value / MAX_SCORE:g} here" if 1 < value <= MAX_SCORE else ""
        raise ValueError(f"a score from 0 to 1, such as 0.7{hint}")

    @field_validator("channels", "exclude_channels")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = None if value is None else tuple(channel_name(name) for name in value)
        for name in names or ():
            if name not in CHANNEL_NAMES:
                raise ValueError(f"a channel of STRING ({', '.join(CHANNELS)}); {did_you_mean(name, CHANNEL_NAMES)}")
        return names

    def filters(self) -> Sequence[Callable[[EdgeTable], EdgeTable]]:
        """Top k per gene, where it is set."""
        return () if self.top_k is None else (TopK(k=self.top_k),)

    def read(self, context: SourceContext) -> Reading:
        """Read links and, where they are, preferred names and aliases.

        Without ``protein.info`` the names are the proteins' ids (ENSP...), for the vocabulary to resolve.

        Raises:
            ConfigError: no channel is left.
            FileFormatError: a file is missing, damaged, of another species or another format, or does not have the
                channels apart that are chosen.
            GeneError: protein.info is of another species.
            EmptyGraphError: no pair reaches the confidence.
        """
        rule = self.homology_correction
        choice = ChannelChoice(self.channels, self.exclude_channels, rule != "measured", rule == "always")
        path = self._find_links(context, choice)
        links = read_links(path, context.species, choice, self.confidence, rule, context.report)
        pairs = merge_pairs(links.first, links.second, links.scores, len(links.proteins))
        if len(pairs.first) == 0:
            raise self._empty(path, links)
        notes = [*_line_notes(links, pairs), *self._score_notes(links, choice)]
        identities, name_files = self._read_names(context)
        names = {}
        if identities is None:
            notes.append("no protein.info: genes are named by their protein ids")
        else:
            names = {protein: identities.symbols[row] for protein, row in identities.aliases["ensp"]}
        table, name_notes = _name_genes(links.proteins, pairs, names)
        return Reading([table], [path, *name_files], links.counters[LINES], identities, [*notes, *name_notes])

    def _read_names(self, context: SourceContext) -> tuple[Identities | None, list[Path]]:
        """Identities from protein.info and protein.aliases, and the files that were there."""
        found = [
            context.find_optional([rf"{context.species}\.protein\.{kind}{_RELEASE}\.txt"], explicit=explicit)
            for kind, explicit in (("info", self.info_file), ("aliases", self.aliases_file))
        ]
        info, aliases = found
        if info is None:
            if self.aliases_file is not None:
                raise MissingFileError("aliases_file needs protein.info beside it", remedy="name it with info_file")
            return None, []
        read, _ = read_string(info, aliases, species=context.species)
        return read, [file for file in found if file is not None]

    def _find_links(self, context: SourceContext, choice: ChannelChoice) -> Path:
        stem = rf"{context.species}\.protein\." + re.escape(self._kind(""))
        kinds = ["full", "detailed"] if choice.recombines else ["", "detailed", "full"]
        if choice.needs_full:
            kinds = ["full"]
        patterns = [stem + (rf"\.{kind}" if kind else "") + _RELEASE + r"\.txt" for kind in kinds]
        path = context.find_optional(patterns, explicit=self.links_file)
        if path is not None:
            return path
        folder = context.source_dir
        beside = [] if folder is None else sorted(p.name for p in [*folder.glob("*"), *folder.glob("*/*")])
        wanted = " or ".join(f"{context.species}.protein.{self._kind(kind)}.txt.gz" for kind in kinds)
        raise _missing(context.species, wanted, beside, folder, choice)

    def _kind(self, kind: str) -> str:
        return ".".join(filter(None, ["physical" if self.network == "physical" else "", "links", kind]))

    def _empty(self, path: Path, links: Links) -> EmptyGraphError:
        highest = links.counters[HIGHEST] / MAX_SCORE
        only_self = bool(len(links.first))
        return EmptyGraphError(
            f"{path.name} has no pair of two proteins with confidence >= {self.confidence:g}",
            found=f"{links.counters[LINES]:,} lines, the highest score {highest:g}"
            + (", all kept lines name one protein twice" if only_self else ""),
            remedy="lower confidence" + (", or count more channels" if self.channels or self.exclude_channels else ""),
        )

    def _score_notes(self, links: Links, choice: ChannelChoice) -> list[str]:
        if not choice.recombines:
            return []
        counters = links.counters
        counted = [name for name in CHANNEL_NAMES if name in links.columns and choice.counts(name)]
        share = counters[CLOSE] / max(counters[COMPARED], 1)
        notes = [
            f"score recombined from {', '.join(counted)}",
            f"all channels recombined give the published score to 0.002 for {share:.2%} of the lines"
            + ("" if share >= _USUAL_AGREEMENT else "; by STRING's rule it would be nearly all: is the file changed?"),
        ]
        if counters[HOMOLOGOUS]:
            word = "applied" if links.corrected else "not applied"
            notes.append(f"homology correction {word} ({self.homology_correction}, {counters[HOMOLOGOUS]:,} lines)")
        return notes


def _missing(
    species: int, wanted: str, beside: list[str], folder: Path | None, choice: ChannelChoice
) -> MissingFileError:
    links = [name for name in beside if re.match(r"\d+\.protein\.(physical\.)?links", name)]
    others = [name for name in links if not name.startswith(f"{species}.")]
    if links and len(others) == len(links):
        problem = f"the STRING links in {folder} are of another species than {species}"
        remedy = f"download {wanted}, or set the species of the graph to {others[0].partition('.')[0]}"
    elif links and choice.recombines:
        problem = f"choosing STRING channels needs a links file that has them apart, and {folder} has none"
        remedy = f"download {wanted}, or leave out channels and exclude_channels"
    else:
        problem = f"STRING's links are not in {folder or 'source_dir (not given)'}"
        remedy = "run `gnnvcell graph fetch`, or name the file with links_file"
    found = ", ".join(links[:5]) or f"{len(beside)} other files"
    return MissingFileError(problem, expected=f"{wanted} (with or without release)", found=found, remedy=remedy)


def _line_notes(links: Links, pairs: Pairs) -> list[str]:
    counts = {
        "lines name one protein twice; dropped": pairs.self_edges,
        "lines repeat an earlier line; dropped": pairs.repeated,
        "pairs stand in one direction only; kept": pairs.one_way,
        "pairs have two scores; the higher one kept": pairs.uneven,
        f"lines have a score above {MAX_SCORE}, which counts as {MAX_SCORE}": links.counters[ABOVE],
        "blank lines": links.counters[BLANK],
    }
    return [f"{count:,} {text}" for text, count in counts.items() if count]


def _name_genes(proteins: NDArray, pairs: Pairs, names: dict[str, str]) -> tuple[EdgeTable, list[str]]:
    """The edge table between preferred names; a protein without one keeps its id."""
    used = np.flatnonzero(
        np.bincount(pairs.first, minlength=len(proteins)) + np.bincount(pairs.second, minlength=len(proteins))
    )
    labels = [names.get(protein, protein) for protein in proteins[used].tolist()]
    unnamed = sum(protein not in names for protein in proteins[used].tolist()) if names else 0
    genes, code = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    code_of_protein = np.zeros(len(proteins), np.int64)
    code_of_protein[used] = code
    notes = [f"{unnamed:,} proteins are not in protein.info; they keep their ids"] if unnamed else []
    merged = merge_pairs(code_of_protein[pairs.first], code_of_protein[pairs.second], pairs.scores, len(genes))
    if len(merged.first) < len(pairs.first):
        lost, shared = len(pairs.first) - len(merged.first), len(labels) - len(genes)
        notes.append(f"{shared:,} proteins share a preferred name with another; {lost:,} pairs merged")
    weight = (merged.scores / MAX_SCORE).astype(np.float32)
    return EdgeTable((GENE, _RELATION, GENE), merged.first, merged.second, weight, genes, genes), notes
