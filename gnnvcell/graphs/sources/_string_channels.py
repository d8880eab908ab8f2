"""STRING's evidence channels: which columns of a links file carry them, and which of them count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, FileFormatError, did_you_mean
from gnnvcell.graphs.sources._string_lines import (
    COMBINED,
    COOCCURRENCE,
    HOMOLOGY,
    IGNORED,
    MAX_SCORE,
    PLAIN,
    TEXTMINING,
    ScorePlan,
)

TRANSFERRED = "_transferred"
_BOTH = ("neighborhood", "coexpression", "experiments", "database", "textmining")
CHANNELS = ("neighborhood", "fusion", "cooccurrence", "coexpression", "experiments", "database", "textmining")
CHANNEL_NAMES = (*CHANNELS, *(name + TRANSFERRED for name in _BOTH))

_SPELLINGS = {"cooccurence": "cooccurrence", "experimental": "experiments"}  # STRING's own, in one file or another
_NOT_CHANNELS = ("homology", "combined_score")


def channel_name(name: str) -> str:
    """The name used here for a channel as STRING or a user spells it; unknown names come back as they are."""
    stem = name.removesuffix(TRANSFERRED)
    return _SPELLINGS.get(stem, stem) + name[len(stem) :]


@dataclass(frozen=True)
class ChannelChoice:
    """Which evidence counts.

    Args:
        channels: the only ones that count, or None for all. A name without ``_transferred`` means the evidence of the
            species itself and the evidence transferred from other species.
        exclude: ones that do not count.
        recombine: recombine the score even if every channel counts.
        needs_homology: whether the file must have the homology of the pair.
    """

    channels: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    recombine: bool = False
    needs_homology: bool = False

    def __post_init__(self) -> None:
        if not any(self.counts(name) for name in CHANNEL_NAMES):
            raise ConfigError(
                "no STRING channel is left",
                found=f"channels = {list(self.channels or CHANNELS)}, exclude_channels = {list(self.exclude)}",
                remedy="leave at least one in",
            )

    @property
    def recombines(self) -> bool:
        """Whether the score has to be recombined from channels."""
        return self.recombine or self.channels is not None or bool(self.exclude)

    @property
    def needs_full(self) -> bool:
        """Whether only ``protein.links.full`` will do, which has transferred evidence apart, and homology."""
        return self.needs_transferred or self.needs_homology

    @property
    def needs_transferred(self) -> bool:
        """Whether direct and transferred evidence are told apart."""
        return any(name.endswith(TRANSFERRED) for name in (*(self.channels or ()), *self.exclude))

    def counts(self, name: str) -> bool:
        """Whether the evidence of a column counts, by the name used here."""
        names = {name, name.removesuffix(TRANSFERRED)}
        return (self.channels is None or bool(names & set(self.channels))) and not names & set(self.exclude)


def read_header(path: Path, line: bytes) -> list[str]:
    """The score columns of a links file, by the names used here.

    Raises:
        FileFormatError: the line is not the header of a STRING links file.
    """
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    expected = "protein1 protein2 [channels ...] combined_score, separated by single spaces"
    fields = text.split(" ")
    if fields[:2] == ["protein1", "protein2"] and fields[-1] == "combined_score" and len(set(fields)) == len(fields):
        return [channel_name(name) for name in fields[2:]]
    other = next((name for sign, name in (("\t", "tabs"), (",", "commas"), (";", "semicolons")) if sign in text), "")
    remedy = f"it is separated by {other}; give the file as STRING publishes it" if other else "download it again"
    if fields[0][:1].isdigit():
        remedy = "the header line is missing; give the file as STRING publishes it"
    raise FileFormatError(
        f"{path} does not begin with the header of a STRING links file",
        expected=expected,
        found=repr(text[:100]),
        remedy=remedy if not text.startswith("#") else "is it protein.info or protein.aliases?",
    )


def plan_scores(path: Path, columns: Sequence[str], choice: ChannelChoice, confidence: float) -> ScorePlan:
    """What each score column is for.

    Raises:
        FileFormatError: channels are chosen, but the file does not tell them apart.
    """
    if choice.recombines:
        _require_channels(path, columns, choice)
    return ScorePlan(
        roles=_roles(columns, [choice.counts(name) for name in columns]),
        all_roles=_roles(columns, [True] * len(columns)),
        recombine=choice.recombines,
        minimum=math.ceil(confidence * MAX_SCORE - 1e-6),
    )


def _require_channels(path: Path, columns: Sequence[str], choice: ChannelChoice) -> None:
    present = [name for name in columns if name in CHANNEL_NAMES]
    lacking = choice.needs_transferred and not any(name.endswith(TRANSFERRED) for name in present)
    lacking |= choice.needs_homology and "homology" not in columns
    if not present or lacking:
        raise FileFormatError(
            f"{path.name} does not have the channels apart that the settings ask for",
            expected="protein.links.full" + ("" if choice.needs_full else " or protein.links.detailed"),
            found=f"the columns {', '.join(columns)}",
            remedy="download that file, or leave out channels, exclude_channels and homology_correction",
        )
    unknown = [name for name in columns if name not in CHANNEL_NAMES and name not in _NOT_CHANNELS]
    if unknown:
        raise FileFormatError(
            f"{path.name} has the channel {unknown[0]!r}, which is not known here",
            expected=", ".join(CHANNEL_NAMES),
            remedy=did_you_mean(unknown[0], CHANNEL_NAMES),
        )
    wanted = [name for name in choice.channels or () if name not in present and name + TRANSFERRED not in present]
    if wanted:
        raise FileFormatError(
            f"{path.name} has no channel {wanted[0]!r}",
            found=", ".join(present),
            remedy="leave it out of channels, or use protein.links.full",
        )


def _roles(columns: Sequence[str], counted: Sequence[bool]) -> NDArray[np.int8]:
    special = {"homology": HOMOLOGY, "combined_score": COMBINED}
    evidence = {"cooccurrence": COOCCURRENCE, "textmining": TEXTMINING, "textmining_transferred": TEXTMINING}
    roles = [
        special.get(name, evidence.get(name, PLAIN) if count and name in CHANNEL_NAMES else IGNORED)
        for name, count in zip(columns, counted, strict=True)
    ]
    return np.array(roles, dtype=np.int8)
